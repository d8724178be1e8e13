package cluster_test

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

// watched is a node beside a puppet that it has heard once, and greeted.
func watched(t *testing.T, opts ...cluster.Option) (*host, *puppet) {
	net := clustertest.NewNetwork(1)
	h, p := start(t, net, "node", opts...), newPuppet(t, net, "puppet")
	p.heartbeat(0, nil)
	after(beat / 4)
	return h, p
}

func TestReceive_DigestsApplyOnceAndInOrder(t *testing.T) {
	bubble(t, "a flush after another", func(t *testing.T) {
		h, p := watched(t)
		p.digest(0, 1, parts{"a": occ(1, 1), "b": occ(2, 0)})
		p.digest(1, 2, parts{"a": occ(5, 3)})
		require.Equal(t, occ(5, 3), h.Current("a"))
		require.Equal(t, occ(2, 0), h.Current("b"))
		p.digest(2, 3, parts{"a": occ(0, 0)})
		require.Equal(t, occ(0, 0), h.Current("a"))
		require.Equal(t, 1, h.node.Health().Peers[0].Rooms)
		p.heartbeat(3, parts{"b": occ(2, 0)})
		require.Empty(t, p.syncs())
	})
	bubble(t, "a duplicate and a late one are dropped", func(t *testing.T) {
		h, p := watched(t)
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.digest(1, 2, parts{"a": occ(2, 0)})
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.digest(1, 2, parts{"a": occ(9, 0)})
		require.Equal(t, occ(2, 0), h.Current("a"))
		require.Equal(t, uint64(2), h.node.Health().Duplicates)
		require.Empty(t, p.syncs())
	})
	bubble(t, "one that leaves a gap is not applied, and what was missed is asked for", func(t *testing.T) {
		h, p := watched(t)
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.digest(2, 3, parts{"b": occ(1, 0)})
		require.Equal(t, occ(0, 0), h.Current("b"))
		require.Equal(t, []uint64{1}, p.syncs())
		require.True(t, h.node.Health().Peers[0].Behind)
		require.True(t, h.node.Health().Degraded)
		p.digest(1, 3, parts{"a": occ(0, 0), "b": occ(1, 0)}) // a repair
		require.Equal(t, occ(0, 0), h.Current("a"))
		require.Equal(t, occ(1, 0), h.Current("b"))
		require.False(t, h.node.Health().Peers[0].Behind)
	})
	bubble(t, "a repair that begins before what is known applies, too", func(t *testing.T) {
		h, p := watched(t)
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.digest(1, 2, parts{"b": occ(1, 0)})
		p.digest(0, 3, parts{"a": occ(1, 0), "b": occ(7, 0)})
		require.Equal(t, occ(7, 0), h.Current("b"))
		require.Empty(t, p.syncs())
	})
}

func TestReceive_ASnapshotReplacesWhatWas(t *testing.T) {
	bubble(t, "without a moment in which it is not there", func(t *testing.T) {
		h, p := watched(t)
		p.digest(0, 1, parts{"stays": occ(1, 0), "goes": occ(2, 0)})
		sub, err := h.Subscribe("stays")
		must(t, err)
		<-sub.Events()
		p.digest(0, 5, parts{"new": occ(3, 0)}, snapshot(9))
		require.Equal(t, occ(1, 0), h.Current("stays"))
		require.Equal(t, occ(2, 0), h.Current("goes")) // until the snapshot is complete
		require.True(t, h.node.Health().Peers[0].Behind)
		p.digest(5, 9, parts{"stays": occ(1, 0)})
		require.Equal(t, occ(0, 0), h.Current("goes"))
		require.Equal(t, occ(3, 0), h.Current("new"))
		p.heartbeat(9, parts{"stays": occ(1, 0), "new": occ(3, 0)})
		require.False(t, h.node.Health().Peers[0].Behind)
		after(time.Second)
		require.Empty(t, sub.Events()) // nothing became of it
	})
	bubble(t, "also where a piece was lost and is repaired", func(t *testing.T) {
		h, p := watched(t)
		p.digest(0, 1, parts{"goes": occ(2, 0)})
		p.digest(0, 5, parts{"new": occ(3, 0)}, snapshot(9))
		p.digest(8, 9, parts{"last": occ(1, 0)})
		after(time.Second)
		require.Equal(t, []uint64{5}, p.syncs())
		p.digest(5, 10, parts{"last": occ(1, 0), "goes": occ(0, 0)})
		require.Equal(t, occ(0, 0), h.Current("goes"))
		p.heartbeat(10, parts{"last": occ(1, 0), "new": occ(3, 0)})
		require.Zero(t, h.node.Health().Mismatches)
	})
}

