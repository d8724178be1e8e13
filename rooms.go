package occupancy

import (
	"cmp"
	"strings"
	"sync"
	"sync/atomic"
)

// rooms maps names to cells, and counts the rooms that exist.
//
// Whether a room exists is decided by its word alone (see counter), so the map may hold
// a cell before its room exists and after it has ended. A hook that finds such a cell
// counts in it. A cell is retired, and removed from the map, only while publisher.mu is locked.
type rooms struct {
	cells  table
	closed atomic.Bool // no more cells are created
	limit  int         // 0: none
	flags  uint64      // of a new word: idle, and tracked if the engine counts users

	_ [64]byte // separates the fields above, which every hook reads, from those below, which are written often

	// states is the number of rooms in each state, in one word, so that the sum is right
	// while a room changes its state: see stateWeight.
	states  atomic.Int64
	limitMu sync.Mutex // with a limit, it is locked for each step by which a room becomes occupied or empty

	// publisher.mu protects the following.
	subscribed int // rooms that have subscriptions
	reported   int // rooms that have parts of other nodes
}

func (r *rooms) init(limit int, flags uint64) {
	r.cells.init(maxShard)
	r.limit, r.flags = limit, flags
}

// check returns ErrClosed or ErrInvalidRoom if no call with this name can succeed, or nil.
func (r *rooms) check(name string) error {
	switch {
	case r.closed.Load():
		return ErrClosed
	case !validName(name):
		return ErrInvalidRoom
	}
	return nil
}

// live returns the room's cell if it has one that is not retired, or nil.
func (r *rooms) live(name string) *cell {
	if c, ok := r.cells.Load(name); ok && c.word.Load() != retired {
		return c
	}
	return nil
}

// obtain finds or creates the room's cell, for a hook. The cell may be retired by the
// time it is used: then call obtain again. The error is ErrInvalidRoom, ErrTooManyRooms or ErrClosed.
func (r *rooms) obtain(name string) (*cell, error) {
	if r.limit == 0 || r.live(name) != nil {
		return r.obtainUnlimited(name)
	}
	// Refused names must not fill the map.
	r.limitMu.Lock()
	defer r.limitMu.Unlock()
	if r.full(r.number(occupied)) && r.live(name) == nil && r.check(name) == nil {
		return nil, ErrTooManyRooms
	}
	return r.obtainUnlimited(name)
}

// obtainUnlimited is obtain without the limit of occupied rooms.
func (r *rooms) obtainUnlimited(name string) (*cell, error) {
	if c := r.live(name); c != nil {
		return c, nil
	}
	if !validName(name) {
		return nil, ErrInvalidRoom
	}
	// Clone the name, because it may be a slice of a larger string that the map would keep in memory.
	name = strings.Clone(name)
	var c *cell
	r.cells.Compute(name, func(old *cell, loaded bool) (*cell, bool) {
		switch {
		case loaded && old.word.Load() != retired:
			c = old
		case r.closed.Load():
			// Close sets closed and then walks the cells. A cell that this walk misses is
			// added under a lock that the walk has had, or to a shard of a newer directory.
			// In both cases, this check comes after closed was set.
			return old, !loaded
		default:
			c = &cell{name: name}
			c.word.Store(r.flags)
		}
		return c, false
	})
	if c == nil {
		return nil, ErrClosed
	}
	return c, nil
}

// full reports whether a number of rooms has reached the limit.
func (r *rooms) full(n int64) bool { return r.limit > 0 && n >= int64(r.limit) }

// checkSubscribed returns ErrTooManyRooms if the limit does not permit a subscription to the room.
//
// A new room is refused if the number of rooms that are only subscribed to has reached the
// limit. A room that was occupied when it was subscribed to may empty later, which can bring
// that number above the limit, because a Leave cannot be refused. So the number of all rooms
// with subscriptions is limited, too. Its limit is three times as high: once for the
// occupied rooms, once for the rooms with parts of other nodes, and once for the rooms that
// are only subscribed to.
func (r *rooms) checkSubscribed(name string) error {
	c := r.live(name)
	if c != nil && c.subscribed() {
		return nil
	}
	// This is a lower bound: rooms that have both another node's part and connections
	// of this process are counted in reported but not in heldOnly.
	onlySubscribed := r.number(heldOnly) - int64(r.reported)
	exists := c != nil && stateOf(c.word.Load()) != absent
	if r.full(onlySubscribed) && !exists || r.full(int64(r.subscribed)/3) {
		return cmp.Or[error](r.check(name), ErrTooManyRooms)
	}
	return nil
}

// checkReported returns ErrTooManyRooms if the limit does not permit a part of another node.
func (r *rooms) checkReported(name string) error {
	c := r.live(name)
	if !r.full(int64(r.reported)) || c != nil && c.extra.Load() != nil && c.extra.Load().remoteParts > 0 {
		return nil
	}
	return cmp.Or[error](r.check(name), ErrTooManyRooms)
}

// swap is the compare-and-swap of every step that may change a room's state.
func (r *rooms) swap(c *cell, w, n uint64) (bool, error) {
	was, is := stateOf(w), stateOf(n)
	if was == is {
		return c.word.CompareAndSwap(w, n), nil
	}
	if r.limit > 0 && (was == occupied || is == occupied) {
		r.limitMu.Lock()
		defer r.limitMu.Unlock()
		if is == occupied && r.full(r.number(occupied)) && c.word.Load() == w {
			return false, ErrTooManyRooms
		}
	}
	if !c.word.CompareAndSwap(w, n) {
		return false, nil
	}
	r.states.Add(stateWeight[is] - stateWeight[was])
	return true, nil
}

// stateWeight is what one room of each state adds to rooms.states: the low half counts the
// occupied rooms, the high half those that are only held.
var stateWeight = [...]int64{absent: 0, occupied: 1, heldOnly: 1 << 32}

// number returns the number of rooms in the state s, occupied or heldOnly. It may be
// negative for a moment, if the end of a room is counted before its beginning.
func (r *rooms) number(s state) int64 {
	n := r.states.Load()
	if s == occupied {
		return int64(int32(n))
	}
	return (n - int64(int32(n))) >> 32
}

// existing returns how many rooms exist.
func (r *rooms) existing() int {
	n := r.states.Load()
	low := int64(int32(n))
	return int(max(0, low+(n-low)>>32))
}

// drop removes a retired cell from the map, unless its name has a new cell already.
func (r *rooms) drop(c *cell) {
	r.cells.Compute(c.name, func(now *cell, _ bool) (*cell, bool) { return now, now == c || now == nil })
}
