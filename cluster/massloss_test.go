package cluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestMassLoss_RequiresLossesWithinOneLease(t *testing.T) {
	bubble(t, "no mass loss if peers crash one after another", func(t *testing.T) {
		_, hosts := service(t, 6)
		for i, h := range hosts[1:4] {
			h.crash()
			require.LessOrEqual(t, until(t, hosts[0], occ(5-i, 0)), lease+beat)
			after(lease)
		}
	})
	bubble(t, "no mass loss if a suspect peer returns", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		h := start(t, net, "node")
		lost, late, live := newPuppet(t, net, "a-lost"), newPuppet(t, net, "b-late"), newPuppet(t, net, "c-live")
		lost.heartbeat(0, nil)
		late.heartbeat(0, nil)
		for range 5 {
			live.heartbeat(0, nil)
			after(beat + time.Millisecond)
		}
		live.heartbeat(0, nil)
		require.Equal(t, []cluster.State{cluster.Suspect, cluster.Suspect, cluster.Live}, states(h))
		late.heartbeat(0, nil)
		after(beat)
		require.Equal(t, []cluster.State{cluster.Missing, cluster.Live, cluster.Live}, states(h))
	})
}