func TestReceive_HeartbeatsShowWhatWasMissed(t *testing.T) {
	bubble(t, "a seq that was not seen has a sync since the last", func(t *testing.T) {
		_, p := watched(t)
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.heartbeat(3, nil)
		require.Equal(t, []uint64{1}, p.syncs())
	})
	bubble(t, "the same seq with another hash has a full resync", func(t *testing.T) {
		h, p := watched(t)
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.heartbeat(1, parts{"a": occ(2, 0)})
		require.Equal(t, []uint64{0}, p.syncs())
		require.Equal(t, uint64(1), h.node.Health().Mismatches)
		p.digest(1, 2, parts{"b": occ(1, 0)}) // it is not known what this adds to
		require.Equal(t, occ(0, 0), h.Current("b"))
		p.digest(0, 2, parts{"a": occ(2, 0), "b": occ(1, 0)}, snapshot(2))
		require.Equal(t, occ(2, 0), h.Current("a"))
		p.heartbeat(2, parts{"a": occ(2, 0), "b": occ(1, 0)})
		require.False(t, h.node.Health().Peers[0].Behind)
	})
	bubble(t, "a seq that is less than what was seen has a full resync: somebody made it up", func(t *testing.T) {
		h, p := watched(t)
		p.digest(0, 1<<60, parts{"a": occ(1, 0)})
		require.Equal(t, occ(1, 0), h.Current("a"))
		p.heartbeat(1, nil)
		require.Equal(t, []uint64{0}, p.syncs())
		p.digest(0, 1, nil, snapshot(1))
		require.Equal(t, occ(0, 0), h.Current("a"))
		p.heartbeat(1, nil)
		require.False(t, h.node.Health().Peers[0].Behind)
	})
	bubble(t, "so does a snapshot that would never be complete", func(t *testing.T) {
		h, p := watched(t)
		p.digest(0, 1, nil, snapshot(1<<60))
		require.Empty(t, p.syncs()) // the rest may be on its way
		p.heartbeat(1, nil)
		after(time.Second)
		require.Equal(t, []uint64{0}, p.syncs())
		p.digest(0, 1, nil, snapshot(1))
		require.False(t, h.node.Health().Peers[0].Behind)
	})
	bubble(t, "a number that somebody made up does not make all others late", func(t *testing.T) {
		h, p := watched(t)
		p.beats = 1 << 60
		p.heartbeat(0, nil)
		p.beats = 1
		for range 10 {
			after(beat)
			p.heartbeat(0, nil)
		}
		require.Equal(t, []cluster.State{cluster.Live}, states(h))
		require.Zero(t, h.node.Health().Dropped)
	})
	bubble(t, "a late one says nothing", func(t *testing.T) {
		h, p := watched(t)
		p.digest(0, 1, parts{"a": occ(1, 0)})
		p.heartbeat(1, parts{"a": occ(1, 0)})
		after(time.Second)
		p.beats = 0
		p.heartbeat(0, nil)
		require.Empty(t, p.syncs())
		require.Equal(t, time.Second, h.node.Health().Peers[0].Age.Truncate(time.Millisecond))
	})
}

