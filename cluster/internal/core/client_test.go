package core

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An aggregator that has not received the last request of a client may be about to remove the shards
// of the request before.
func TestClient_ShardsBeforeTheLastRequestAreNotUsed(t *testing.T) {
	me, aggregator := Incarnation{9}, Incarnation{8}
	m := roleMachine(Client, me)
	requests := func(now time.Duration) (last heartbeat) {
		m.Tick(now, 800)
		messages, _ := m.Take()
		for _, msg := range messages {
			m.Sent(msg, nil, now)
			if msg.Kind == Heartbeat && msg.Shard == aggregator.Shard() {
				require.True(t, last.decode(msg.Payload))
			}
		}
		return last
	}
	number := uint64(0)
	receive := func(now time.Duration, to Incarnation, cover shardSet, heard uint64) {
		number++
		h := heartbeat{from: aggregator, name: []byte("a"), flags: flagAggregator, beat: number, intervalMS: 1000, to: to, cover: cover, heard: heard, nodes: 1}
		m.Receive(Heartbeat, h.encode(), now)
	}
	const all = ^shardSet(0)
	receive(0, Incarnation{}, 0, 0)
	first := requests(beat / 2)
	require.Zero(t, first.want)
	receive(beat/2, me, 0, first.beat)
	second := requests(beat)
	require.Equal(t, all, second.want)
	receive(beat, me, all, first.beat)
	require.False(t, m.client.complete())
	receive(beat, me, all, second.beat)
	require.True(t, m.client.complete())
}

// A client does not replace its source by a degraded aggregator, which may lack the counts of a
// node, unless the source cannot be used or is degraded too.
func TestClient_DegradedAggregatorReplacesNoSource(t *testing.T) {
	c := roleMachine(Client, Incarnation{1}).client
	source := &peer{lastBeatNumber: 1, nodes: 2, cover: 1}
	p := &peer{lastBeatNumber: 1, nodes: 2, cover: 1, flags: flagDegraded}
	require.False(t, c.canReplace(p, source, 0, 0))
	source.flags = flagDegraded
	require.True(t, c.canReplace(p, source, 0, 0))
	source.flags, source.dropped = 0, true
	require.True(t, c.canReplace(p, source, 0, 0))
	source.dropped, p.flags = false, 0
	require.True(t, c.canReplace(p, source, 0, 0))
}
