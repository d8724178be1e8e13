package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQueries_CollectAnswers(t *testing.T) {
	cfg := testConfig()
	s := queries{size: 1000, active: map[uint64]*query{}}
	peers := make([]*peer, 3)
	for i := range peers {
		tables := &node{tables: map[*mapTable]struct{}{}}
		peers[i] = &peer{id: Incarnation{byte(i)}, name: fmt.Sprint("p", i)}
		peers[i].table = table{cfg: cfg, batch: new(batch), accepted: tables.newTable("")}
		for r := range 10 {
			peers[i].table.set(fmt.Append(nil, "r", r), 7<<32, userUpdate{})
		}
		peers[i].table.applyBatch()
	}
	peers[2].state = Suspect
	done := 0
	calls := make([]*Call, 20) // two calls for each room
	for i := range calls {
		calls[i] = &Call{room: fmt.Sprint("r", i/2), done: func() { done++ }}
	}
	s.waiting = slices.Clone(calls)
	all := func(string) []*peer { return peers }
	q := s.next(all)
	require.Len(t, q.rooms, 10)
	require.Len(t, q.calls, 20)
	require.Equal(t, 2, q.outstanding)
	parts := make([]roomCounts, 10)
	for i := range parts {
		parts[i] = 1 << 32
	}
	s.answer(&answer{from: peers[0].id, id: q.id, parts: parts[:1]}) // wrong length
	s.answer(&answer{from: peers[0].id, id: q.id, parts: parts})
	require.Zero(t, done)
	peers[1].dropped = true
	s.remove(peers[1])
	require.Equal(t, 20, done)
	require.Empty(t, s.active)
	for _, call := range q.calls {
		sum, missing, err := s.finish(call, peers, nil)
		require.Equal(t, 1+7, sum.Connections)
		require.Equal(t, []string{"p2"}, missing)
		require.ErrorIs(t, err, errSuspect)
	}
	require.Empty(t, s.active)
	// A call that returns before its query is sent.
	late := &Call{room: "r1", done: func() {}}
	s.waiting = []*Call{late}
	sum, missing, _ := s.finish(late, peers, nil)
	require.Equal(t, 2*7, sum.Connections)
	require.Equal(t, []string{"p0", "p2"}, missing)
	require.Nil(t, s.next(all))
}

func TestQueries_AreLimited(t *testing.T) {
	s := queries{size: 1000, active: map[uint64]*query{}}
	peers := []*peer{{id: Incarnation{1}}}
	ask := func(room string) { s.waiting = append(s.waiting, &Call{room: room, done: func() {}}) }
	for range 2 {
		ask(strings.Repeat("a", 900))
		ask(strings.Repeat("b", 900)) // does not fit
	}
	all := func(string) []*peer { return peers }
	q := s.next(all)
	require.Len(t, q.rooms, 1)
	require.Len(t, q.calls, 2)
	require.Len(t, s.next(all).calls, 2)
	for i := range maxQueryRooms + 10 {
		ask(fmt.Sprint(i % 1000))
	}
	s.size = 1 << 20
	require.Len(t, s.next(all).rooms, maxQueryRooms)
	require.Len(t, s.next(all).rooms, 10)
	ask("waits")
	require.Nil(t, s.next(all)) // four queries wait for answers
	s.answer(&answer{from: peers[0].id, id: q.id, parts: []roomCounts{1}})
	require.Len(t, s.next(all).rooms, 1)
}
