package occupancy

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/puzpuzpuz/xsync/v3"
)

// rooms is every room by its name, and the number of those that exist.
//
// A room exists by its word alone (see counter), so a cell may stand in the map
// before its room begins and after it ended: whoever finds it there can use it.
// Only the publisher retires a cell and drops it from the map.
type rooms struct {
	cells  *xsync.MapOf[string, *cell]
	closed atomic.Bool // no cell is made any more
	limit  int         // 0: none

	_ [64]byte // what every hook reads is not in one cache line with what rooms write as they begin and end

	exist  atomic.Int64
	limitM sync.Mutex // with a limit, held over each step by which a room begins or ends
}

func (r *rooms) init(limit int) {
	r.cells = xsync.NewMapOf[string, *cell]()
	r.limit = limit
}

// find is the hot path's look-up. The cell may be retired.
func (r *rooms) find(name string) (*cell, bool) { return r.cells.Load(name) }

// live finds a cell that is not retired, or nil.
func (r *rooms) live(name string) *cell {
	if c, ok := r.cells.Load(name); ok && c.word.Load() != retired {
		return c
	}
	return nil
}

// obtain finds the room's cell or makes one. By the time it is used it may be
// retired: then ask again. The error is ErrRoomName, ErrTooManyRooms or ErrClosed.
func (r *rooms) obtain(name string) (*cell, error) {
	if c := r.live(name); c != nil {
		return c, nil
	}
	if !validName(name) {
		return nil, ErrRoomName
	}
	if r.closed.Load() {
		return nil, ErrClosed // and not that there are too many
	}
	if r.limit > 0 {
		// Names that are refused must not fill the map.
		r.limitM.Lock()
		defer r.limitM.Unlock()
		if r.exist.Load() >= int64(r.limit) && r.live(name) == nil {
			return nil, ErrTooManyRooms
		}
	}
	// The map outlives the caller's string, which may be a piece of a larger one.
	name = strings.Clone(name)
	var c *cell
	r.cells.Compute(name, func(old *cell, loaded bool) (*cell, bool) {
		switch {
		case loaded && old.word.Load() != retired:
			c = old
		case r.closed.Load(): // asked here, under the bucket's lock, so that Close sees every cell there is
			return old, !loaded
		default:
			c = &cell{name: name}
			c.word.Store(idle)
		}
		return c, false
	})
	if c == nil {
		return nil, ErrClosed
	}
	return c, nil
}

// swap is the compare-and-swap for every step that may begin or end a room.
func (r *rooms) swap(c *cell, w, n uint64) (bool, error) {
	begins, ends := absent(w) && !absent(n), !absent(w) && absent(n)
	if !begins && !ends {
		return c.word.CompareAndSwap(w, n), nil
	}
	if r.limit > 0 {
		r.limitM.Lock()
		defer r.limitM.Unlock()
		if begins && r.exist.Load() >= int64(r.limit) && c.word.Load() == w {
			return false, ErrTooManyRooms
		}
	}
	switch {
	case !c.word.CompareAndSwap(w, n):
		return false, nil
	case begins:
		r.exist.Add(1)
	default:
		r.exist.Add(-1)
	}
	return true, nil
}

// drop removes a retired cell from the map, if its name has not another already.
func (r *rooms) drop(c *cell) {
	r.cells.Compute(c.name, func(now *cell, _ bool) (*cell, bool) { return now, now == c || now == nil })
}

// all calls f for every cell, weakly consistent, until it returns false.
func (r *rooms) all(f func(*cell) bool) {
	r.cells.Range(func(_ string, c *cell) bool { return f(c) })
}
