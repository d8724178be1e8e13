package cluster_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestLimits_AreEnforcedForEachPeer(t *testing.T) {
	peer := func(h *host, name string) cluster.PeerHealth {
		peers := h.node.Health().Peers
		return peers[slices.IndexFunc(peers, func(p cluster.PeerHealth) bool { return p.Name == name })]
	}
	bubble(t, "WithMaxRooms", func(t *testing.T) {
		h, p := startWithPuppet(t, cluster.WithMaxRooms(100))
		many := parts{}
		for i := range 500 {
			many[room(i)] = occ(1, 0)
		}
		p.digest(0, 1, many)
		require.Equal(t, 100, h.Stats().Rooms)
		require.Equal(t, 100, peer(h, p.name).Rooms)
		require.True(t, peer(h, p.name).OverLimit)
		require.True(t, h.node.Health().Degraded)
		for range 300 {
			after(time.Second)
			p.heartbeat(1, many)
		}
		require.Empty(t, p.syncs())
		require.Equal(t, 100, h.Stats().Rooms)
		gone := parts{}
		for i := range 499 {
			gone[room(i)] = occ(0, 0)
		}
		p.digest(1, 2, gone)
		p.heartbeat(2, parts{room(499): occ(1, 0)})
		require.Equal(t, []uint64{0}, p.syncs()) // all rooms fit
		p.digest(0, 2, parts{room(499): occ(1, 0)}, snapshot(2))
		p.heartbeat(2, parts{room(499): occ(1, 0)})
		require.False(t, peer(h, p.name).OverLimit)
		require.Equal(t, 1, h.Stats().Rooms)
	})
	bubble(t, "WithMaxRooms: the owner of the rooms is informed", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := start(t, net, "a"), start(t, net, "b", cluster.WithMaxRooms(100))
		for i := range 101 {
			a.join(t, room(i), 1)
		}
		after(3 * beat)
		require.Equal(t, 100, b.Stats().Rooms)
		require.True(t, b.node.Health().Degraded)
		require.True(t, a.node.Health().Peers[0].IgnoresRooms)
		require.False(t, b.node.Health().Peers[0].IgnoresRooms)
		served := a.node.Health().Served
		after(5 * time.Minute)
		require.Equal(t, served, a.node.Health().Served)
		must(t, a.Leave(room(0)))
		after(2 * beat)
		require.Equal(t, 100, b.Stats().Rooms)
		require.False(t, b.node.Health().Degraded)
		require.False(t, a.node.Health().Peers[0].IgnoresRooms)
		for i := range 100 {
			require.Equal(t, occ(1, 0), b.Current(room(i+1)))
		}
	})
	bubble(t, "WithMaxCount", func(t *testing.T) {
		h, p := startWithPuppet(t, cluster.WithMaxCount(1000))
		p.digest(0, 1, parts{"r": occ(1000, 7), "s": occ(1001, 0)})
		require.Equal(t, occ(1000, 7), h.Current("r"))
		require.Equal(t, occ(0, 0), h.Current("s"))
		require.Equal(t, 1, peer(h, p.name).Refused)
		require.True(t, h.node.Health().Degraded)
		p.digest(1, 2, parts{"r": occ(0, 1001)})
		require.Equal(t, occ(1000, 7), h.Current("r")) // the previous counts
		require.Equal(t, 2, peer(h, p.name).Refused)
		p.heartbeat(2, parts{"r": occ(0, 1001), "s": occ(1001, 0)})
		require.Empty(t, p.syncs()) // refused counts are part of the hash
		p.digest(2, 3, parts{"r": occ(1, 1), "s": occ(0, 0)})
		require.Equal(t, occ(1, 1), h.Current("r"))
		require.Zero(t, peer(h, p.name).Refused)
		require.Equal(t, 1, h.Stats().Rooms)
	})
	bubble(t, "room limit of the engine, with retries", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		h := &host{occupancy.New(occupancy.WithMaxRooms(2)), net.Bus("node"), nil}
		var err error
		h.node, err = cluster.Start(t.Context(), h.Engine, h.bus)
		must(t, err)
		t.Cleanup(h.crash)
		h.join(t, "own", 1) // does not count against the limit of the peers' rooms
		first, second := newPuppet(t, net, "first"), newPuppet(t, net, "second")
		first.digest(0, 1, parts{"r": occ(1, 0), "s": occ(1, 0)})
		theirs := parts{"r": occ(2, 0), "t": occ(4, 0), "u": occ(8, 0)}
		second.digest(0, 1, theirs)
		second.heartbeat(1, theirs)
		after(beat)
		require.Equal(t, 2, h.node.Health().Peers[1].Refused)
		require.Equal(t, 3, h.node.Health().Peers[1].Rooms)
		require.Equal(t, occ(3, 0), h.Current("r"))
		require.Equal(t, occ(0, 0), h.Current("t"))
		require.True(t, h.node.Health().Degraded)
		require.Empty(t, second.syncs()) // refused counts are part of the hash
		first.digest(1, 2, parts{"s": occ(0, 0)})
		after(beat) // one of them fits
		require.Equal(t, 1, peer(h, "second").Refused)
		first.bye()
		second.digest(1, 2, parts{"r": occ(0, 0)})
		second.heartbeat(2, parts{"t": occ(4, 0), "u": occ(8, 0)})
		after(beat)
		require.Zero(t, peer(h, "second").Refused)
		require.Equal(t, occ(4, 0), h.Current("t"))
		require.Equal(t, occ(8, 0), h.Current("u"))
		require.Empty(t, second.syncs())
		require.False(t, h.node.Health().Degraded)
	})
	bubble(t, "refused rooms in a snapshot", func(t *testing.T) {
		h, p := startWithPuppet(t, cluster.WithMaxCount(1000))
		p.digest(0, 1, parts{"r": occ(7, 0), "refused": occ(1001, 0), "kept": occ(1001, 0)})
		p.digest(0, 2, parts{"kept": occ(1001, 0)}, snapshot(3))
		require.Equal(t, 2, peer(h, p.name).Refused)
		p.digest(2, 3, parts{"new": occ(1, 0)})
		require.Equal(t, 1, peer(h, p.name).Refused)
		require.Equal(t, 2, peer(h, p.name).Rooms)
		require.Equal(t, occ(0, 0), h.Current("r"))
		p.heartbeat(3, parts{"kept": occ(1001, 0), "new": occ(1, 0)})
		require.Empty(t, p.syncs())
	})
	bubble(t, "WithMaxPeers", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		h := start(t, net, "node", cluster.WithMaxPeers(10))
		for i := range 50 {
			p := newPuppet(t, net, fmt.Sprint(i, "th"))
			p.digest(0, 1, parts{"r": occ(1, 0)})
		}
		require.Len(t, h.node.Health().Peers, 10)
		require.Equal(t, uint64(40), h.node.Health().RejectedPeers)
		require.Equal(t, occ(10, 0), h.Current("r"))
		require.True(t, h.node.Health().Degraded)
		after(lease + hold + beat)
		for i := range 5 { // new peers take the places of Missing peers
			newPuppet(t, net, fmt.Sprint(i, "new")).digest(0, 1, parts{"r": occ(1, 0)})
		}
		require.Equal(t, uint64(40), h.node.Health().RejectedPeers)
		require.Equal(t, occ(5, 0), h.Current("r"))
		require.Len(t, h.node.Health().Peers, 10)
		after(lease + hold + beat + 10*time.Minute)
		require.Empty(t, h.node.Health().Peers)
		require.False(t, h.node.Health().Degraded)
	})
}
