package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestSnapshot_AppliedAfterTombstonesWereRemoved(t *testing.T) {
	bubble(t, "by a peer that was partitioned", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a := start(t, net, "a", cluster.WithSizes(700, 800, 1024))
		b := start(t, net, "b")
		for i := range 200 { // these rooms have low seqs
			must(t, a.Join(room(i)))
		}
		must(t, a.Join("ghost"))
		after(3 * time.Second)
		require.Equal(t, occ(1, 0), b.Current("ghost"))
		net.Partition([]string{"a"}, []string{"b"})
		must(t, a.Leave("ghost"))
		after(300 * time.Millisecond)
		for i := range 3000 { // the ledger removes the tombstone of "ghost"
			must(t, a.Join(fmt.Sprint("passing", i)))
		}
		after(300 * time.Millisecond)
		for i := range 3000 {
			must(t, a.Leave(fmt.Sprint("passing", i)))
		}
		after(300 * time.Millisecond)
		net.Partition()
		for begin := time.Now(); b.Current("ghost") != occ(0, 0); after(time.Millisecond) {
			require.Less(t, time.Since(begin), beat+10*time.Millisecond) // at the next heartbeat
		}
		require.Zero(t, b.node.Health().Mismatches)
	})
}
