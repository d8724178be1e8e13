package embed_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
)

// Five nodes count together, before and after a seed closes. Three nodes are seeds.
func TestNodes_CountTogether(t *testing.T) {
	checkGoroutines(t)
	seeds := threeSeeds(t)
	buses := []cluster.Bus{seeds[0], seeds[1], seeds[2], connect(t, seeds[0].ClientURL()), connect(t, seeds[1].ClientURL())}
	engines, nodes := make([]*occupancy.Engine, len(buses)), make([]*cluster.Node, len(buses))
	for i, bus := range buses {
		engines[i] = occupancy.New()
		t.Cleanup(func() { _ = engines[i].Close() })
		node, err := cluster.Start(bustest.Context(t), engines[i], bus, cluster.WithName(fmt.Sprint("chat-", i)))
		require.NoError(t, err)
		t.Cleanup(func() { _ = node.Close() })
		nodes[i] = node
	}
	const rooms = 100
	join := func(engines []*occupancy.Engine) {
		for _, e := range engines {
			for room := range rooms {
				require.NoError(t, e.Join(fmt.Sprint("room ", room)))
			}
		}
	}
	allCount := func(want int, engines []*occupancy.Engine) func() bool {
		return func() bool {
			for _, e := range engines {
				for room := range rooms {
					if e.Current(fmt.Sprint("room ", room)).Connections != want {
						return false
					}
				}
			}
			return true
		}
	}
	join(engines)
	bustest.Eventually(t, "every node counts the connections of all nodes", allCount(len(engines), engines))

	require.NoError(t, nodes[0].Close())
	require.NoError(t, buses[0].Close(bustest.Context(t)))
	bustest.Eventually(t, "the closed node's connections are removed", allCount(len(engines)-1, engines[1:]))
	join(engines[1:])
	bustest.Eventually(t, "the other nodes still count together", allCount(2*(len(engines)-1), engines[1:]))
}
