package cluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func reasons(h *host) (all []string) {
	for _, r := range h.node.Health().Reasons {
		all = append(all, r.Text)
	}
	return all
}

func TestHealth_OwnHeartbeatsReturn(t *testing.T) {
	bubble(t, "publishing is denied", func(t *testing.T) {
		_, hosts := service(t, 3)
		hosts[0].bus.Mute(true)
		after(3*beat + beat/2)
		require.Equal(t, []string{"own heartbeats are not delivered"}, reasons(hosts[0]))
		require.True(t, hosts[0].node.Health().Degraded)
		require.Greater(t, hosts[0].node.Health().BusDelay, 2*beat)
		// The other nodes detect it when the lease expires.
		after(lease)
		require.Equal(t, []string{"missing: a"}, reasons(hosts[1]))
		since := hosts[1].node.Health().Reasons[0].Since
		after(time.Minute)
		require.Equal(t, since, hosts[1].node.Health().Reasons[0].Since)
		require.InDelta(t, time.Minute, time.Since(since), float64(lease))
		hosts[0].bus.Mute(false)
		after(2 * beat)
		require.Empty(t, reasons(hosts[0]))
		require.Empty(t, reasons(hosts[1]))
	})
	bubble(t, "a slow bus", func(t *testing.T) {
		net, hosts := service(t, 3)
		slow := 59900 * time.Millisecond
		net.SetFaults(clustertest.Faults{MinDelay: slow, MaxDelay: slow})
		after(3 * beat)
		require.Contains(t, reasons(hosts[0]), "own heartbeats are not delivered")
		for range 200 { // the delayed heartbeats of all peers arrive regularly
			after(beat)
			require.True(t, hosts[0].node.Health().Degraded)
		}
		require.Equal(t, slow.Round(beat), hosts[0].node.Health().BusDelay.Round(beat))
		require.Contains(t, reasons(hosts[0]), "the delay of the bus is longer than half a lease")
	})
	bubble(t, "the delay is measured", func(t *testing.T) {
		net, hosts := service(t, 2, cluster.WithLease(10*beat))
		net.SetFaults(clustertest.Faults{MinDelay: 300 * time.Millisecond, MaxDelay: 300 * time.Millisecond})
		after(2*beat - 100*time.Millisecond)
		require.InDelta(t, 300*time.Millisecond, hosts[0].node.Health().BusDelay, float64(2*time.Millisecond))
		require.Empty(t, reasons(hosts[0]))
	})
}
