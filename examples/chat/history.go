package main

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

const (
	historyPeriod   = time.Second     // between two samples
	historyAge      = 5 * time.Minute // of the oldest sample
	maxHistoryRooms = 1000            // maximum number of recorded rooms
	historyListed   = 100             // number of popular rooms that are recorded without a request
)

// history records the counts of the last five minutes, so that the plots of a page that was
// just opened are full. It records the totals, the rooms that the page lists, and the rooms that
// were requested in the last five minutes.
type history struct {
	engine *occupancy.Engine
	board  *trending.Board

	mu     sync.Mutex // protects the following
	totals samples
	rooms  map[string]*roomHistory
}

type roomHistory struct {
	samples
	wanted time.Time // when the room was listed or requested for the last time
}

// sample contains the counts from a time until the time of the next sample.
type sample struct {
	time                 time.Time
	connections, members int
	nodes                map[string]int // connections by node; nil without a cluster
}

// samples is a list of samples, the oldest first.
type samples []sample

func newHistory(engine *occupancy.Engine, board *trending.Board) *history {
	return &history{engine: engine, board: board, rooms: map[string]*roomHistory{}}
}

// run records until ctx is done. byNode returns the connections of a room by node.
func (h *history) run(ctx context.Context, byNode func(room string) map[string]int) {
	tick := time.NewTicker(historyPeriod)
	defer tick.Stop()
	for {
		h.record(time.Now(), byNode)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// record adds a sample of the totals and of each recorded room.
func (h *history) record(now time.Time, byNode func(room string) map[string]int) {
	listed := h.board.Popular(historyListed)
	total := h.engine.Stats().Total
	h.mu.Lock()
	defer h.mu.Unlock()
	h.totals.add(now, total, nil)
	for _, r := range listed {
		h.want(r.Name, now)
	}
	for name, r := range h.rooms {
		if now.Sub(r.wanted) > historyAge {
			delete(h.rooms, name)
			continue
		}
		r.add(now, h.engine.Current(name), byNode(name))
	}
}

// want starts to record a room, unless the limit is reached. h.mu must be locked.
func (h *history) want(name string, now time.Time) *roomHistory {
	r := h.rooms[name]
	if r == nil {
		if len(h.rooms) == maxHistoryRooms {
			return &roomHistory{}
		}
		r = &roomHistory{}
		h.rooms[name] = r
	}
	r.wanted = now
	return r
}

// add adds the counts if they have changed, and removes samples that are too old. It keeps one
// older sample, because its counts were still valid five minutes ago.
func (s *samples) add(now time.Time, o occupancy.Occupancy, nodes map[string]int) {
	next := sample{now, o.Connections, o.PresenceMembers, nodes}
	if n := len(*s); n == 0 || !next.equal((*s)[n-1]) {
		*s = append(*s, next)
	}
	for len(*s) > 1 && now.Sub((*s)[1].time) > historyAge {
		*s = slices.Delete(*s, 0, 1)
	}
}

// equal reports whether the counts are the same.
func (s sample) equal(other sample) bool {
	return s.connections == other.connections && s.members == other.members && maps.Equal(s.nodes, other.nodes)
}

// relative returns each sample as its age in milliseconds, its connections, its members, and in a
// cluster its connections by node. The clocks of the server and of the browser may differ, so a
// response contains no times.
func (s samples) relative(now time.Time) [][]any {
	list := make([][]any, 0, len(s))
	for _, sample := range s {
		values := []any{now.Sub(sample.time).Milliseconds(), sample.connections, sample.members}
		if sample.nodes != nil {
			values = append(values, sample.nodes)
		}
		list = append(list, values)
	}
	return list
}

// serve responds to GET /history?room=a&room=b with the samples of these rooms and of the totals.
func (h *history) serve(w http.ResponseWriter, r *http.Request) {
	names := r.URL.Query()["room"]
	for _, name := range names {
		if err := occupancy.ValidRoom(name); err != nil {
			serveError(w, err)
			return
		}
	}
	serveJSON(w, http.StatusOK, marshal(h.get(names, time.Now())))
}

type historyJSON struct {
	Totals [][]any            `json:"totals"`
	Rooms  map[string][][]any `json:"rooms"`
}

func (h *history) get(names []string, now time.Time) historyJSON {
	h.mu.Lock()
	defer h.mu.Unlock()
	rooms := map[string][][]any{}
	for _, name := range names {
		rooms[name] = h.want(name, now).relative(now)
	}
	return historyJSON{h.totals.relative(now), rooms}
}
