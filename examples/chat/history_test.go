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

func noNodes(string) map[string]int { return nil }

// lobby returns the samples of the room lobby as JSON.
func lobby(h *history, now time.Time) string {
	return string(marshal(h.get([]string{"lobby"}, now).Rooms["lobby"]))
}

// In a cluster, a sample is also recorded if only the connections by node have changed.
func TestHistory_ConnectionsByNode(t *testing.T) {
	h := testHistory(t)
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	nodes := map[string]int{"a": 1}
	byNode := func(string) map[string]int { return nodes }
	lobby(h, at(0))
	require.NoError(t, h.engine.Join("lobby"))
	h.record(at(1), byNode)
	h.record(at(2), byNode)
	nodes = map[string]int{"b": 1}
	h.record(at(3), byNode)
	require.JSONEq(t, `[[3000,1,0,{"a":1}],[1000,1,0,{"b":1}]]`, lobby(h, at(4)))
}

func TestHistory_SamplesOfFiveMinutes(t *testing.T) {
	h := testHistory(t)
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	require.Equal(t, "[]", lobby(h, at(0))) // from now on, the room is recorded
	h.record(at(1), noNodes)
	require.NoError(t, h.engine.Join("lobby"))
	h.record(at(2), noNodes)
	h.record(at(3), noNodes) // nothing has changed
	require.NoError(t, h.engine.Join("lobby"))
	require.NoError(t, h.engine.Enter("lobby", "alice"))
	h.record(at(4), noNodes)
	require.JSONEq(t, `[[4000,0,0],[3000,1,0],[1000,2,1]]`, lobby(h, at(5)))

	// The newest sample that is older than five minutes remains, because its counts were valid until the next sample.
	h.record(at(303), noNodes)
	require.JSONEq(t, `[[301000,1,0],[299000,2,1]]`, lobby(h, at(303)))
	h.record(at(400), noNodes)
	require.JSONEq(t, `[[396000,2,1]]`, lobby(h, at(400)))
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
		h.totals.add(now.Add(time.Duration(i)*historyPeriod), h.engine.Current("busy"), nil)
	}
	require.LessOrEqual(t, len(h.totals), int(historyAge/historyPeriod)+2)
	h.record(now.Add(historyAge+time.Second), noNodes) // nobody looks at these rooms any more
	require.NotContains(t, h.rooms, "invented 0")
}

func TestHistory_TotalsAndListedRooms(t *testing.T) {
	s := start(t, longTimeouts)
	s.dial("a%2Fb")
	s.dial("small")
	// The history contains rooms of the list before anybody has requested them.
	s.waitUntil(func() bool {
		s.history.mu.Lock()
		defer s.history.mu.Unlock()
		r := s.history.rooms["a/b"]
		return r != nil && len(r.samples) > 0
	})
	newest := func(path string, of func(historyJSON) [][]any) int {
		code, body := s.get(path)
		require.Equal(t, http.StatusOK, code)
		var got historyJSON
		require.NoError(t, json.Unmarshal([]byte(body), &got), body)
		list := of(got)
		return int(list[len(list)-1][1].(float64))
	}
	require.Equal(t, 1, newest("/history?room=a%2Fb&room=nowhere", func(h historyJSON) [][]any { return h.Rooms["a/b"] }))
	s.waitUntil(func() bool { return newest("/history", func(h historyJSON) [][]any { return h.Totals }) == 2 })
	code, _ := s.get("/history?room=%ff")
	require.Equal(t, http.StatusBadRequest, code)
}