func TestReceive_AtMostOneSyncForEachPeerAndSecond(t *testing.T) {
	// asked is how often the node asks from the beginning to the end of ten seconds of gaps.
	asked := func(t *testing.T, opts ...cluster.Option) (n int) {
		_, p := watched(t, opts...)
		for i := range uint64(100) {
			p.digest(10+i, 11+i, nil)
			after(100 * time.Millisecond)
		}
		return len(p.syncs())
	}
	bubble(t, "however much it misses", func(t *testing.T) {
		require.Equal(t, 11, asked(t))
	})
	bubble(t, "which takes the rule", func(t *testing.T) {
		require.Greater(t, asked(t, cluster.Without(cluster.RuleSyncLimit)), 90)
	})
	bubble(t, "but it asks again, by itself, for what does not come", func(t *testing.T) {
		_, p := watched(t)
		p.digest(3, 4, nil)
		after(3500 * time.Millisecond)
		require.Equal(t, []uint64{0, 0, 0, 0}, p.syncs())
	})
	bubble(t, "and even where the peer was dropped and came again", func(t *testing.T) {
		h, p := watched(t, cluster.WithHeartbeat(100*time.Millisecond))
		p.digest(3, 4, nil)
		for range 8 { // one of its own every 600ms, a lease of 500ms
			after(800 * time.Millisecond)
			p.heartbeat(4, nil)
		}
		require.Positive(t, h.node.Health().Dropped)
		require.LessOrEqual(t, len(p.syncs()), 7)
	})
}

func TestReceive_AnswersSyncs(t *testing.T) {
	ask := func(p *puppet, h *host, since uint64) []*clusterpb.Digest {
		to, err := hex.DecodeString(h.node.Health().Incarnation)
		require.NoError(p, err)
		heard[clusterpb.Digest](p, cluster.KindSyncReply) // of before
		p.say(cluster.Subject{Kind: cluster.KindSyncRequest, Shard: shard(to)}, &clusterpb.SyncRequest{From: p.id, To: to, Since: since})
		return heard[clusterpb.Digest](p, cluster.KindSyncReply)
	}
	bubble(t, "with all since then, each room once, as it is", func(t *testing.T) {
		h, p := watched(t)
		for i := range 5 {
			h.join(t, room(i), 1)
			after(time.Second)
		}
		h.join(t, room(0), 1)
		must(t, h.Leave(room(3)))
		after(time.Second)
		p.heartbeat(0, nil)
		all := ask(p, h, 3)
		require.Len(t, all, 1)
		require.Equal(t, uint64(3), all[0].Base)
		require.False(t, all[0].Reset_)
		got := parts{}
		for i, r := range all[0].Rooms {
			got[r] = occ(int(all[0].Connections[i]), int(all[0].Members[i]))
		}
		require.Equal(t, parts{room(0): occ(2, 0), room(3): occ(0, 0), room(4): occ(1, 0)}, got)

		after(time.Second)
		p.heartbeat(0, nil)
		all = ask(p, h, 0)
		require.Len(t, all, 1)
		require.True(t, all[0].Reset_)
		require.Equal(t, all[0].Seq, all[0].Snapshot)
		require.ElementsMatch(t, []string{room(0), room(1), room(2), room(4)}, all[0].Rooms)

		after(time.Second)
		p.heartbeat(0, nil)
		require.Empty(t, ask(p, h, all[0].Seq)) // nothing is new

		after(time.Second)
		p.heartbeat(0, nil)
		all = ask(p, h, 1000) // which never was
		require.Len(t, all, 1)
		require.True(t, all[0].Reset_)
		require.Empty(t, ask(p, h, 0)) // again so soon
		require.Equal(t, uint64(3), h.node.Health().Served)
	})
	bubble(t, "in digests that follow one another and that the bus can take", func(t *testing.T) {
		h, p := watched(t)
		h.bus.SetMaxPayload(cluster.MinPayload)
		const rooms = 20_000
		for i := range rooms {
			h.join(t, room(i), 1)
		}
		after(5 * time.Second)
		p.heartbeat(0, nil)
		all := ask(p, h, 0)
		require.Greater(t, len(all), 5)
		got := map[string]bool{}
		for i, d := range all {
			require.Equal(t, i == 0, d.Reset_)
			if i > 0 {
				require.Equal(t, all[i-1].Seq, d.Base)
			}
			for _, r := range d.Rooms {
				got[r] = true
			}
		}
		require.Equal(t, all[0].Snapshot, all[len(all)-1].Seq)
		require.Len(t, got, rooms)
	})
}
