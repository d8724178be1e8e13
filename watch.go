package occupancy

import (
	"context"
	"slices"
	"strings"
)

// Watcher receives the changes of all rooms, or of selected ones: for lobbies, rankings,
// dashboards and clusters. Create it with [Engine.Watch]. It is read at the reader's own
// pace: a room that changed ten times since the last Next is returned once, with its
// newest value. All its methods may be called from any goroutine; each change is returned
// to one of the concurrent callers of Next.
type Watcher struct {
	p        *publisher
	j        *journal // nil for selected rooms
	prefix   string
	link     *Link         // the link that the watcher belongs to, or nil
	interest bool          // see WithInterest; only for a link
	reading  chan struct{} // holds a token while a caller of Next reads or waits
	wake     chan struct{} // receives a token when there is something to read
	done     chan struct{} // closed by Close

	// publisher.mu protects the following.
	start          uint64              // the journal has the publications from this seq on
	next           uint64              // the first seq that is not read
	backlog        []*cell             // the rooms that existed when it began, not read yet
	pendingInitial map[*cell]struct{}  // the rooms that moved from the backlog to the journal, until Next has returned them
	unchanged      map[string]struct{} // rooms to return even if their counts have not changed: see returnUnchanged; only for a link
	selected       *selection          // nil for all rooms
	sleeping       bool                // it is in watchers.sleepers
	due            bool                // to be woken
	incomplete     bool                // the watcher was closed before it had caught up
	closed         bool
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
		p:        p,
		prefix:   cfg.prefix,
		link:     cfg.link,
		interest: cfg.link != nil && cfg.link.interest,
		reading:  make(chan struct{}, 1),
		wake:     make(chan struct{}, 1),
		done:     make(chan struct{}),
	}
	if cfg.selected {
		if err := w.watchSelected(cfg.rooms); err != nil {
			return nil, err
		}
		return w, nil
	}
	w.j, w.pendingInitial = &p.watchers.totals, map[*cell]struct{}{}
	if w.link != nil {
		w.j = &p.watchers.locals
	}
	p.mu.Lock()
	if p.rooms.closed.Load() || w.link != nil && w.link.closed.Load() {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	w.start = p.seq + 1
	w.next = w.start
	w.j.addReader(w)
	if w.link != nil {
		w.link.watchers[w] = struct{}{}
	}
	p.openWatchers.Add(1)
	if w.interest {
		i := 0
		for room := range p.watchers.selected {
			w.returnUnchanged(room)
			p.yieldLock(i)
			i++
		}
	}
	p.mu.Unlock()

	// The journal has every publication from now on, so it also has a room that this walk
	// misses because it is created meanwhile.
	var backlog []*cell
	e.rooms.cells.Range(func(c *cell) bool {
		if strings.HasPrefix(c.name, w.prefix) && (!c.settledEmpty() || w.interest && c.word.Load()&held != 0) {
			backlog = append(backlog, c)
		}
		return true
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.closed { // by Link.Close
		w.incomplete = w.incomplete || len(backlog) > 0
	} else {
		w.backlog = backlog
	}
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
	if w.selected != nil {
		return !w.incomplete && len(w.selected.first) == 0
	}
	if w.closed || p.rooms.closed.Load() {
		return !w.incomplete && len(w.backlog) == 0 && len(w.pendingInitial) == 0
	}
	for i := 0; len(w.backlog) > 0 && !w.publishInitial(w.backlog[0]); i++ {
		w.backlog = w.backlog[1:]
		p.yieldLock(i)
	}
	p.watchers.wake()
	return !w.incomplete && len(w.backlog) == 0 && len(w.pendingInitial) == 0
}

// publishInitial publishes c, a room of the backlog. It returns true if Next must return c
// from the backlog. It returns false if c is empty, and if c was published since Watch:
// then Next returns c from the journal, and publishInitial adds c to pendingInitial.
func (w *Watcher) publishInitial(c *cell) bool {
	w.p.refresh(c)
	last := w.j.last(c)
	if last.seq >= w.start {
		w.pendingInitial[c] = struct{}{}
		return false
	}
	return last.value != counts{} || w.interest && c.subscribed()
}

// returnUnchanged makes Next return the room even if its counts have not changed, because its users or
// the interest in it have changed. A change that is undone before Next is returned, too: after an
// earlier event, the caller of Next may call Interested between the two. The caller must call
// watchers.wake.
func (w *Watcher) returnUnchanged(room string) {
	if w.unchanged == nil {
		w.unchanged = map[string]struct{}{}
	}
	w.unchanged[room] = struct{}{}
	if w.sleeping {
		w.p.watchers.notify(w)
	}
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
	w.incomplete = len(w.backlog) > 0 || len(w.pendingInitial) > 0 || w.selected != nil && len(w.selected.first) > 0
	w.backlog, w.pendingInitial, w.unchanged = nil, nil, nil
	close(w.done)
	if w.link != nil {
		delete(w.link.watchers, w)
	}
	p.watchers.sleepers = slices.DeleteFunc(p.watchers.sleepers, func(s *Watcher) bool { return s == w })
	p.openWatchers.Add(-1)
	if w.selected != nil {
		w.unselectAll()
		return nil
	}
	w.j.removeReader(w)
	for last := p.seq; w.next <= last; {
		unread := w.j.from(w.next)
		if len(unread) == 0 {
			break
		}
		for _, e := range unread { // at most a block
			if !w.j.outdated(e) {
				p.retireIfEmpty(e.c) // if only this watcher had to return it
			}
		}
		w.next = unread[len(unread)-1].seq + 1
		p.mu.Unlock() // so that other callers need not wait for the whole loop
		p.mu.Lock()
	}
	w.j.trim()
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
		events = w.takeSelected()
	} else {
		events, more = w.takeAll()
	}
	if len(events) == 0 && !more && !w.sleeping {
		w.sleeping = true
		p.watchers.sleepers = append(p.watchers.sleepers, w)
	}
	return events, more, nil
}

// takeAll is take for a watcher of all rooms.
func (w *Watcher) takeAll() (events []RoomEvent, more bool) {
	p := w.p
	n := min(maxBatch, len(w.backlog))
	for _, c := range w.backlog[:n] {
		if w.publishInitial(c) {
			events = append(events, w.event(c))
		}
	}
	clear(w.backlog[:n])
	if w.backlog = w.backlog[n:]; len(w.backlog) > 0 {
		return events, true
	}
	w.backlog = nil
	next := w.next
	var emptied []*cell
	for left := maxScan; left > 0 && len(events) < maxBatch; {
		unread := w.j.from(next)
		if len(unread) == 0 {
			break
		}
		unread = unread[:min(len(unread), maxBatch-len(events))]
		if w.prefix == "" {
			events = slices.Grow(events, len(unread)) // few of them are outdated
		}
		for _, e := range unread {
			if w.j.outdated(e) {
				continue
			}
			if empty := (counts{}); w.j.last(e.c).value == empty {
				emptied = append(emptied, e.c)
			}
			if strings.HasPrefix(e.c.name, w.prefix) {
				events = append(events, w.event(e.c))
				delete(w.pendingInitial, e.c)
			}
		}
		next = unread[len(unread)-1].seq + 1
		left -= len(unread)
	}
	if len(w.j.from(next)) == 0 { // else w could return the value of an entry that it has not read: see mustKeep
		events = w.takeUnchanged(events)
	}
	if next == w.next {
		return events, false
	}
	w.next = next
	w.j.findOldest()
	for _, c := range emptied {
		p.retireIfEmpty(c)
	}
	w.j.trim()
	return events, true
}

// takeUnchanged appends events of the rooms of w.unchanged to a batch.
func (w *Watcher) takeUnchanged(events []RoomEvent) []RoomEvent {
	for room := range w.unchanged {
		if len(events) == maxBatch {
			return events
		}
		delete(w.unchanged, room)
		event := RoomEvent{room, Event{Type: EventUpdated, Version: w.p.seq}}
		if c := w.p.rooms.live(room); c != nil && w.j.last(c).seq > 0 { // otherwise this process has published no counts
			event = w.event(c)
		}
		events = append(events, event)
	}
	w.unchanged = nil // releases the memory of many rooms
	return events
}

// event returns the room's last published value, for this watcher. It is also the event for
// changed users or interest.
func (w *Watcher) event(c *cell) RoomEvent {
	delete(w.unchanged, c.name)
	last := c.lastTotal()
	if w.j != nil {
		last = w.j.last(c)
	}
	version := last.seq
	if x := c.extra.Load(); x != nil && w.link == nil {
		version = x.version
	}
	return RoomEvent{c.name, Event{Type: EventUpdated, Occupancy: last.value.occupancy(), Version: version}}
}
