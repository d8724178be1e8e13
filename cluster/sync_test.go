package cluster_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

// slowBus delays replies, as if each reply were the snapshot of a million rooms.
type slowBus struct {
	*clustertest.Bus
	takes time.Duration
}

func (b slowBus) Publish(ctx context.Context, to cluster.Subject, payload []byte) error {
	if to.Kind == cluster.KindSyncReply {
		time.Sleep(b.takes)
	}
	return b.Bus.Publish(ctx, to, payload)
}

func TestSync_ManyRequestsAtOnce(t *testing.T) {
	// sendRequests sends sync requests of twenty peers at the same time, and repeats them after the
	// given times.
	sendRequests := func(t *testing.T, again ...time.Duration) (*occupancy.Engine, []*puppet) {
		net := clustertest.NewNetwork(1)
		eng := occupancy.New()
		t.Cleanup(func() { _ = eng.Close() })
		node, err := cluster.Start(t.Context(), eng, slowBus{net.Bus("a"), 400 * time.Millisecond}, cluster.WithName("a"))
		must(t, err, eng.Join("lobby"))
		t.Cleanup(func() { _ = node.Close() })
		puppets := make([]*puppet, 20)
		for i := range puppets {
			puppets[i] = newPuppet(t, net, fmt.Sprintf("p%02d", i))
			puppets[i].heartbeat(0, nil)
		}
		to, err := hex.DecodeString(node.Health().Incarnation)
		must(t, err)
		request := func() {
			for _, p := range puppets {
				p.send(cluster.Subject{Kind: cluster.KindSyncRequest, Shard: shard(to)}, &clusterpb.SyncRequest{From: p.id, To: to})
			}
		}
		request()
		for _, d := range again {
			after(d)
			request()
		}
		return eng, puppets
	}
	bubble(t, "digests and heartbeats are still published", func(t *testing.T) {
		eng, puppets := sendRequests(t)
		p := puppets[0]
		for i := range uint64(5) {
			received[clusterpb.Heartbeat](p, cluster.KindHeartbeat) // drop earlier heartbeats
			p.digest(i, i+1, parts{"theirs": occ(int(i)+1, 0)})
			after(1500 * time.Millisecond)
			require.Equal(t, occ(int(i)+1, 0), eng.Current("theirs"))
			require.NotEmpty(t, received[clusterpb.Heartbeat](p, cluster.KindHeartbeat))
		}
	})
	bubble(t, "a node that has left, and a request for another node, are not served", func(t *testing.T) {
		h, p := startWithPuppet(t)
		h.join(t, "r", 1)
		to, err := hex.DecodeString(h.node.Health().Incarnation)
		must(t, err)
		request := func(to []byte) uint64 {
			p.send(cluster.Subject{Kind: cluster.KindSyncRequest, Shard: shard(to)}, &clusterpb.SyncRequest{From: p.id, To: to})
			return h.node.Health().Served
		}
		require.Equal(t, uint64(1), request(to))
		require.Equal(t, uint64(1), request(append(to[:15:15], to[15]+1))) // the same shard
		p.bye()
		require.Equal(t, uint64(1), request(to))
	})
	bubble(t, "repeated requests of one peer are served once", func(t *testing.T) {
		_, puppets := sendRequests(t, time.Second, time.Second, time.Second)
		after(20 * time.Second)
		for i, p := range puppets {
			replies := received[clusterpb.Digest](p, cluster.KindSyncReply)
			require.NotEmpty(t, replies)
			if i >= 10 { // served after the last request
				require.Len(t, replies, 1, "%s", p.name)
			}
		}
	})
	bubble(t, "requests of peers that leave are dropped", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		eng := occupancy.New()
		t.Cleanup(func() { _ = eng.Close() })
		node, err := cluster.Start(t.Context(), eng, slowBus{net.Bus("a"), 400 * time.Millisecond})
		must(t, err)
		t.Cleanup(func() { _ = node.Close() })
		to, err := hex.DecodeString(node.Health().Incarnation)
		must(t, err)
		p := newPuppet(t, net, "p")
		for i := range 200 { // all requests except the first are still queued when their peers leave
			p.id = fmt.Appendf(nil, "%016d", i)
			p.heartbeat(0, nil)
			p.send(cluster.Subject{Kind: cluster.KindSyncRequest, Shard: shard(to)}, &clusterpb.SyncRequest{From: p.id, To: to})
			p.bye()
		}
		after(time.Minute)
		require.Equal(t, uint64(1), node.Health().Served)
	})
}

