package trending

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

// Board ranks the rooms of an engine, live. Make it with [New] and Close it when
// done. All its methods may be called from any goroutine. It lags behind the hooks by
// the engine's interval, and delays none of them.
type Board struct {
	config
	engine   *occupancy.Engine
	watcher  *occupancy.Watcher
	interval time.Duration
	start    time.Time
	stopped  chan struct{} // closed when the goroutine ended

	// mu protects the following. Only the goroutine changes them, and it lets readers
	// in after every few rooms.
	mu       sync.RWMutex
	rooms    map[string]*standing
	most     int // that rooms has held: a map does not shrink
	rankings [orders]ranking

	// telling protects the following, and every list and subscription. It is taken
	// before mu, never after: who reads the board waits for no crowd to be told.
	telling sync.Mutex
	lists   map[subject]*list
	closed  bool
}

// New makes a board and fills it: when New returns, every room that is not empty is
// on it, unless the engine is closed. That takes a few microseconds for each room and at
// most an interval more. The board runs one goroutine until [Board.Close] or until the
// engine is closed. New panics on a half-life or margin that no program can mean.
func New(e *occupancy.Engine, opts ...Option) *Board {
	b := &Board{
		config:   newConfig(opts),
		engine:   e,
		interval: e.Interval(),
		start:    time.Now(),
		stopped:  make(chan struct{}),
		rooms:    map[string]*standing{},
		rankings: [orders]ranking{{order: Popular}, {order: Trending}},
		lists:    map[subject]*list{},
	}
	watcher, err := e.Watch(occupancy.WithPrefix(b.prefix))
	if err != nil { // the engine is closed
		b.finish()
		return b
	}
	b.watcher = watcher
	if b.fill() {
		go b.run()
	} else {
		b.finish()
	}
	return b
}

// Close ends the board and closes the channels of its subscriptions, after their last
// list. It waits for the board's goroutine, not for subscribers, may be called more than
// once, and leaves the lists as they are: they can still be read. Close the board before
// the engine: what the engine had not told when it was closed is not on the board.
func (b *Board) Close() {
	if b.watcher != nil {
		_ = b.watcher.Close()
	}
	<-b.stopped
}

// fill adds the rooms that exist already. Their connections are not arrivals. It reports
// false if the engine is closed.
func (b *Board) fill() bool {
	for !b.watcher.CaughtUp() {
		events, err := b.watcher.Next(context.Background())
		if err != nil {
			return false
		}
		b.apply(events, true)
	}
	return true
}

// run follows the engine. The lists are told when something changed, and then not
// before the interval is over.
func (b *Board) run() {
	defer b.finish()
	changed, until := false, b.start
	for {
		ctx, cancel := context.Background(), func() {}
		if changed {
			if time.Until(until) <= 0 {
				b.tell()
				changed, until = false, time.Now().Add(b.interval)
			} else {
				ctx, cancel = context.WithDeadline(ctx, until)
			}
		}
		events, err := b.watcher.Next(ctx)
		cancel()
		if errors.Is(err, occupancy.ErrClosed) {
			return
		}
		if len(events) > 0 {
			b.apply(events, false)
			changed = true
		}
	}
}

const chunk = 16 // how many rooms are ranked before readers get a chance to take mu

// apply updates the ranks of the rooms. With seated, the connections of a room that is
// new to the board are not arrivals, because they existed before the board.
func (b *Board) apply(events []occupancy.RoomEvent, seated bool) {
	now := b.now()
	for len(events) > 0 {
		n := min(chunk, len(events))
		b.mu.Lock()
		for _, e := range events[:n] {
			b.update(e, seated, now)
		}
		b.mu.Unlock()
		events = events[n:]
	}
	b.shrink()
}

func (b *Board) update(e occupancy.RoomEvent, seated bool, now float64) {
	s := b.rooms[e.Room]
	switch {
	case e.Occupancy == occupancy.Occupancy{}:
		if s != nil {
			delete(b.rooms, s.name)
			for o := range b.rankings {
				b.rankings[o].remove(s)
			}
		}
		return
	case s == nil:
		s = &standing{name: e.Room, warmth: cold}
		if seated {
			s.connections = int32(e.Occupancy.Connections)
		}
		b.rooms[s.name] = s
		b.most = max(b.most, len(b.rooms))
		for o := range b.rankings {
			b.rankings[o].add(s)
		}
	}
	arrived := e.Occupancy.Connections - int(s.connections)
	s.connections, s.members = int32(e.Occupancy.Connections), int32(e.Occupancy.PresenceMembers)
	if arrived != 0 {
		b.rankings[Popular].move(s)
	}
	if arrived > 0 {
		s.warmth = s.warmth.arrive(arrived, now)
		b.rankings[Trending].move(s)
	}
}

// shrink gives the map's memory back when most of its rooms are gone. It is
// copied while readers use it.
func (b *Board) shrink() {
	if b.most <= spare || len(b.rooms) > b.most/4 {
		return
	}
	rooms := make(map[string]*standing, len(b.rooms))
	maps.Copy(rooms, b.rooms) // maps.Clone would keep the size
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rooms, b.most = rooms, len(rooms)
}

// now is the time since the board was made, in half-lives.
func (b *Board) now() float64 { return float64(time.Since(b.start)) / float64(b.halfLife) }
