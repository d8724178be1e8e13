package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

func testHistory(t *testing.T) *history {
	engine := occupancy.New()
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	board := trending.New(engine)
	t.Cleanup(func() { require.NoError(t, board.Close()) })
	return newHistory(engine, board)
}

func TestHistory_SamplesOfFiveMinutes(t *testing.T) {
	h := testHistory(t)
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	require.Empty(t, h.get([]string{"lobby"}, at(0)).Rooms["lobby"]) // from now on, the room is recorded
	h.record(at(1))
	require.NoError(t, h.engine.Join("lobby"))
	h.record(at(2))
	h.record(at(3)) // nothing has changed
	require.NoError(t, h.engine.Join("lobby"))
	require.NoError(t, h.engine.Enter("lobby", "alice"))
	h.record(at(4))
	require.Equal(t, [][3]int{{4000, 0, 0}, {3000, 1, 0}, {1000, 2, 1}}, h.get([]string{"lobby"}, at(5)).Rooms["lobby"])

	// The newest sample that is older than five minutes remains, because its counts were valid until the next sample.
	h.record(at(303))
	require.Equal(t, [][3]int{{301000, 1, 0}, {299000, 2, 1}}, h.get([]string{"lobby"}, at(303)).Rooms["lobby"])
	h.record(at(400))
	require.Equal(t, [][3]int{{396000, 2, 1}}, h.get([]string{"lobby"}, at(400)).Rooms["lobby"])
}

func TestHistory_MemoryIsBounded(t *testing.T) {
	h := testHistory(t)
	now := time.Now()
	for i := range 2 * maxHistoryRooms {
		h.get([]string{fmt.Sprint("invented ", i)}, now)
	}
	require.Len(t, h.rooms, maxHistoryRooms)
	for i := range 1000 {
		require.NoError(t, h.engine.Join("busy"))
		h.totals.add(now.Add(time.Duration(i)*historyPeriod), h.engine.Current("busy"))
	}
	require.LessOrEqual(t, len(h.totals), int(historyAge/historyPeriod)+2)
	h.record(now.Add(historyAge + time.Second)) // nobody looks at these rooms any more
	require.NotContains(t, h.rooms, "invented 0")
}

func TestHistory_TotalsAndListedRooms(t *testing.T) {
	s := start(t, longTimeouts)
	s.dial("a%2Fb")
	s.dial("small")
	var totals struct{ Rooms, Connections, PresenceMembers int }
	s.waitUntil(func() bool {
		code, body := s.get("/totals")
		require.Equal(t, http.StatusOK, code)
		require.NoError(t, json.Unmarshal([]byte(body), &totals), body)
		return totals.Connections == 2 && totals.Rooms == 2
	})

	// The history contains rooms of the list before anybody has requested them.
	s.waitUntil(func() bool {
		s.history.mu.Lock()
		defer s.history.mu.Unlock()
		r := s.history.rooms["a/b"]
		return r != nil && len(r.samples) > 0
	})
	newest := func(path string, of func(historyJSON) [][3]int) [3]int {
		code, body := s.get(path)
		require.Equal(t, http.StatusOK, code)
		var got historyJSON
		require.NoError(t, json.Unmarshal([]byte(body), &got), body)
		list := of(got)
		return list[len(list)-1]
	}
	room := newest("/history?room=a%2Fb&room=nowhere", func(h historyJSON) [][3]int { return h.Rooms["a/b"] })
	require.Equal(t, 1, room[1])
	s.waitUntil(func() bool {
		return newest("/history", func(h historyJSON) [][3]int { return h.Totals })[1] == 2
	})
	code, _ := s.get("/history?room=%ff")
	require.Equal(t, http.StatusBadRequest, code)
}
