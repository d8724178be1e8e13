package occupancy

import (
	"context"
	"maps"
	"slices"
)

// Watcher receives the changes of all rooms, or of selected ones: for lobbies, rankings,
// dashboards and clusters. Create it with [Engine.Watch]. It is read at the reader's own
// pace: a room that changed ten times since the last Next is returned once, with its
// newest value. All its methods may be called from any goroutine; each change is returned
// to one of the concurrent callers of Next.
type Watcher struct {
	p        *publisher
	link     *Link          // the link that the watcher belongs to, or nil
	all      *journalReader // nil for selected rooms
	selected *selection     // nil for all rooms
	reading  chan struct{}  // holds a token while a caller of Next reads or waits
	wake     chan struct{}  // receives a token when there is something to read
	done     chan struct{}  // closed by Close

	// publisher.mu protects the following.
	sleeping   bool // it is in watchers.sleepers
	due        bool // to be woken
	incomplete bool // the watcher was closed before it had caught up
	closed     bool
}

// WatchOption is a setting of [Engine.Watch].
type WatchOption func(*watchConfig)

type watchConfig struct {
	prefix   string
	selected bool
	rooms    []string
	link     *Link // watch this process's own part of each room, for this link
}

// WithPrefix makes a watcher of the rooms whose names begin with p. Together with [Rooms]
// it has no effect.
func WithPrefix(p string) WatchOption { return func(c *watchConfig) { c.prefix = p } }

// Rooms makes a watcher of the rooms with these names only. The first batch contains the
// occupancy of each, even if it is empty. [Watcher.Add] and [Watcher.Remove] change the
// selection. The watcher does not make the rooms exist.
func Rooms(names ...string) WatchOption {
	return func(c *watchConfig) {
		c.selected = true
		c.rooms = append(c.rooms, names...)
	}
}

const (
	maxBatch = 4096         // the most events that one Next returns
	maxScan  = 4 * maxBatch // Next unlocks mu for others after it has compared this many names with the prefix
)

// Watch returns a watcher of all rooms, unless an option says otherwise. It walks the
// rooms once, to find those that the first batches contain. The error is ErrClosed, or
// ErrInvalidRoom for a name of [Rooms].
//
// A change of one of these rooms that waits for the end of its interval is published early, to
// all watchers. In a room without subscribers, a change that is undone before it is published
// begins an interval, too: the next change waits for its end.
//
// Close the watcher when done. A watcher that is not read keeps the memory of the rooms that
// it knows and that have emptied since. So share one watcher instead of creating one for each
// page that is open.
func (e *Engine) Watch(opts ...WatchOption) (*Watcher, error) {
	var cfg watchConfig
	for _, o := range opts {
		o(&cfg)
	}
	return e.watch(cfg)
}

func (e *Engine) watch(cfg watchConfig) (*Watcher, error) {
	p := e.pub
	w := &Watcher{
		p:       p,
		link:    cfg.link,
		reading: make(chan struct{}, 1),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rooms.closed.Load() || w.link != nil && w.link.closed.Load() {
		return nil, ErrClosed
	}
	if cfg.selected {
		w.selected = &selection{p: p, w: w, rooms: map[string]struct{}{}, changed: map[string]struct{}{}}
		if err := w.selected.add(cfg.rooms); err != nil {
			return nil, err
		}
		w.selected.initial = maps.Clone(w.selected.changed)
		p.openWatchers.Add(1)
		return w, nil
	}
	p.openWatchers.Add(1)
	w.all = &journalReader{p: p, w: w, j: &p.watchers.totals, prefix: cfg.prefix, pendingInitial: map[*cell]struct{}{}}
	if w.link != nil {
		w.link.watchers[w] = struct{}{}
		w.all.j, w.all.interest = &p.watchers.locals, w.link.interest
	}
	w.all.start()
	return w, nil
}

// Next blocks until a room has changed and returns every room that changed since the
// last Next, once, with its newest value; an emptied room has zero. A room that began and
// ended since the last Next may be left out. The first calls return the rooms that were not
// empty when Watch was called: see [Watcher.CaughtUp]. A batch has at most 4096 events; the
// next calls return the rest. The caller owns the slice.
//
// The error is ErrClosed after Close of the watcher or the engine, or that of ctx.
func (w *Watcher) Next(ctx context.Context) ([]RoomEvent, error) {
	select { // one caller at a time waits for wake
	case w.reading <- struct{}{}:
		defer func() { <-w.reading }()
	case <-w.done:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for {
		events, more, err := w.take(ctx)
		if err != nil || len(events) > 0 {
			return events, err
		}
		if more {
			continue
		}
		select {
		case <-w.wake:
		case <-w.done:
		case <-ctx.Done():
		}
	}
}

// CaughtUp reports whether every room that existed when Watch was called has been
// returned by Next. A cache of all rooms is complete from then on.
//
// While the watcher is open, it is false only if Next has such a room to return. So a loop
// that calls Next until CaughtUp reports true does not block on a service without changes.
func (w *Watcher) CaughtUp() bool {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.all != nil && !w.closed && !p.rooms.closed.Load() {
		w.all.skipEmpty()
	}
	return !w.incomplete && !w.hasInitial()
}

// hasInitial reports whether Next must still return rooms that existed, or that were selected, when
// Watch was called.
func (w *Watcher) hasInitial() bool {
	if w.selected != nil {
		return len(w.selected.initial) > 0
	}
	return len(w.all.backlog)+len(w.all.pendingInitial) > 0
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
	w.closed, w.incomplete = true, w.hasInitial()
	close(w.done)
	if w.link != nil {
		delete(w.link.watchers, w)
	}
	p.watchers.sleepers = slices.DeleteFunc(p.watchers.sleepers, func(s *Watcher) bool { return s == w })
	p.openWatchers.Add(-1)
	if w.selected != nil {
		w.selected.end()
	} else {
		w.all.end()
	}
	return nil
}

// take returns a batch of unread events. If the batch is empty and more is true, the caller
// must call take again. If more is false, the caller must wait for w.wake first.
func (w *Watcher) take(ctx context.Context) (events []RoomEvent, more bool, err error) {
	p := w.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.closed || p.rooms.closed.Load() {
		return nil, false, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	defer p.watchers.wake()
	w.due = false
	if w.selected != nil {
		events = w.selected.take()
	} else {
		events, more = w.all.take()
	}
	if len(events) == 0 && !more && !w.sleeping {
		w.sleeping = true
		p.watchers.sleepers = append(p.watchers.sleepers, w)
	}
	return events, more, nil
}
