package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestNode_CountsTheWholeService(t *testing.T) {
	bubble(t, "at once after quiet, and within a flush", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b, c := start(t, net, "a"), start(t, net, "b"), start(t, net, "c")
		after(2 * time.Second)
		a.join(t, "r", 1)
		soon()
		require.Equal(t, occ(1, 0), b.Current("r"))
		after(time.Second)
		b.join(t, "r", 1)
		must(t, c.Enter("r", "alice"))
		soon()
		for _, h := range []*host{a, b, c} {
			require.Equal(t, occ(2, 1), h.Current("r"))
			require.False(t, h.node.Health().Degraded)
		}
		a.join(t, "r", 3)
		after(450 * time.Millisecond)
		require.Equal(t, occ(5, 1), c.Current("r"))
		o, err := c.Get(t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(5, 1), o)
		must(t, a.node.Close())
		soon()
		require.Equal(t, occ(1, 1), c.Current("r"))
		t.Logf("%+v", c.node.Health())
	})
}

// A second node on one engine would count the service's connections again.
func TestStart_LinkedEngine_ReturnsErrLinked(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net, hosts := service(t, 2)
		node, err := cluster.Start(t.Context(), hosts[0].Engine, net.Bus("second"))
		require.ErrorIs(t, err, occupancy.ErrLinked)
		require.Nil(t, node)
		after(time.Minute)
		for _, h := range hosts {
			require.Equal(t, occ(2, 0), h.Current("r"))
			require.Len(t, h.node.Health().Peers, 1)
		}
		must(t, hosts[0].node.Close())
		node, err = cluster.Start(t.Context(), hosts[0].Engine, net.Bus("third"))
		must(t, err)
		must(t, node.Close())
	})
}

func TestStart_ClosedEngine_ReturnsErrClosed(t *testing.T) {
	eng := occupancy.New()
	must(t, eng.Close())
	node, err := cluster.Start(t.Context(), eng, clustertest.NewNetwork(1).Bus("a"))
	require.ErrorIs(t, err, occupancy.ErrClosed)
	require.Nil(t, node)
}

func TestStart_Error_LeavesEngineLinkable(t *testing.T) {
	eng := occupancy.New()
	defer eng.Close()
	net := clustertest.NewNetwork(1)
	small, closed := net.Bus("small"), net.Bus("closed")
	small.SetMaxPayload(cluster.MinPayload - 1)
	must(t, closed.Close(t.Context()))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, start := range map[string]func() (*cluster.Node, error){
		"invalid option": func() (*cluster.Node, error) {
			return cluster.Start(t.Context(), eng, net.Bus("a"), cluster.WithHeartbeat(-1))
		},
		"small payloads":  func() (*cluster.Node, error) { return cluster.Start(t.Context(), eng, small) },
		"closed bus":      func() (*cluster.Node, error) { return cluster.Start(t.Context(), eng, closed) },
		"context is done": func() (*cluster.Node, error) { return cluster.Start(ended, eng, net.Bus("b")) },
		"no random bits": func() (*cluster.Node, error) {
			return cluster.Start(t.Context(), eng, net.Bus("c"), cluster.WithEntropy(noEntropy{}))
		},
	} {
		_, err := start()
		require.Error(t, err, name)
		link, err := eng.Link(nil)
		must(t, err)
		must(t, link.Close())
	}
}
