package cluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestDegraded_WhenTheBusSaysThatSomethingWasLost(t *testing.T) {
	bubble(t, "until heartbeats show what it was", func(t *testing.T) {
		net, hosts := service(t, 3)
		net.SetFaults(clustertest.Faults{MinDelay: 300 * time.Millisecond, MaxDelay: 300 * time.Millisecond})
		hosts[1].bus.Overflow(1)
		hosts[0].join(t, "r", 1)
		for i := 0; i < 1000 && hosts[1].node.Health().Lossy == 0; i++ {
			after(time.Millisecond)
		}
		require.Equal(t, uint64(1), hosts[1].node.Health().Lossy)
		require.NotEqual(t, hosts[0].Current("r"), hosts[1].Current("r"))
		require.True(t, hosts[1].node.Health().Degraded)
		after(2 * beat)
		require.False(t, hosts[1].node.Health().Degraded)
	})
}

func TestDegraded_NotForEverOnABusThatAnotherNodeHasUsed(t *testing.T) {
	bubble(t, "though the first it says is that something was lost", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a := start(t, net, "a")
		b := start(t, net, "b")
		after(3 * time.Second)
		must(t, b.node.Close())
		node, err := cluster.Start(t.Context(), b.Engine, b.bus, cluster.WithName("b"))
		must(t, err)
		defer node.Close()
		b.bus.Overflow(1)
		a.join(t, "r", 1)
		after(time.Minute)
		h := node.Health()
		require.Equal(t, uint64(1), h.Lossy)
		require.True(t, h.Connected)
		require.False(t, h.Degraded)
	})
}

func TestDegraded_AfterAnOutage(t *testing.T) {
	bubble(t, "until heartbeats show what was missed", func(t *testing.T) {
		_, hosts := service(t, 3)
		hosts[0].bus.Disconnect()
		soon()
		hosts[1].join(t, "r", 1)
		soon()
		hosts[0].bus.Reconnect()
		soon()
		require.Equal(t, occ(3, 0), hosts[0].Current("r"))
		require.True(t, hosts[0].node.Health().Degraded)
		after(2 * beat)
		require.Equal(t, occ(4, 0), hosts[0].Current("r"))
		require.False(t, hosts[0].node.Health().Degraded)
	})
}
