package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

func TestStart_RefusesWhatCannotBe(t *testing.T) {
	eng := occupancy.New()
	defer eng.Close()
	refused := func(bus cluster.Bus, opts ...cluster.Option) string {
		t.Helper()
		node, err := cluster.Start(t.Context(), eng, bus, opts...)
		require.Error(t, err)
		require.Nil(t, node)
		return err.Error()
	}
	net := clustertest.NewNetwork(1)
	for name, o := range map[string]cluster.Option{
		"name":      cluster.WithName(fmt.Sprintf("%256d", 1)),
		"utf8":      cluster.WithName("\xff"),
		"flush":     cluster.WithFlush(-1),
		"hold":      cluster.WithHold(-1),
		"heartbeat": cluster.WithHeartbeat(0),
		"lease":     cluster.WithLease(time.Second),
		"wait":      cluster.WithGetTimeout(0),
		"peers":     cluster.WithMaxPeers(0),
		"rooms":     cluster.WithMaxRooms(0),
		"count":     cluster.WithMaxCount(-1),
	} {
		require.Regexp(t, "^cluster: ", refused(net.Bus(name), o), name)
	}
	small := net.Bus("small")
	small.SetMaxPayload(cluster.MinPayload - 1)
	require.Contains(t, refused(small), "too small")
	closed := net.Bus("closed")
	must(t, closed.Close(t.Context()))
	require.Contains(t, refused(closed), "closed")
	require.Contains(t, refused(net.Bus("entropy"), cluster.WithEntropy(noEntropy{})), "cannot read random bits")
	// And nothing stays behind: the engine is alone.
	_, err := eng.Get(t.Context(), "r")
	must(t, err)
	must(t, eng.Close())
	_, err = cluster.Start(t.Context(), eng, net.Bus("late"))
	require.ErrorIs(t, err, occupancy.ErrClosed)
}

type noEntropy struct{}

func (noEntropy) Read([]byte) (int, error) { return 0, errors.New("none") }

func TestStart_TheContextIsForTheStartOnly(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a := start(t, net, "a")
		ctx, cancel := context.WithCancel(t.Context())
		b := &host{occupancy.New(), net.Bus("b"), nil}
		var err error
		b.node, err = cluster.Start(ctx, b.Engine, b.bus)
		must(t, err)
		t.Cleanup(b.crash)
		cancel()
		a.join(t, "r", 1)
		after(3 * time.Second)
		require.Equal(t, occ(1, 0), b.Current("r"))
		require.Regexp(t, ".+-[0-9a-f]{8}", b.node.Health().Name)
	})
}

func TestNode_QuietCostsHeartbeatsOnly(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := start(t, net, "a"), start(t, net, "b")
		for i := range 5000 {
			a.join(t, room(i), 1)
		}
		after(5 * time.Second)
		require.Equal(t, 5000, b.Stats().Total.Connections)
		kinds := map[cluster.Kind]int{}
		bytes := 0
		net.Tap(func(_ string, m cluster.Message) { kinds[m.Subject.Kind]++; bytes += len(m.Payload) })
		time.Sleep(100 * time.Second)
		synctest.Wait()
		require.Equal(t, map[cluster.Kind]int{cluster.KindHeartbeat: 200}, kinds)
		require.Less(t, bytes, 200*60)
	})
}

