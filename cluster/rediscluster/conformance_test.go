package rediscluster_test

import (
	"sync"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/testproxy"
	"github.com/occupancy/occupancy/cluster/rediscluster"
)

// newBus returns a Bus on a client of the program.
func newBus(t testing.TB, option rueidis.ClientOption) *rediscluster.Bus {
	t.Helper()
	client, err := rueidis.NewClient(option)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	b, err := rediscluster.New(client)
	require.NoError(t, err)
	return closeAfter(t, b)
}

func TestBus_Conformance(t *testing.T) {
	for name, test := range map[string]struct {
		newBus                func(t testing.TB, option rueidis.ClientOption) *rediscluster.Bus
		disconnect, reconnect func(*testproxy.Proxy)
	}{
		"closed connection": {
			func(t testing.TB, option rueidis.ClientOption) *rediscluster.Bus { return connect(t, option) },
			(*testproxy.Proxy).Disconnect, (*testproxy.Proxy).Restore,
		},
		"silent connection": {
			func(t testing.TB, option rueidis.ClientOption) *rediscluster.Bus { return connect(t, option) },
			(*testproxy.Proxy).Pause, (*testproxy.Proxy).Resume,
		},
		"client of the program": {newBus, (*testproxy.Proxy).Disconnect, (*testproxy.Proxy).Restore},
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			addr := startRedis(t).addr
			var proxies sync.Map
			proxyOf := func(b cluster.Bus) *testproxy.Proxy {
				p, _ := proxies.Load(b)
				return p.(*testproxy.Proxy)
			}
			clustertest.TestBus(t, func(t testing.TB) cluster.Bus {
				p := testproxy.New(t, addr)
				b := test.newBus(t, rueidis.ClientOption{InitAddress: []string{p.Addr()}})
				proxies.Store(b, p)
				return b
			}, clustertest.WithOutage(
				func(b cluster.Bus) { test.disconnect(proxyOf(b)) },
				func(b cluster.Bus) { test.reconnect(proxyOf(b)) },
			))
		})
	}
}
