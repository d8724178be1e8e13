package rediscluster_test

import (
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
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
	return bustest.CloseAfter(t, b)
}

func TestBus_Conformance(t *testing.T) {
	checkGoroutines(t)
	option := func(addr string) rueidis.ClientOption { return rueidis.ClientOption{InitAddress: []string{addr}} }
	bustest.TestConformance(t, startRedis(t).addr,
		func(t testing.TB, addr string) cluster.Bus { return connect(t, option(addr)) },
		func(t testing.TB, addr string) cluster.Bus { return newBus(t, option(addr)) })
}
