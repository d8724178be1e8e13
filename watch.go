package occupancy

import (
	"context"
	"slices"
	"strings"
)

// Watcher hears of every room at once: for lobbies, rankings, dashboards and links
// to other nodes. Make it with [Engine.Watch]. It is read at the reader's own pace: a
// room that changed ten times since the last Next is told once, with its newest
// value. All its methods may be called from any goroutine; each change goes to one
// of those that call Next.
type Watcher struct {
	p      *publisher
	j      *journal
	prefix string
	done   chan struct{} // closed by Close

	// publisher.mu protects the following.
	start   uint64  // the first seq that the journal has for it
	next    uint64  // the first that is not read
	backlog []*cell // the rooms of before, not read yet
	closed  bool
}

// WatchOption is a setting of [Engine.Watch].
type WatchOption func(*watchConfig)

type watchConfig struct {
	prefix string
	local  bool
}

// WithPrefix watches only the rooms whose name begins with p.
func WithPrefix(p string) WatchOption { return func(c *watchConfig) { c.prefix = p } }

// LocalOnly watches this process's own part of each room, not the total.
func LocalOnly() WatchOption { return func(c *watchConfig) { c.local = true } }

const (
	batch = 4096      // how many events one Next returns at most
	scan  = 4 * batch // how many rooms it looks at, for their prefix, before others get a chance to take mu
)

// Watch begins to watch. It walks the rooms once, to know which to tell first: a change
// that waits for its interval just then is told to all watchers early. Close the
// watcher when done. One that is not read keeps each room that changes in memory, so
// share a watcher rather than making one for each page that is open.
func (e *Engine) Watch(opts ...WatchOption) *Watcher {
	var cfg watchConfig
	for _, o := range opts {
		o(&cfg)
	}
	p := e.pub
	w := &Watcher{p: p, j: &p.totals, prefix: cfg.prefix, done: make(chan struct{})}
	if cfg.local {
		w.j = &p.locals
	}
	p.mu.Lock()
	w.start = p.seq + 1
	w.next = w.start
	if p.closed {
		p.mu.Unlock()
		return w
	}
	w.j.join(w)
	p.watchers.Add(1)
	p.mu.Unlock()

	// What changes from now on is in the journal: a room that this walk misses
	// because it is made meanwhile will be there.
	var backlog []*cell
	e.rooms.all(func(c *cell) bool {
		if strings.HasPrefix(c.name, w.prefix) {
			backlog = append(backlog, c)
		}
		return true
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.closed {
		w.backlog = backlog
	}
	return w
}

// Next waits until a room changed and returns every room that did since the Next
// before, once, with its newest value; that of a room which emptied is zero. What
// follows the call of Watch are first the rooms that are not empty. At most 4096
// events are returned at a time, the rest by the next calls. The slice is the
// caller's.
//
// The error is ErrClosed after Close, of the watcher or of the engine, or ctx's; a
// nil ctx is [context.Background].
func (w *Watcher) Next(ctx context.Context) ([]Event, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	for {
		events, news, err := w.take(ctx)
		if err != nil || len(events) > 0 {
			return events, err
		}
		select {
		case <-news:
		case <-w.done:
		case <-ctx.Done():
		}
	}
}

// Close ends the watcher, and a Next that waits. It may be called more than once.
func (w *Watcher) Close() {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	w.backlog = nil
	close(w.done)
	if _, ok := w.j.readers[w]; ok {
		w.j.leave(w)
		p.watchers.Add(-1)
		for w.j.trim(turn, p.bury) {
			p.mu.Unlock() // let others have it
			p.mu.Lock()
		}
	}
}

// closedChan is what there is to wait on when there is more to take at once.
var closedChan = func() <-chan struct{} { c := make(chan struct{}); close(c); return c }()

// take returns a batch of what is unread, or what to wait on before the next try.
func (w *Watcher) take(ctx context.Context) (events []Event, news <-chan struct{}, err error) {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.closed || p.closed {
		return nil, nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	defer p.announce()

	n := min(batch, len(w.backlog))
	for _, c := range w.backlog[:n] {
		p.tell(c, c.local()) // if news of it is on the way, it is told early, by the journal
		if m := c.markOf(w.j.local); m.told != 0 && m.seq < w.start {
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
			events = slices.Grow(events, len(unread)) // most of them count
		}
		for _, e := range unread {
			if w.j.counts(e) && strings.HasPrefix(e.c.name, w.prefix) {
				events = append(events, w.event(e.c))
			}
		}
		next = unread[len(unread)-1].seq + 1
		left -= len(unread)
	}
	if next != w.next {
		w.j.advance(w, next)
		w.j.trim(2*scan, p.bury)
		return events, closedChan, nil
	}
	if p.news == nil {
		p.news = make(chan struct{})
	}
	return events, p.news, nil
}

// event is what was last told of the room, to this watcher.
func (w *Watcher) event(c *cell) Event {
	m := c.markOf(w.j.local)
	version := m.seq
	if x := c.extra.Load(); x != nil && !w.j.local {
		version = x.version
	}
	return Event{Type: EventUpdated, Occupancy: unpack(m.told), Room: c.name, Version: version}
}
