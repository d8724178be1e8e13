package cluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestFlush_WhatUndoesItselfWithinTheInterval(t *testing.T) {
	bubble(t, "is not left behind at the peers", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := start(t, net, "a"), start(t, net, "b")
		after(3 * time.Second)
		a.join(t, "other", 1) // told at once: the next flush is 200ms on
		after(110 * time.Millisecond)
		a.join(t, "r", 1) // waits for it
		after(40 * time.Millisecond)
		a.join(t, "r", 1) // waits for the interval's end, after the flush
		after(55 * time.Millisecond)
		must(t, a.Leave("r")) // and is undone before
		after(time.Minute)
		require.Equal(t, occ(1, 0), a.Current("r"))
		require.Equal(t, occ(1, 0), b.Current("r"))
	})
}
