package occupancy

import (
	"context"
	"slices"
	"strings"
)

// Watcher receives the changes of all rooms: for lobbies, rankings, dashboards and
// clusters. Create it with [Engine.Watch]. It is read at the reader's own pace: a room
// that changed ten times since the last Next is returned once, with its newest value.
// All its methods may be called from any goroutine; each change is returned to one of
// the concurrent callers of Next.
type Watcher struct {
	p      *publisher
	j      *journal
	prefix string
	link   *Link         // whose watcher it is, or nil
	done   chan struct{} // closed by Close

	// publisher.mu protects the following.
	start      uint64             // the journal has the publications from this seq on
	next       uint64             // the first seq that is not read
	backlog    []*cell            // the rooms that existed when it began, not read yet
	owed       map[*cell]struct{} // those of them that the journal has and next has not passed
	incomplete bool               // it was closed before it had caught up
	closed     bool
}

// WatchOption is a setting of [Engine.Watch].
type WatchOption func(*watchConfig)

type watchConfig struct {
	prefix string
	link   *Link // watch this process's own part of each room, for this link
}

// WithPrefix makes a watcher of the rooms whose names begin with p.
func WithPrefix(p string) WatchOption { return func(c *watchConfig) { c.prefix = p } }

const (
	batch = 4096      // the most events that one Next returns
	scan  = 4 * batch // the most rooms whose prefix Next compares before it unlocks mu for others
)

// Watch returns a watcher of all rooms. It walks the rooms once, to find those that the
// first batches contain; a change of a room that waits for its interval at that moment
// is published to all watchers early. The error is ErrClosed.
//
// Close the watcher when done. One that is not read keeps every room that changes in
// memory, so share one watcher instead of creating one for each page that is open.
func (e *Engine) Watch(opts ...WatchOption) (*Watcher, error) {
	var cfg watchConfig
	for _, o := range opts {
		o(&cfg)
	}
	return e.watch(cfg)
}

func (e *Engine) watch(cfg watchConfig) (*Watcher, error) {
	p := e.pub
	w := &Watcher{p: p, j: &p.totals, prefix: cfg.prefix, link: cfg.link, done: make(chan struct{}), owed: map[*cell]struct{}{}}
	if w.link != nil {
		w.j = &p.locals
	}
	p.mu.Lock()
	if p.closed || w.link != nil && w.link.closed.Load() {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	w.start = p.seq + 1
	w.next = w.start
	w.j.join(w)
	if w.link != nil {
		w.link.watchers[w] = struct{}{}
	}
	p.watchers.Add(1)
	p.mu.Unlock()

	// The journal has every change from now on, so it also has a room that this walk
	// misses because it is created meanwhile.
	var backlog []*cell
	e.rooms.all(func(c *cell) bool {
		if strings.HasPrefix(c.name, w.prefix) && !c.settledEmpty() {
			backlog = append(backlog, c)
		}
		return true
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.closed { // by Link.Close
		w.backlog = backlog
	}
	return w, nil
}

// Next blocks until a room has changed and returns every room that changed since the
// last Next, once, with its newest value; an emptied room has zero. The first calls
// return the rooms that were not empty when Watch was called: see [Watcher.CaughtUp]. A
// batch has at most 4096 events; the next calls return the rest. The caller owns the
// slice.
//
// The error is ErrClosed after Close of the watcher or the engine, or that of ctx.
func (w *Watcher) Next(ctx context.Context) ([]RoomEvent, error) {
	for {
		events, more, err := w.take(ctx)
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-more:
		case <-w.done:
		case <-ctx.Done():
		}
	}
}

// CaughtUp reports whether every room that existed when Watch was called has been
// returned by Next. A cache of all rooms is complete from then on.
//
// It is false only if Next has such a room to return, so a loop that calls Next until
// CaughtUp reports true does not block on a service without changes.
func (w *Watcher) CaughtUp() bool {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.closed || p.closed {
		return !w.incomplete && len(w.backlog) == 0 && len(w.owed) == 0
	}
	for i := 0; len(w.backlog) > 0 && !w.first(w.backlog[0]); i++ {
		w.backlog = w.backlog[1:]
		if i%turn == turn-1 {
			p.wakeWatchers()
			p.mu.Unlock() // give other callers a chance
			p.mu.Lock()
		}
	}
	p.wakeWatchers()
	return len(w.backlog) == 0 && len(w.owed) == 0
}

// first reports whether the first batches must contain c, a room of the backlog. If a
// change of c waits to be published, or was since Watch, the journal has c instead.
func (w *Watcher) first(c *cell) bool {
	w.p.publish(c, c.local())
	m := c.markOf(w.j.local)
	if m.seq >= w.start {
		w.owed[c] = struct{}{}
		return false
	}
	return m.value != 0
}

// Close closes the watcher and makes a blocked Next return. It may be called more than
// once; the error is always nil.
func (w *Watcher) Close() error {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.closed {
		return nil
	}
	w.closed = true
	w.incomplete = len(w.backlog) > 0 || len(w.owed) > 0
	w.backlog, w.owed = nil, nil
	close(w.done)
	if w.link != nil {
		delete(w.link.watchers, w)
	}
	w.j.leave(w)
	p.watchers.Add(-1)
	for w.j.trim(turn, p.retireEmpty) {
		p.mu.Unlock() // give other callers a chance
		p.mu.Lock()
	}
	return nil
}

// closedChan is what Next waits for if there is more to take at once.
var closedChan = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// take returns a batch of what is unread, and a channel to wait for before the next try.
func (w *Watcher) take(ctx context.Context) (events []RoomEvent, more <-chan struct{}, err error) {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.closed || p.closed {
		return nil, nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	defer p.wakeWatchers()

	n := min(batch, len(w.backlog))
	for _, c := range w.backlog[:n] {
		if w.first(c) {
			events = append(events, w.event(c))
		}
	}
	clear(w.backlog[:n])
	if w.backlog = w.backlog[n:]; len(w.backlog) > 0 {
		return events, closedChan, nil
	}
	w.backlog = nil

	next := w.next
	for left := scan; left > 0 && len(events) < batch; {
		unread := w.j.from(next)
		if len(unread) == 0 {
			break
		}
		unread = unread[:min(len(unread), batch-len(events))]
		if w.prefix == "" {
			events = slices.Grow(events, len(unread)) // few of them are outdated
		}
		for _, e := range unread {
			if w.j.current(e) && strings.HasPrefix(e.c.name, w.prefix) {
				events = append(events, w.event(e.c))
				delete(w.owed, e.c)
			}
		}
		next = unread[len(unread)-1].seq + 1
		left -= len(unread)
	}
	if next != w.next {
		w.j.advance(w, next)
		w.j.trim(2*scan, p.retireEmpty)
		return events, closedChan, nil
	}
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return events, p.changed, nil
}

// event returns the room's last published value, for this watcher.
func (w *Watcher) event(c *cell) RoomEvent {
	m := c.markOf(w.j.local)
	version := m.seq
	if x := c.extra.Load(); x != nil && !w.j.local {
		version = x.version
	}
	return RoomEvent{c.name, Event{Type: EventUpdated, Occupancy: unpack(m.value), Version: version}}
}
