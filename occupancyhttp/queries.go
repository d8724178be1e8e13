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
	// maxWait limits how long a request waits for queries, and before that for the start of
	// its queries.
	maxWait = 5 * time.Second
	// maxReuse limits how long the result of a query is reused, if the engine's interval is
	// longer.
	maxReuse = time.Second
	// maxQueries is the maximum number of queries that run at the same time. Further
	// requests wait.
	maxQueries = 256
)

// queries reads the occupancy of rooms from all nodes. Concurrent requests for a room
// share one query, and later requests reuse its result for the engine's interval.
type queries struct {
	engine   *occupancy.Engine
	warnings *warnings
	running  chan struct{} // holds a token for each running query

	mu    sync.Mutex // protects calls
	calls map[string]*query
}

// query is the query of one room.
type query struct {
	done chan struct{} // closed when the following fields are set
	o    occupancy.Occupancy
	err  error
}

func newQueries(engine *occupancy.Engine, w *warnings) queries {
	return queries{engine: engine, warnings: w, running: make(chan struct{}, maxQueries), calls: map[string]*query{}}
}

// get adds the occupancy of the rooms to counts. It reports whether some nodes did not
// respond. If too many queries are running, it adds the counts that the engine has.
func (q *queries) get(ctx context.Context, rooms []string, counts map[string]occupancy.Occupancy) (partial bool, err error) {
	limited, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	started := make([]*query, len(rooms))
	for i, room := range rooms {
		started[i] = q.start(limited, room)
	}
	for i, c := range started {
		o, err := c.wait(limited)
		switch {
		case ctx.Err() != nil:
			return false, errTimeout
		case errors.Is(err, occupancy.ErrClosed):
			return false, err
		case errors.Is(err, errTimeout):
			o = q.engine.Current(rooms[i])
		}
		counts[rooms[i]] = o
		partial = partial || err != nil
	}
	return partial, nil
}

// start returns the query of the room. It starts a new query if the room has none. It
// returns nil if ctx is done before the query can start.
func (q *queries) start(ctx context.Context, room string) *query {
	if c := q.find(room); c != nil {
		return c
	}
	select {
	case q.running <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if c := q.calls[room]; c != nil {
		<-q.running
		return c
	}
	room = strings.Clone(room) // room may be part of a long query string
	c := &query{done: make(chan struct{})}
	q.calls[room] = c
	go q.run(room, c)
	return c
}

// wait returns the result of the query, or errTimeout if ctx is done before or c is nil.
func (c *query) wait(ctx context.Context) (occupancy.Occupancy, error) {
	if c == nil {
		return occupancy.Occupancy{}, errTimeout
	}
	select {
	case <-c.done:
		return c.o, c.err
	case <-ctx.Done():
		return occupancy.Occupancy{}, errTimeout
	}
}

func (q *queries) find(room string) *query {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.calls[room]
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
	<-q.running
	close(c.done)
	time.AfterFunc(min(q.engine.Interval(), maxReuse), func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.calls, room)
	})
}
