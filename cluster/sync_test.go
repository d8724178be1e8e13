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

// slowBus takes a while for a reply, as one does whose snapshot is a million rooms.
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

func TestSync_OfManyAtOnce(t *testing.T) {
	// storm has twenty peers ask a node of large state at once, and again after that.
	storm := func(t *testing.T, again ...time.Duration) (*occupancy.Engine, []*puppet) {
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
		ask := func() {
			for _, p := range puppets {
				p.say(cluster.Subject{Kind: cluster.KindSyncRequest, Shard: shard(to)}, &clusterpb.SyncRequest{From: p.id, To: to})
			}
		}
		ask()
		for _, d := range again {
			after(d)
			ask()
		}
		return eng, puppets
	}
	bubble(t, "does not keep the node from hearing and from saying that it lives", func(t *testing.T) {
		eng, puppets := storm(t)
		p := puppets[0]
		for i := range uint64(5) {
			heard[clusterpb.Heartbeat](p, cluster.KindHeartbeat) // of before
			p.digest(i, i+1, parts{"theirs": occ(int(i)+1, 0)})
			after(1500 * time.Millisecond)
			require.Equal(t, occ(int(i)+1, 0), eng.Current("theirs"))
			require.NotEmpty(t, heard[clusterpb.Heartbeat](p, cluster.KindHeartbeat))
		}
	})
	bubble(t, "answers nobody who did not say that it lives", func(t *testing.T) {
		h, p := watched(t)
		h.join(t, "r", 1)
		to, err := hex.DecodeString(h.node.Health().Incarnation)
		must(t, err)
		stranger := newPuppet(t, p.net, "stranger")
		for range 100 {
			stranger.say(cluster.Subject{Kind: cluster.KindSyncRequest, Shard: shard(to)}, &clusterpb.SyncRequest{From: stranger.id, To: to})
		}
		require.Zero(t, h.node.Health().Served)
		stranger.heartbeat(0, nil)
		stranger.say(cluster.Subject{Kind: cluster.KindSyncRequest, Shard: shard(to)}, &clusterpb.SyncRequest{From: stranger.id, To: to})
		require.Equal(t, uint64(1), h.node.Health().Served)
	})
	bubble(t, "answers who asks again while it waits once", func(t *testing.T) {
		_, puppets := storm(t, time.Second, time.Second, time.Second)
		after(20 * time.Second)
		for i, p := range puppets {
			replies := heard[clusterpb.Digest](p, cluster.KindSyncReply)
			require.NotEmpty(t, replies)
			if i >= 10 { // whose turn comes after it asked last
				require.Len(t, replies, 1, "%s", p.name)
			}
		}
	})
	bubble(t, "forgets who leaves while it waits", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		eng := occupancy.New()
		t.Cleanup(func() { _ = eng.Close() })
		node, err := cluster.Start(t.Context(), eng, slowBus{net.Bus("a"), 400 * time.Millisecond})
		must(t, err)
		t.Cleanup(func() { _ = node.Close() })
		to, err := hex.DecodeString(node.Health().Incarnation)
		must(t, err)
		p := newPuppet(t, net, "p")
		for i := range 200 { // all but the first wait while that is answered, and then leave
			p.id = fmt.Appendf(nil, "%016d", i)
			p.heartbeat(0, nil)
			p.say(cluster.Subject{Kind: cluster.KindSyncRequest, Shard: shard(to)}, &clusterpb.SyncRequest{From: p.id, To: to})
			p.bye()
		}
		after(time.Minute)
		require.Equal(t, uint64(1), node.Health().Served)
	})
}