func TestNode_AFlushGathers(t *testing.T) {
	bubble(t, "what changes within it, and no change that undoes itself", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a := start(t, net, "a", cluster.WithFlush(time.Second))
		p := newPuppet(t, net, "p")
		after(3 * time.Second)
		digests := 0
		net.Tap(func(_ string, m cluster.Message) {
			if m.Subject.Kind == cluster.KindDigest {
				digests++
			}
		})
		for i := range 40 { // four seconds
			a.join(t, room(i%10), 1)
			must(t, a.Enter("both", "alice"), a.Exit("both", "alice"))
			after(100 * time.Millisecond)
		}
		require.InDelta(t, 5, digests, 1)
		after(3 * time.Second)
		digests = 0
		a.join(t, "undone", 1)
		after(10 * time.Millisecond)
		require.Equal(t, 1, digests) // at once after quiet
		a.join(t, "undone", 1)
		must(t, a.Leave("undone"))
		after(3 * time.Second)
		require.Equal(t, 1, digests)
		_ = p
	})
	bubble(t, "and tells what came shortly after another change as soon as what came late", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := start(t, net, "a"), start(t, net, "b")
		after(2 * time.Second)
		for i := range 3 { // the first is told at once
			a.join(t, room(i), 1)
			after(10 * time.Millisecond)
		}
		after(170 * time.Millisecond) // a flush since the first
		soon()
		for i := range 3 {
			require.Equal(t, occ(1, 0), b.Current(room(i)))
		}
	})
	bubble(t, "and all nodes that are busy flush at once", func(t *testing.T) {
		net, hosts := service(t, 5)
		busy := func(rooms int) { // for five milliseconds each
			for i := range rooms {
				hosts[i%5].join(t, room(i), 1)
				after(5 * time.Millisecond)
			}
		}
		busy(100)
		flushes := map[time.Time]int{}
		net.Tap(func(_ string, m cluster.Message) {
			if m.Subject.Kind == cluster.KindDigest {
				flushes[time.Now()]++
			}
		})
		busy(200)
		require.Len(t, flushes, 5)
		for at, n := range flushes {
			require.Equal(t, 5, n, "%v", at)
		}
	})
	bubble(t, "and tells the newest", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, p := start(t, net, "a"), newPuppet(t, net, "p")
		after(3 * time.Second)
		a.join(t, "first", 1) // is told at once
		after(time.Millisecond)
		a.join(t, "r", 1)
		after(50 * time.Millisecond)
		a.join(t, "r", 1)
		after(time.Second)
		digests := heard[clusterpb.Digest](p, cluster.KindDigest)
		require.Len(t, digests, 2)
		require.Equal(t, []string{"r"}, digests[1].Rooms)
		require.Equal(t, []uint32{2}, digests[1].Connections)
	})
	bubble(t, "more than a watcher tells at a time", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := start(t, net, "a"), start(t, net, "b")
		after(2 * time.Second)
		for i := range 30_000 {
			must(t, a.Join(room(i)))
		}
		after(500 * time.Millisecond)
		require.Equal(t, 30_000, b.Stats().Rooms)
	})
}

func TestHealth_IsReadable(t *testing.T) {
	bubble(t, "as JSON", func(t *testing.T) {
		_, hosts := service(t, 2)
		b, err := json.Marshal(hosts[0].node.Health())
		must(t, err)
		require.Contains(t, string(b), `"name":"a"`)
		require.Contains(t, string(b), `"peers":[{"name":"b",`)
		require.Contains(t, string(b), `"state":"live"`)
		var h cluster.Health
		must(t, json.Unmarshal(b, &h))
		again, err := json.Marshal(h)
		must(t, err)
		require.Equal(t, string(b), string(again))
		for _, s := range []cluster.State{cluster.Live, cluster.Suspect, cluster.Held} {
			var read cluster.State
			must(t, read.UnmarshalText([]byte(s.String())))
			require.Equal(t, s, read)
		}
		require.Error(t, new(cluster.State).UnmarshalText([]byte("dead")))
	})
	bubble(t, "after Close as well", func(t *testing.T) {
		_, hosts := service(t, 2)
		must(t, hosts[0].node.Close())
		h := hosts[0].node.Health()
		require.True(t, h.Degraded)
		require.Equal(t, []cluster.PeerHealth{}, h.Peers) // [] in JSON, not null
		require.Positive(t, h.MessagesOut)
	})
}

func TestNames_AreWhatTheyAreCalled(t *testing.T) {
	seen := map[string]bool{}
	for k := cluster.KindDigest; k <= cluster.KindSyncReply; k++ {
		require.Regexp(t, "^[a-z]+$", k.String())
		seen[cluster.Subject{Kind: k, Shard: 7}.String()] = true
	}
	require.Len(t, seen, 7)
	require.True(t, seen["digest.7"])
	require.Equal(t, "kind0", cluster.Kind(0).String())
	require.Equal(t, "kind200", cluster.Kind(200).String())
	require.Equal(t, "lossy", cluster.Lossy.String())
	require.Equal(t, "BusEvent(9)", cluster.BusEvent(9).String())
}
