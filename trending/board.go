package trending

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/occupancy/occupancy"
)

// Board ranks the rooms of an engine. Create a Board with [New], and close it when done.
// All methods may be called from any goroutine. A Board reads the engine's events, so it
// lags behind the engine by up to one interval. It delays no Join or Leave.
type Board struct {
	config
	engine  *occupancy.Engine
	watcher *occupancy.Watcher // nil if the engine was closed before New
	start   time.Time
	changed chan struct{} // contains a value if the lists may have changed
	closing chan struct{} // closed when the watcher is closed
	done    chan struct{} // closed when the board's goroutines have ended

	// writing is locked while the following fields and the entries are changed. A goroutine
	// that holds it may read them. To write them it also locks mu, for a few rooms at a time,
	// so that readers do not wait long. writing is locked before mu.
	writing sync.Mutex
	mu      sync.RWMutex
	rooms   map[string]*entry
	listed  int // rooms that are not empty
	peak    int // the largest value of listed
	mapSize int // the largest len(rooms) since the map was made; Go maps do not shrink

	rankings [numOrders]ranking
	reviews  []review // in the order of due; only guarded by writing

	warm map[string]warmRoom // nil after the warm-up; only guarded by writing

	expected   map[string]int32 // see Expect; only guarded by writing
	expectedAt time.Time        // the last call of Expect

	changes atomic.Uint64 // see Stats
	busy    atomic.Int64

	// listsMu protects the following two fields, and the fields of every list and
	// Subscription. The board locks listsMu before mu and never while it holds mu, so that
	// readers of the board do not wait while lists are sent to subscribers.
	listsMu sync.Mutex
	lists   map[listKey]*list
	closed  bool
}

// warmRoom contains the changes of a room in the warm-up.
type warmRoom struct {
	away    int32 // clients that left and have not returned: as many arrivals count as returns
	ignored int32 // arrivals that do not count
}

// New creates a board. When New returns, the board contains every room that is not
// empty. The board of a closed engine is empty. New takes a few microseconds for each
// room and may wait for one interval of the engine. It starts two goroutines, which end
// when the board or the engine is closed. New panics on an invalid option, such as a
// half-life that is not positive, or [Users] if the engine does not count them.
func New(e *occupancy.Engine, opts ...Option) *Board {
	b := &Board{
		config:   newConfig(e, opts),
		engine:   e,
		start:    time.Now(),
		changed:  make(chan struct{}, 1),
		closing:  make(chan struct{}),
		done:     make(chan struct{}),
		rooms:    map[string]*entry{},
		warm:     map[string]warmRoom{},
		rankings: [numOrders]ranking{{order: Popular}, {order: Trending}},
		lists:    map[listKey]*list{},
	}
	watcher, err := e.Watch()
	for err == nil && !watcher.CaughtUp() {
		var events []occupancy.RoomEvent
		events, err = watcher.Next(context.Background())
		b.apply(events, true)
	}
	if err != nil { // the engine is closed
		b.finish()
		return b
	}
	b.watcher = watcher
	b.warm = map[string]warmRoom{} // without the clients that were connected before
	go b.read()
	go b.run()
	return b
}

// Engine returns the engine whose rooms the board ranks.
func (b *Board) Engine() *occupancy.Engine { return b.engine }

// Close stops the board and closes the channels of its subscriptions after their last lists,
// which contain every change that was made before Close. Close waits for the board's
// goroutines, but not for subscribers, and takes about half a second for a million rooms. After
// Close, the rankings can still be read. Close may be called more than once; the error is
// always nil.
func (b *Board) Close() error {
	if b.watcher != nil {
		_ = b.watcher.Close()
	}
	<-b.done
	return nil
}

// Popular returns the n rooms with the greatest counts, or all rooms if n is greater.
// The caller owns the slice.
func (b *Board) Popular(n int) []Room { return b.Top(Popular, n) }

// Trending returns the n trending rooms with the greatest ratios, or all trending rooms if
// n is greater. The caller owns the slice.
func (b *Board) Trending(n int) []Room { return b.Top(Trending, n) }

// Top returns the first n rooms in the given order, or all of them if n is greater. The
// list is exact at the time of the call. The caller owns the slice. While Top reads the
// rooms, the board applies no changes. Top reads 100 rooms in microseconds, and a million
// rooms in seconds. Top panics on an invalid order.
func (b *Board) Top(by Order, n int) []Room {
	b.mu.RLock()
	defer b.mu.RUnlock()
	now := b.now()
	top := b.top(by, n, now)
	rooms := make([]Room, len(top))
	for i, e := range top {
		rooms[i] = b.room(&e.row, now)
	}
	return rooms
}

// top is Top for a caller that has locked mu.
func (b *Board) top(by Order, n int, m *moment) []*entry {
	var present func(*entry) (float64, bool)
	if by == Trending {
		present = func(e *entry) (float64, bool) {
			_, _, ratio, trends := b.growth(&e.row, m)
			return bound(ratio, m.now), trends
		}
	}
	return b.rankings[by].top(n, present)
}

// Len returns the number of rooms that are not empty and that the filter accepts.
func (b *Board) Len() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.listed
}

// Stats is the work of a board since its creation.
type Stats struct {
	Changes uint64        // applied changes of rooms
	Busy    time.Duration // the time spent on applying changes and publishing lists
}

// Stats returns the work of the board. It does not wait for the board.
func (b *Board) Stats() Stats {
	return Stats{b.changes.Load(), time.Duration(b.busy.Load())}
}

func (b *Board) addBusy(since time.Time) { b.busy.Add(int64(time.Since(since))) }

// read applies the engine's events, until the watcher is closed.
func (b *Board) read() {
	defer close(b.closing)
	for {
		events, err := b.watcher.Next(context.Background())
		if err != nil {
			return
		}
		b.changes.Add(uint64(len(events)))
		b.apply(events, b.warming())
		b.listsChanged()
	}
}

// listsChanged makes run publish the lists.
func (b *Board) listsChanged() {
	select {
	case b.changed <- struct{}{}:
	default: // changed already contains a value
	}
}

// run publishes the lists after a change, at most once in each interval. While there are
// reviews, it also publishes them regularly, because the trending rooms change places while
// nothing happens.
func (b *Board) run() {
	defer b.finish()
	interval := b.engine.Interval()
	for {
		var refresh <-chan time.Time
		if b.reviewing() {
			refresh = time.After(max(0, b.halfLife/refreshes-interval))
		}
		select {
		case <-b.changed:
		case <-refresh:
			b.apply(nil, b.warming())
		case <-b.closing:
			b.applyRest()
			return
		}
		b.publish()
		select {
		case <-time.After(interval):
		case <-b.closing:
		}
	}
}

// warming reports whether clients that connect are not arrivals yet.
func (b *Board) warming() bool { return time.Since(b.start) < b.warmup }

// now returns the time since the board was created.
func (b *Board) now() *moment {
	m := momentAt(float64(time.Since(b.start)) / float64(b.halfLife))
	return &m
}
