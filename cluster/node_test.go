package cluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
		must(t, c.Enter("r"))
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
