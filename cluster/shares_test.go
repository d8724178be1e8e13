package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
)

func TestShares_LiveNodesAndMissingPeer(t *testing.T) {
	bubble(t, "three nodes", func(t *testing.T) {
		_, hosts := service(t, 3)
		hosts[0].join(t, "shared", 1)
		hosts[1].join(t, "shared", 2)
		must(t, hosts[1].Enter("shared", "alice"))
		after(beat)
		require.Equal(t, map[string]occupancy.Occupancy{"a": occ(1, 0), "b": occ(2, 1), "c": {}}, hosts[0].node.Shares("shared"))
		hosts[1].crash()
		after(lease + 2*beat)
		require.Equal(t, map[string]occupancy.Occupancy{"a": occ(1, 0), "c": {}}, hosts[0].node.Shares("shared"))
		require.Equal(t, map[string]occupancy.Occupancy{"a": occ(1, 0), "c": {}}, hosts[2].node.Shares("shared"))
		must(t, hosts[0].node.Close())
		require.Equal(t, map[string]occupancy.Occupancy{"a": occ(1, 0)}, hosts[0].node.Shares("shared"))
	})
	bubble(t, "same name", func(t *testing.T) {
		net, hosts := service(t, 1)
		other := start(t, net, "other", cluster.WithName("a"))
		hosts[0].join(t, "shared", 1)
		other.join(t, "shared", 2)
		after(2 * beat)
		require.Equal(t, map[string]occupancy.Occupancy{"a": occ(3, 0)}, hosts[0].node.Shares("shared"))
	})
}
