package occupancyhttp

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

const (
	// queryTimeout limits how long a query waits for the other nodes of a cluster. After
	// this time the result contains the counts received so far.
	queryTimeout = 4 * time.Second
	// maxReuse limits how long the result of a query is reused, if the engine's interval is
	// longer.
	maxReuse = time.Second
	// maxQueries limits the number of queries that are running or whose result is reused.
	maxQueries = 1024
)

// queries reads the occupancy of rooms from all nodes. Concurrent requests for a room
// share one query, and later requests reuse its result for the engine's interval.
type queries struct {
	engine   *occupancy.Engine
	warnings *warnings

	mu    sync.Mutex        // protects calls
	calls map[string]*query // by room
}

// query is the query of one room.
type query struct {
	done chan struct{} // closed when the following fields are set
	o    occupancy.Occupancy
	err  error
}

func newQueries(engine *occupancy.Engine, w *warnings) queries {
	return queries{engine: engine, warnings: w, calls: map[string]*query{}}
}

// get adds the occupancy of the rooms to counts. It reports whether some nodes did not
// respond. If there are too many queries, it adds the counts that the engine has.
func (q *queries) get(ctx context.Context, rooms []string, counts map[string]occupancy.Occupancy) (partial bool, err error) {
	started := make([]*query, len(rooms))
	for i, room := range rooms {
		started[i] = q.start(room)
	}
	for i, room := range rooms {
		c := started[i]
		if c == nil {
			counts[room], partial = q.engine.Current(room), true
			continue
		}
		select {
		case <-c.done:
		case <-ctx.Done():
			return false, errTimeout
		}
		if errors.Is(c.err, occupancy.ErrClosed) {
			return false, c.err
		}
		counts[room], partial = c.o, partial || c.err != nil
	}
	return partial, nil
}

// start returns the query of the room, a new one if the room has none. It returns nil if
// there are too many queries.
func (q *queries) start(room string) *query {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := q.calls[room]
	if c == nil && len(q.calls) < maxQueries {
		room = strings.Clone(room) // room may be part of a long query string
		c = &query{done: make(chan struct{})}
		q.calls[room] = c
		go q.run(room, c)
	}
	return c
}

// run is not canceled when the request is canceled that started it, because other
// requests may wait for the result.
func (q *queries) run(room string, c *query) {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	c.o, c.err = q.engine.Get(ctx, room)
	if c.err != nil && !errors.Is(c.err, occupancy.ErrClosed) {
		q.warnings.log(ctx, "partial response: some nodes did not respond", "room", room, "error", c.err)
	}
	close(c.done)
	time.AfterFunc(min(q.engine.Interval(), maxReuse), func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.calls, room)
	})
}
