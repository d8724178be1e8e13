package cluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestLease_PausedNodeKeepsReplacedPeer(t *testing.T) {
	bubble(t, "pause of less than a heartbeat interval", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		h := start(t, net, "a")
		p := newPuppet(t, net, "p")
		q := newPuppet(t, net, "q")
		q.name = p.name
		beats := func() { p.heartbeat(0, nil); q.heartbeat(0, nil) }
		after(50 * time.Millisecond)
		for range 3 {
			beats()
			after(beat)
		}
		resume := h.bus.Stall() // the node stops at its next heartbeat, 4s after the start
		beats()                 // 3.05s after the start
		after(beat)
		q.heartbeat(0, nil)
		q.heartbeat(0, nil)
		beats() // 4.05s after the start; these heartbeats wait in the inbox
		after(550 * time.Millisecond)
		resume()
		settle()
		require.Len(t, states(h), 2)
		require.Zero(t, h.node.Health().Dropped)
	})
}

func TestLease_DelayedMessageOfReplacedPeer_IsForgottenSoon(t *testing.T) {
	bubble(t, "heartbeat and digest", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		h := start(t, net, "a")
		old := newPuppet(t, net, "old")
		next := newPuppet(t, net, "new")
		next.name = old.name
		old.digest(0, 1, parts{"r": occ(1, 0)})
		old.heartbeat(1, parts{"r": occ(1, 0)})
		after(beat)
		// The process is killed and starts again at once.
		for range 3 {
			next.heartbeat(0, nil)
			after(beat)
		}
		require.Len(t, states(h), 1)
		old.heartbeat(1, parts{"r": occ(1, 0)}) // this heartbeat was delayed
		for i := range 10 {
			next.heartbeat(0, nil)
			after(beat)
			require.True(t, i == 0 || len(states(h)) == 1)
		}
		old.digest(0, 1, parts{"r": occ(1, 0)})
		for i := range 10 {
			next.heartbeat(0, nil)
			after(beat)
			require.True(t, i == 0 || len(states(h)) == 1)
		}
	})
}
