package natscluster_test

import (
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

func TestBus_KeepsItsPromises(t *testing.T) {
	t.Run("connected to one server", func(t *testing.T) {
		leavesNothing(t)
		url := startServer(t, nil).ClientURL()
		var mu sync.Mutex
		proxies := make(map[cluster.Bus]*proxy)
		of := func(b cluster.Bus) *proxy {
			mu.Lock()
			defer mu.Unlock()
			return proxies[b]
		}
		clustertest.TestBus(t, func(t testing.TB) cluster.Bus {
			p := newProxy(t, url)
			b := connect(t, p.URL())
			mu.Lock()
			defer mu.Unlock()
			proxies[b] = p
			return b
		}, clustertest.WithOutage(
			func(b cluster.Bus) { of(b).Cut() },
			func(b cluster.Bus) { of(b).Mend() },
		))
	})

	t.Run("connected to a server of small payloads", func(t *testing.T) {
		leavesNothing(t)
		url := startServer(t, func(o *server.Options) { o.MaxPayload = cluster.MinPayload }).ClientURL()
		clustertest.TestBus(t, func(t testing.TB) cluster.Bus { return connect(t, url) })
	})

	t.Run("each with a server inside", func(t *testing.T) {
		leavesNothing(t)
		first := embed(t, natscluster.WithClusterListen("127.0.0.1:0"))
		clustertest.TestBus(t, func(t testing.TB) cluster.Bus {
			return embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithSeeds(first.ClusterAddr()))
		})
	})

	t.Run("seeds and clients", func(t *testing.T) {
		leavesNothing(t)
		first := embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithClientListen("127.0.0.1:0"))
		second := embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithSeeds(first.ClusterAddr()),
			natscluster.WithClientListen("127.0.0.1:0"))
		n := 0
		clustertest.TestBus(t, func(t testing.TB) cluster.Bus {
			n++
			switch n % 3 {
			case 0:
				return connect(t, first.ClientURL())
			case 1:
				return connect(t, second.ClientURL())
			}
			return embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithSeeds(first.ClusterAddr()))
		})
	})
}
