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
	// It is called concurrently.
	Get(ctx context.Context, room string) (Occupancy, error)
}

// Link connects an engine to the other nodes of a service: it reads this process's
// own counts, so that they can be sent to the others, and adds the others' counts to the
// engine's. Package cluster uses it, and so can a cluster of your own. Create it with [Engine.Link].
// All its methods may be called from any goroutine.
type Link struct {
	e      *Engine
	peers  Peers
	once   sync.Once
	closed atomic.Bool // set under publisher.mu

	// publisher.mu protects the following.
	remotes  map[*Remote]struct{}
	watchers map[*Watcher]struct{}
}

// Link links the engine. [Engine.Get] queries p from then on; with a nil p it returns
// the same as [Engine.Current]. An engine has at most one link at a time: the error is
// ErrLinked if it has one, or ErrClosed.
func (e *Engine) Link(p Peers) (*Link, error) {
	if e.rooms.closed.Load() {
		return nil, ErrClosed
	}
	l := &Link{e: e, peers: p, remotes: map[*Remote]struct{}{}, watchers: map[*Watcher]struct{}{}}
	if !e.link.CompareAndSwap(nil, l) {
		return nil, ErrLinked
	}
	return l, nil
}

// Watch returns a watcher of this process's own counts: [Engine.Watch] without the
// other nodes' parts. The error is ErrClosed.
func (l *Link) Watch() (*Watcher, error) {
	return l.e.watch(watchConfig{link: l})
}

// Remote returns a new Remote for the counts of another node. It has no counts until
// [Remote.Set]. The name of the node is a label: two calls with the same name return two
// separate Remotes. On a closed link or engine it returns a closed Remote.
func (l *Link) Remote(node string) *Remote {
	p := l.e.pub
	r := &Remote{l: l, node: node, parts: map[*cell]uint64{}, large: map[*cell]counts{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.closed.Load() || p.rooms.closed.Load() {
		r.closed = true
	} else {
		l.remotes[r] = struct{}{}
	}
	return r
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
		l.e.link.CompareAndSwap(l, nil)
	})
	return nil
}
