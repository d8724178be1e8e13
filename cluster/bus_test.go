package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
)

func TestSubject_String(t *testing.T) {
	seen := map[string]bool{}
	for k := cluster.KindDigest; k <= cluster.KindTrends; k++ {
		require.Regexp(t, "^[a-z]+$", k.String())
		seen[cluster.Subject{Kind: k, Shard: 7}.String()] = true
	}
	require.Len(t, seen, 8)
	require.True(t, seen["digest.7"])
	require.Equal(t, "kind0", cluster.Kind(0).String())
	require.Equal(t, "kind200", cluster.Kind(200).String())
	require.Equal(t, "lossy", cluster.Lossy.String())
	require.Equal(t, "BusEvent(9)", cluster.BusEvent(9).String())
}
