package trending

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

// Board ranks the rooms of an engine. Create a Board with [New], and close it when done.
// All methods may be called from any goroutine. A Board reads the engine's events, so it
// lags behind the engine by up to one interval. It delays no Join or Leave.
type Board struct {
	config
	watcher  *occupancy.Watcher // nil if the engine was closed before New
	interval time.Duration
	start    time.Time
	done     chan struct{} // closed when the board's goroutine has ended

	// mu protects the following four fields and all entries. Only New and the board's
	// goroutine write them, and unlock mu after every few rooms, so that readers do not
	// wait long.
	mu        sync.RWMutex
	rooms     map[string]*entry
	peakRooms int // the largest len(rooms) since the map was made; Go maps do not shrink
	rankings  [numOrders]ranking

	// listsMu protects the following two fields, and the fields of every list and
	// Subscription. The board locks listsMu before mu and never while it holds mu, so that
	// readers of the board do not wait while lists are sent to subscribers.
	listsMu sync.Mutex
	lists   map[listKey]*list
	closed  bool
}

// New creates a board. When New returns, the board contains every room that is not
// empty. The board of a closed engine is empty. New takes a few microseconds for each
// room and may wait for one interval of the engine. It starts one goroutine, which ends
// when the board or the engine is closed. New panics if the half-life is not positive, or
// if the margin is negative or not finite.
func New(e *occupancy.Engine, opts ...Option) *Board {
	b := &Board{
		config:   newConfig(opts),
		interval: e.Interval(),
		start:    time.Now(),
		done:     make(chan struct{}),
		rooms:    map[string]*entry{},
		rankings: [numOrders]ranking{{order: Popular}, {order: Trending}},
		lists:    map[listKey]*list{},
	}
	watcher, err := e.Watch(occupancy.WithPrefix(b.prefix))
	if err != nil { // the engine is closed
		b.finish()
		return b
	}
	b.watcher = watcher
	if err := b.fill(); err != nil {
		b.finish()
		return b
	}
	go b.run()
	return b
}

// Close stops the board and closes the channels of its subscriptions after their last
// lists. Close waits for the board's goroutine, but not for subscribers. After Close, the
// rankings can still be read. Close may be called more than once; the error is always nil.
//
// Close the board before the engine: if the engine is closed first, the board may miss the
// last changes.
func (b *Board) Close() error {
	if b.watcher != nil {
		_ = b.watcher.Close()
	}
	<-b.done
	return nil
}

// fill adds the rooms that exist. Their connections are not arrivals. If the engine is
// closed, fill returns occupancy.ErrClosed.
func (b *Board) fill() error {
	for !b.watcher.CaughtUp() {
		events, err := b.watcher.Next(context.Background())
		if err != nil {
			return err
		}
		b.apply(events, true)
	}
	return nil
}

// run applies the engine's events. It publishes the lists after a change, at most once
// in each interval.
func (b *Board) run() {
	defer b.finish()
	changed, nextPublish := false, b.start
	for {
		ctx, cancel := context.Background(), func() {}
		if changed {
			if time.Until(nextPublish) <= 0 {
				b.publish()
				changed, nextPublish = false, time.Now().Add(b.interval)
			} else {
				ctx, cancel = context.WithDeadline(ctx, nextPublish)
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

const applyStep = 16 // events that apply handles before it unlocks mu

// apply updates the rankings. If initial is true, the connections of rooms that are not on
// the board yet do not count as arrivals.
func (b *Board) apply(events []occupancy.RoomEvent, initial bool) {
	now := b.elapsedHalfLives()
	for len(events) > 0 {
		n := min(applyStep, len(events))
		b.mu.Lock()
		for _, ev := range events[:n] {
			b.update(ev, initial, now)
		}
		b.mu.Unlock()
		events = events[n:]
	}
	b.shrink()
}

func (b *Board) update(ev occupancy.RoomEvent, initial bool, now float64) {
	e := b.rooms[ev.Room]
	switch {
	case ev.Occupancy == occupancy.Occupancy{}:
		if e != nil {
			delete(b.rooms, e.name)
			for o := range b.rankings {
				b.rankings[o].remove(e)
			}
		}
		return
	case e == nil:
		e = &entry{name: ev.Room, score: noArrivals}
		if initial {
			e.connections = int32(ev.Occupancy.Connections)
		}
		b.rooms[e.name] = e
		b.peakRooms = max(b.peakRooms, len(b.rooms))
		for o := range b.rankings {
			b.rankings[o].add(e)
		}
	}
	change := ev.Occupancy.Connections - int(e.connections)
	e.connections, e.members = int32(ev.Occupancy.Connections), int32(ev.Occupancy.PresenceMembers)
	if change != 0 {
		b.rankings[Popular].update(e)
	}
	if change > 0 {
		e.score = e.score.withArrivals(change, now)
		b.rankings[Trending].update(e)
	}
}

// shrink replaces the map of the rooms when most rooms have emptied. It copies the map
// without locking mu, so readers do not wait.
func (b *Board) shrink() {
	if b.peakRooms <= minCapacity || len(b.rooms) > b.peakRooms/4 {
		return
	}
	rooms := make(map[string]*entry, len(b.rooms))
	maps.Copy(rooms, b.rooms) // maps.Clone would keep the capacity
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rooms, b.peakRooms = rooms, len(rooms)
}

// elapsedHalfLives returns the time since the board was created, in half-lives.
func (b *Board) elapsedHalfLives() float64 { return float64(time.Since(b.start)) / float64(b.halfLife) }
