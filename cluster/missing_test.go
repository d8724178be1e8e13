package cluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestMissing_HealingCostsOneHeartbeat(t *testing.T) {
	bubble(t, "the kept counts are restored without a sync", func(t *testing.T) {
		net, hosts := service(t, 3)
		for i := range 5000 {
			must(t, hosts[0].Join(room(i)))
		}
		after(3 * time.Second)
		net.Partition([]string{"a"})
		after(time.Minute)
		for _, h := range hosts[1:] {
			require.Equal(t, occ(2, 0), h.Current("r"))
			require.Equal(t, occ(0, 0), h.Current(room(1)))
			require.Equal(t, 1, h.Stats().Rooms)
		}
		replies := 0
		net.Tap(func(_ string, m cluster.Message) {
			if m.Subject.Kind == cluster.KindSyncReply || m.Subject.Kind == cluster.KindDigest {
				replies++
			}
		})
		net.Partition()
		after(beat + beat/4)
		for _, h := range hosts {
			require.Equal(t, occ(3, 0), h.Current("r"))
			require.Equal(t, occ(1, 0), h.Current(room(1)))
			require.False(t, h.node.Health().Degraded)
		}
		require.Zero(t, replies)
	})
	bubble(t, "changes during the partition are requested", func(t *testing.T) {
		net, hosts := service(t, 3)
		net.Partition([]string{"a"})
		after(time.Minute)
		hosts[0].join(t, "r", 1)
		must(t, hosts[1].Leave("r"))
		after(time.Second)
		net.Partition()
		after(2500 * time.Millisecond)
		for _, h := range hosts {
			require.Equal(t, occ(3, 0), h.Current("r"))
			require.False(t, h.node.Health().Degraded)
		}
	})
	bubble(t, "counts that the engine refuses afterwards", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		h := &host{occupancy.New(occupancy.WithMaxRooms(1)), net.Bus("node"), nil}
		var err error
		h.node, err = cluster.Start(t.Context(), h.Engine, h.bus)
		must(t, err)
		t.Cleanup(h.crash)
		p, other := newPuppet(t, net, "p"), newPuppet(t, net, "other")
		p.digest(0, 1, parts{"r": occ(1, 0)})
		p.heartbeat(1, parts{"r": occ(1, 0)})
		after(2 * lease)
		require.Equal(t, []cluster.State{cluster.Missing}, states(h))
		other.digest(0, 1, parts{"s": occ(1, 0)})
		p.heartbeat(1, parts{"r": occ(1, 0)})
		require.Equal(t, occ(0, 0), h.Current("r"))
		require.Equal(t, 1, h.node.Health().Peers[1].Refused)
		require.Empty(t, p.syncs())
	})
}

func TestMissing_EndsWithByeAndRestart(t *testing.T) {
	bubble(t, "restart under the same name", func(t *testing.T) {
		net, hosts := service(t, 3)
		hosts[0].crash()
		after(lease + 2*beat)
		require.True(t, hosts[1].node.Health().Degraded)
		h := &host{occupancy.New(), net.Bus("again"), nil}
		var err error
		h.node, err = cluster.Start(t.Context(), h.Engine, h.bus, cluster.WithName("a"))
		must(t, err)
		t.Cleanup(h.crash)
		after(2 * beat)
		require.Equal(t, []cluster.State{cluster.Live, cluster.Live}, states(hosts[1]))
		require.False(t, hosts[1].node.Health().Degraded)
	})
	bubble(t, "Bye", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"r": occ(1, 0)})
		after(lease + 2*beat)
		require.Equal(t, []cluster.State{cluster.Missing}, states(h))
		require.Empty(t, p.syncs()) // a Missing peer receives no requests
		p.bye()
		require.Empty(t, states(h))
		require.False(t, h.node.Health().Degraded)
	})
}

func TestWithExpectedNodes_DegradedWhileFewerAreKnown(t *testing.T) {
	bubble(t, "a node that never reaches the others", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		net.Partition([]string{"a"})
		a := start(t, net, "a", cluster.WithExpectedNodes(2))
		b := start(t, net, "b", cluster.WithExpectedNodes(2))
		a.join(t, "r", 1)
		after(time.Minute)
		require.True(t, a.node.Health().Degraded)
		o, err := a.Get(t.Context(), "r")
		require.EqualError(t, err, "cluster: fewer nodes are known than WithExpectedNodes requires")
		require.Equal(t, occ(1, 0), o)
		net.Partition()
		after(2 * beat)
		require.False(t, a.node.Health().Degraded)
		_, err = a.Get(t.Context(), "r")
		must(t, err)
		b.crash()
		after(20 * time.Minute) // b is forgotten
		require.True(t, a.node.Health().Degraded)
	})
}
