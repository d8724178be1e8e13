package natscluster_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
)

// Five nodes, three of them seeds, count together; and do so again when a seed is gone.
func TestNodes_CountTogether(t *testing.T) {
	leavesNothing(t)
	buses := threeSeeds(t)
	buses = append(buses, connect(t, buses[0].ClientURL()), connect(t, buses[1].ClientURL()))
	engines, nodes := make([]*occupancy.Engine, len(buses)), make([]*cluster.Node, len(buses))
	for i, bus := range buses {
		engines[i] = occupancy.New()
		t.Cleanup(func() { _ = engines[i].Close() })
		node, err := cluster.Start(soon(t), engines[i], bus, cluster.WithName(fmt.Sprint("chat-", i)))
		require.NoError(t, err)
		t.Cleanup(func() { _ = node.Close() })
		nodes[i] = node
	}
	all := func(want int, of []*occupancy.Engine) func() bool {
		return func() bool {
			for _, e := range of {
				for room := range 100 {
					if e.Current(fmt.Sprint("room ", room)).Connections != want {
						return false
					}
				}
			}
			return true
		}
	}
	for _, e := range engines {
		for room := range 100 {
			require.NoError(t, e.Join(fmt.Sprint("room ", room)))
		}
	}
	eventually(t, "all know all", all(len(engines), engines))

	require.NoError(t, nodes[0].Close())
	require.NoError(t, buses[0].Close(soon(t)))
	eventually(t, "its part is gone", all(len(engines)-1, engines[1:]))
	for _, e := range engines[1:] {
		for room := range 100 {
			require.NoError(t, e.Join(fmt.Sprint("room ", room)))
		}
	}
	eventually(t, "those that are left know all", all(2*(len(engines)-1), engines[1:]))
}
