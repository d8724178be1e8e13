package occupancy

import (
	"sync/atomic"
	"time"
)

// cell is what the engine keeps of one room. At a million rooms its size decides how much
// memory an engine uses: keep it at 48 bytes. State that only few rooms need belongs in extra.
type cell struct {
	counter
	name  string
	extra atomic.Pointer[extra] // set once, under publisher.mu
	last  publication           // of the total; publisher.mu protects it
}

// extra is the state of a cell whose room was subscribed to or had counts of other nodes.
type extra struct {
	remote atomic.Uint64 // the sum of the other nodes' parts, packed; written under publisher.mu

	// publisher.mu protects the following.
	lastLocal   publication   // of this process's counts; a cell without an extra has only cell.last, which is for the total and these counts
	version     uint64        // of the newest event
	undelivered bool          // some subscriber may not have received the last published value
	delivering  bool          // deliver has not returned, and may have unlocked mu
	next        time.Duration // the earliest time of the next event
	remoteParts int           // how many parts of other nodes are in remote
	holders     int           // subscriptions and parts of other nodes
	subs        []subscriber
	passed      int // the number of subscribers that a running deliver has processed
}

// publication is a published value of a room.
type publication struct {
	value uint64 // packed
	seq   uint64 // publisher.seq when it was published
}

// local returns this process's part, packed.
func (c *cell) local() uint64 {
	w := c.word.Load()
	if w == retired {
		return c.lastOf(true).value // 0, or the counts when the engine was closed; a retired cell's last value never changes
	}
	return countsOf(w)
}

// total returns the whole service's occupancy as last received, given this process's part.
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

// lastOf returns the last publication of the total, or of this process's part.
func (c *cell) lastOf(local bool) *publication {
	if local {
		if x := c.extra.Load(); x != nil {
			return &x.lastLocal
		}
	}
	return &c.last
}

// event returns the room's newest event, for a subscriber.
func (x *extra) event(c *cell) Event {
	return Event{Type: EventUpdated, Occupancy: unpack(c.last.value), Version: x.version}
}
