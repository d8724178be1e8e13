package core

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// An aggregator that learns of a node late does not count it before its counts have arrived.
// Otherwise the other nodes would use this aggregator too early.
func TestAggregator_CountsNodesWhoseCountsHaveArrived(t *testing.T) {
	m := roleMachine(Aggregator, Incarnation{9})
	const all = ^shardSet(0)
	number := uint64(0)
	receive := func(from byte, cover shardSet) {
		number++
		h := heartbeat{from: Incarnation{from}, name: []byte{'n', from}, flags: flagClient, beat: number, intervalMS: 1000,
			to: m.cfg.ID, collect: all, want: all, cover: cover, heard: 1 << 40}
		m.Receive(Heartbeat, h.encode(), 2*beat)
	}
	m.Tick(2*beat, 800) // all nodes have had the time to send a heartbeat
	receive(1, 0)
	receive(1, all)
	require.Equal(t, uint64(1), m.newHeartbeat(2*beat).nodes)
	receive(2, 0)
	require.Equal(t, uint64(1), m.newHeartbeat(2*beat).nodes)
	receive(2, all)
	require.Equal(t, uint64(2), m.newHeartbeat(2*beat).nodes)
	receive(2, all>>1) // the aggregator requests another shard
	require.Equal(t, uint64(2), m.newHeartbeat(2*beat).nodes)
}
