package occupancy

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Peers queries the other nodes on behalf of [Engine.Get].
type Peers interface {
	// Get returns the sum of the other nodes' counts of the room, without this node's.
	// It may return a partial sum together with an error that names the missing nodes.
	// It is called concurrently. With [WithUserHash], the users may be 0: see [Engine.Get].
	Get(ctx context.Context, room string) (Occupancy, error)
}

// Link connects an engine to the other nodes of a service: it reads this process's
// own counts, so that they can be sent to the others, and adds the others' counts to the
// engine's. Package cluster uses it, and so can a cluster of your own. Create it with [Engine.Link].
// All its methods may be called from any goroutine.
type Link struct {
	e        *Engine
	peers    Peers
	hash     func(clientID string) uint64 // see WithUserHash; nil if users are not counted across nodes
	interest bool                         // see WithInterest
	index    *userIndex                   // nil if hash is nil, or the engine does not count users
	once     sync.Once
	closed   atomic.Bool // set under publisher.mu

	released atomic.Bool

	// publisher.mu protects the following.
	remotes  map[*Remote]struct{}
	watchers map[*Watcher]struct{}
}

// Link links the engine. [Engine.Get] queries p from then on; with a nil p it returns
// the same as [Engine.Current]. An engine has at most one link at a time: the error is
// ErrLinked if it has one, or ErrClosed. If the previous link was released, Link first
// removes the counts of its remotes.
func (e *Engine) Link(p Peers, opts ...LinkOption) (*Link, error) {
	if e.rooms.closed.Load() {
		return nil, ErrClosed
	}
	l := &Link{e: e, peers: p, remotes: map[*Remote]struct{}{}, watchers: map[*Watcher]struct{}{}}
	for _, o := range opts {
		o(l)
	}
	if old := e.link.Load(); old != nil && old.released.Load() {
		_ = old.Close()
	}
	if !e.link.CompareAndSwap(nil, l) {
		return nil, ErrLinked
	}
	if l.hash != nil && e.pub.users != nil {
		l.index = newUserIndex(l.hash, l.remotes)
		e.pub.users.setIndex(l.index)
		e.lingering.setHash(l.hash)
	}
	e.pub.mu.Lock()
	defer e.pub.mu.Unlock()
	e.pub.index = l.index
	if e.rooms.closed.Load() {
		l.index.clear()
	}
	return l, nil
}

// LinkOption is a setting of [Engine.Link].
type LinkOption func(*Link)

// WithUserHash makes an engine [WithUsers] count a user of several nodes once. The nodes
// report the hashes of their users' client IDs to each other: see [Part] and
// [Link.UserChanges]. All nodes of a service must use the same function. It must distribute
// the hashes evenly, and nobody outside the service should be able to compute it: use a
// keyed hash such as SipHash. Hooks call the function, from any goroutine.
//
// Without this option, the numbers of users of the nodes are added up. With it, each user
// of the engine takes 35 to 55 bytes more, and Enter and Exit take about 1.5 times as long.
// The engine keeps the changes of users until UserChanges returns them.
func WithUserHash(hash func(clientID string) uint64) LinkOption {
	return func(l *Link) { l.hash = hash }
}

// WithInterest is for a cluster that sends a node only the counts of the rooms in which the
// node is interested. These are the rooms that have connections or members in this process,
// are subscribed to, or are selected by a watcher (see [Rooms]). With this option,
// [Link.Watch] also returns a room when it gets its first subscription or is selected by its first
// watcher, and when it loses the last one: see [Link.Interested]. Until
// such a room is returned, the watcher keeps its name.
//
// On a node of such a cluster, a room in which the node is not interested is empty, even if it has
// connections on other nodes: [Engine.All] and a watcher of all rooms do not return it. When
// the node becomes interested, the first event of a subscription has only the counts of this
// process, and [Max] limits only these, until the counts of the other nodes arrive.
func WithInterest() LinkOption {
	return func(l *Link) { l.interest = true }
}

// UserChanges returns the hashes of the users who have entered and exited this process's part
// of the room since the last call for this room, in ascending order. The first call also returns
// the users who were in the room when the engine was linked, as entered. A user who entered and
// exited since the last call is left out. Call UserChanges for each event of [Link.Watch]. Without
// [WithUserHash], or on an engine that is not [WithUsers], there are no changes.
func (l *Link) UserChanges(room string) (entered, exited []uint64) {
	if l.index == nil {
		return nil, nil
	}
	return l.index.changes.take(room)
}

// Watch returns a watcher of this process's own counts: [Engine.Watch] without the other
// nodes' parts. With [WithUserHash], the watcher also returns an event with unchanged
// counts if only the users of a room have changed. With [WithInterest], it also returns the
// rooms that are already subscribed to or selected, and an event with unchanged counts if
// only the interest in a room may have changed. The error is ErrClosed.
func (l *Link) Watch() (*Watcher, error) {
	return l.e.watch(watchConfig{link: l})
}

// Interested reports whether the room is subscribed to, or selected by a watcher (see
// [Rooms]). A room that has connections or members in this process need not be either.
//
// Call Interested for each event of [Link.Watch], after Next has returned it. Then the last answer
// for each room is the right one, because with [WithInterest] Next returns another event after each
// change. Interested does not allocate. It may wait for a moment while events are published.
func (l *Link) Interested(room string) bool {
	p := l.e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.rooms.live(room)
	return c != nil && c.subscribed() || len(p.watchers.selected[room]) > 0
}

// Remote returns a new Remote for the counts of another node. It has no counts until
// [Remote.Set]. The name of the node is a label: two calls with the same name return two
// separate Remotes. On a closed link or engine it returns a closed Remote.
func (l *Link) Remote(node string) *Remote {
	p := l.e.pub
	r := &Remote{l: l, node: node, parts: map[*cell]uint64{}, large: map[*cell]counts{}, users: map[*cell][]uint64{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.closed.Load() || p.rooms.closed.Load() {
		r.closed = true
	} else {
		l.remotes[r] = struct{}{}
	}
	return r
}

// Release ends the link without an event: the counts of its remotes remain part of the
// engine's counts, as last set, until the next call of [Engine.Link] or Close. So a process
// that stops does not publish incomplete counts to its own subscribers. Release closes the
// watchers of the link, Set returns ErrClosed, and [Engine.Get] still calls Peers. It does
// not block, and may be called more than once.
func (l *Link) Release() {
	p := l.e.pub
	p.mu.Lock()
	for r := range l.remotes {
		r.closed = true
	}
	watchers := slices.Collect(maps.Keys(l.watchers))
	if l.index != nil {
		l.index.changes.stop()
	}
	p.mu.Unlock()
	for _, w := range watchers {
		_ = w.Close()
	}
	l.released.Store(true)
}

// Close unlinks the engine: it closes the link's remotes and watchers, after which the
// engine counts this process alone and can be linked again. It blocks until the counts of
// all remotes are removed; other callers do not wait for it. Close may be called more
// than once; the error is always nil.
func (l *Link) Close() error {
	l.once.Do(func() {
		p := l.e.pub
		p.mu.Lock()
		l.closed.Store(true)
		remotes, watchers := slices.Collect(maps.Keys(l.remotes)), slices.Collect(maps.Keys(l.watchers))
		p.mu.Unlock()
		for _, w := range watchers {
			_ = w.Close()
		}
		for _, r := range remotes {
			_ = r.Close()
		}
		if l.index != nil {
			p.mu.Lock()
			p.index = nil
			p.mu.Unlock()
			p.users.setIndex(nil)
		}
		l.e.link.CompareAndSwap(l, nil)
	})
	return nil
}
