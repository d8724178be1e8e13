package occupancy

import (
	"sync/atomic"
	"time"
)

// cell is what the engine keeps of one room. At a million rooms its size is what
// an engine weighs: keep it at 48 bytes, and put what few rooms need in extra.
type cell struct {
	counter
	name  string
	extra atomic.Pointer[extra] // set once, under publisher.mu
	mark  mark                  // of the total; publisher.mu protects it
}

// extra is what a cell needs once it was subscribed to or had another node's part.
type extra struct {
	remote atomic.Uint64 // the other nodes' parts, packed; written under publisher.mu

	// publisher.mu protects the following.
	local   mark          // of this process's part; without an extra, the cell's mark is of both
	version uint64        // of the newest event
	stale   bool          // a subscriber may not have been told the mark yet
	until   time.Duration // no event before then
	remotes int           // parts of other nodes in remote
	holders int           // subscriptions and remote parts
	subs    []listener
}

// mark is what was last told of a room.
type mark struct {
	told uint64 // packed
	seq  uint64 // the publisher's number for it
}

// local is this process's part, packed.
func (c *cell) local() uint64 {
	w := c.word.Load()
	if w == retired {
		return c.markOf(true).told // 0, or the last word of a closed engine; not written any more
	}
	return w & counts
}

// total is the whole service's occupancy as last heard, given this process's part.
func (c *cell) total(local uint64) uint64 {
	if x := c.extra.Load(); x != nil {
		local, _ = add(local, x.remote.Load())
	}
	return local
}

// settledEmpty reports whether the room is empty, and is published as such.
func (c *cell) settledEmpty() bool {
	w := c.word.Load()
	return w&^held == idle && c.total(0) == 0
}

// markOf is the mark of the total or of this process's part.
func (c *cell) markOf(local bool) *mark {
	if local {
		if x := c.extra.Load(); x != nil {
			return &x.local
		}
	}
	return &c.mark
}

// event is what was last told of the room, to a subscriber.
func (x *extra) event(c *cell) Event {
	return Event{Type: EventUpdated, Occupancy: unpack(c.mark.told), Version: x.version}
}