func TestSync_AtMostOneRequestPerPeerAndSecond(t *testing.T) {
	// requests returns the number of sync requests in ten seconds in which digests are missing.
	requests := func(t *testing.T) (n int) {
		_, p := startWithPuppet(t)
		for i := range uint64(100) {
			if i%10 == 0 {
				p.heartbeat(10+i, nil)
			}
			p.digest(10+i, 11+i, nil)
			after(100 * time.Millisecond)
		}
		return len(p.syncs())
	}
	bubble(t, "many gaps", func(t *testing.T) {
		require.Equal(t, 3, requests(t)) // after 0, about 2 and about 6 seconds
	})
	bubble(t, "repeated without a reply", func(t *testing.T) {
		_, p := startWithPuppet(t)
		p.digest(3, 4, nil)
		var requests []int
		for range 60 {
			after(time.Second)
			p.heartbeat(4, nil)
			requests = append(requests, len(p.syncs()))
			require.LessOrEqual(t, requests[len(requests)-1], 1)
		}
		count := func(from, to int) (n int) {
			for _, r := range requests[from:to] {
				n += r
			}
			return n
		}
		require.Equal(t, 3, count(0, 7))       // after 0, about 2 and about 6 seconds
		require.InDelta(t, 7, count(7, 60), 2) // and then every eight seconds
	})
	bubble(t, "also for a peer that was dropped and returned", func(t *testing.T) {
		h, p := startWithPuppet(t, cluster.WithHeartbeat(100*time.Millisecond))
		p.digest(3, 4, nil)
		for range 8 { // the lease of 500ms expires before the next heartbeat, after 800ms
			after(800 * time.Millisecond)
			p.heartbeat(4, nil)
		}
		require.Positive(t, h.node.Health().Dropped)
		require.LessOrEqual(t, len(p.syncs()), 7)
	})
}

func TestSync_RequestIsServed(t *testing.T) {
	request := func(p *puppet, h *host, since uint64) []*clusterpb.Digest {
		to, err := hex.DecodeString(h.node.Health().Incarnation)
		require.NoError(p, err)
		received[clusterpb.Digest](p, cluster.KindSyncReply) // drop earlier replies
		p.send(cluster.Subject{Kind: cluster.KindSyncRequest, Shard: shard(to)}, &clusterpb.SyncRequest{From: p.id, To: to, Since: since})
		return received[clusterpb.Digest](p, cluster.KindSyncReply)
	}
	bubble(t, "with all changes, each room once", func(t *testing.T) {
		h, p := startWithPuppet(t)
		for i := range 5 {
			h.join(t, room(i), 1)
			after(time.Second)
		}
		h.join(t, room(0), 1)
		must(t, h.Leave(room(3)))
		after(time.Second)
		p.heartbeat(0, nil)
		all := request(p, h, 3)
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
		all = request(p, h, 0)
		require.Len(t, all, 1)
		require.True(t, all[0].Reset_)
		require.Equal(t, all[0].Seq, all[0].Snapshot)
		require.ElementsMatch(t, []string{room(0), room(1), room(2), room(4)}, all[0].Rooms)

		after(time.Second)
		p.heartbeat(0, nil)
		require.Empty(t, request(p, h, all[0].Seq)) // there is no later change

		after(time.Second)
		p.heartbeat(0, nil)
		all = request(p, h, 1000) // a seq that was never published
		require.Len(t, all, 1)
		require.True(t, all[0].Reset_)
		require.Equal(t, uint64(3), h.node.Health().Served)
	})
	bubble(t, "in consecutive digests within MaxPayload", func(t *testing.T) {
		h, p := startWithPuppet(t)
		h.bus.SetMaxPayload(cluster.MinPayload)
		const rooms = 20_000
		for i := range rooms {
			h.join(t, room(i), 1)
		}
		after(5 * time.Second)
		p.heartbeat(0, nil)
		all := request(p, h, 0)
		require.Greater(t, len(all), 3)
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
