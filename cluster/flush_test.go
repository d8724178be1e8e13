package cluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

func TestFlush_UndoneChangeDoesNotRemainAtPeers(t *testing.T) {
	bubble(t, "undone within the interval", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := start(t, net, "a"), start(t, net, "b")
		after(3 * time.Second)
		a.join(t, "other", 1) // published at once; the next flush is 200ms later
		after(110 * time.Millisecond)
		a.join(t, "r", 1) // waits for that flush
		after(40 * time.Millisecond)
		a.join(t, "r", 1) // waits for the end of the interval, after the flush
		after(55 * time.Millisecond)
		must(t, a.Leave("r")) // undone before the end of the interval
		after(time.Minute)
		require.Equal(t, occ(1, 0), a.Current("r"))
		require.Equal(t, occ(1, 0), b.Current("r"))
	})
}

func TestFlush_CollectsChanges(t *testing.T) {
	bubble(t, "one digest for each flush, no digest for undone changes", func(t *testing.T) {
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
		require.Equal(t, 1, digests) // the first change is published at once
		a.join(t, "undone", 1)
		must(t, a.Leave("undone"))
		after(3 * time.Second)
		require.Equal(t, 1, digests)
		_ = p
	})
	bubble(t, "changes shortly after a flush are in the next flush", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := start(t, net, "a"), start(t, net, "b")
		after(2 * time.Second)
		for i := range 3 { // the first change is published at once
			a.join(t, room(i), 1)
			after(10 * time.Millisecond)
		}
		after(170 * time.Millisecond) // until the next flush
		settle()
		for i := range 3 {
			require.Equal(t, occ(1, 0), b.Current(room(i)))
		}
	})
	bubble(t, "busy nodes flush at the same time", func(t *testing.T) {
		net, hosts := service(t, 5)
		busy := func(rooms int) { // changes one room every five milliseconds
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
	bubble(t, "publishes the newest counts", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, p := start(t, net, "a"), newPuppet(t, net, "p")
		after(3 * time.Second)
		a.join(t, "first", 1) // published at once
		after(time.Millisecond)
		a.join(t, "r", 1)
		after(50 * time.Millisecond)
		a.join(t, "r", 1)
		after(time.Second)
		digests := received[clusterpb.Digest](p, cluster.KindDigest)
		require.Len(t, digests, 2)
		require.Equal(t, []string{"r"}, digests[1].Rooms)
		require.Equal(t, []uint32{2}, digests[1].Connections)
	})
	bubble(t, "more than one batch of the watcher", func(t *testing.T) {
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
