package core

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQueries_CollectAnswers(t *testing.T) {
	cfg := testConfig()
	s := queries{active: map[uint64]*query{}}
	peers := make([]*peer, 3)
	for i := range peers {
		tables := &node{tables: map[*mapTable]struct{}{}}
		peers[i] = &peer{id: Incarnation{byte(i)}, name: fmt.Sprint("p", i)}
		peers[i].table = table{cfg: cfg, batch: new(batch), accepted: tables.newTable("")}
		peers[i].table.set([]byte("r"), 7<<32)
		peers[i].table.applyBatch()
	}
	peers[2].state = Suspect
	done := 0
	calls := make([]*Call, maxQueryRooms+1)
	for i := range calls {
		calls[i] = &Call{room: "r", done: func() { done++ }}
	}
	s.waiting = slices.Clone(calls)
	q := s.next(peers)
	require.Len(t, q.calls, maxQueryRooms)
	require.Equal(t, 2, q.outstanding)
	parts := make([]roomCounts, maxQueryRooms)
	for i := range parts {
		parts[i] = 1 << 32
	}
	s.answer(&answer{from: peers[0].id, id: q.id, parts: parts[:1]}) // wrong length
	s.answer(&answer{from: peers[0].id, id: q.id, parts: parts})
	require.Zero(t, done)
	peers[1].dropped = true
	s.remove(peers[1])
	require.Equal(t, maxQueryRooms, done)
	for _, call := range q.calls {
		sum, missing, err := s.finish(call, peers, nil)
		require.Equal(t, 1+7, sum.Connections)
		require.Equal(t, []string{"p2"}, missing)
		require.ErrorIs(t, err, errSuspect)
	}
	require.Empty(t, s.active)
	// The last call returns before its query is sent.
	sum, missing, _ := s.finish(calls[maxQueryRooms], peers, nil)
	require.Equal(t, 2*7, sum.Connections)
	require.Equal(t, []string{"p0", "p2"}, missing)
	require.Nil(t, s.next(peers))
}
