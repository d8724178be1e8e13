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
	extra atomic.Pointer[extra] // set and cleared under publisher.mu
	last  localPublication      // of this process's counts; publisher.mu protects it
}

// extra is the state of a cell whose room has subscriptions or parts of other nodes.
type extra struct {
	remote    atomic.Pointer[counts] // what the other nodes' parts add to the word, or nil; set under publisher.mu
	elsewhere atomic.Int32           // users of this process that are counted in remote, minus users of other nodes that are counted in the word: see userIndex

	// publisher.mu protects the following. With many rooms the size of an extra matters: keep it at
	// 96 bytes.
	sampled     uint16        // how many of the parts do not have all users: see userIndex.estimate
	lastTotal   publication   // of the total; without an extra, cell.last is the publication of both
	version     uint64        // of the newest event
	next        time.Duration // the earliest time of the next event, or 0 if the extra has had none
	remoteParts int32         // how many parts of other nodes are in remote
	remoteUsers uint32        // the users that are counted in the parts; remote has more if it is an estimate
	subs        subscribers
}

// publication is a published value of a room.
type publication struct {
	value counts
	seq   uint64 // publisher.seq when it was published
}

// localPublication is a publication of this process's counts, which fit into a word.
type localPublication struct {
	word uint64 // without flags
	seq  uint64
}

// prefetched is the number of rooms that prefetch reads.
const prefetched = 16

// prefetch reads the memory of the next rooms and of their first subscriptions, if i is a multiple
// of prefetched. A loop over many rooms calls it with each index i. The processor fetches the
// memory of these rooms at the same time. The loop would wait for one room after the other,
// because each visit has an atomic step. At a million rooms, most of the time of a visit is
// this wait. The caller holds publisher.mu. It ignores the result, without which the compiler
// would remove the reads.
//
//go:noinline
func prefetch[T any](i int, rooms []T, cellOf func(T) *cell) (sum uint64) {
	if i%prefetched == 0 {
		for _, r := range rooms[i:min(i+prefetched, len(rooms))] {
			c := cellOf(r)
			sum += c.word.Load() + c.last.seq // a cell may lie in two cache lines
			if x := c.extra.Load(); x != nil && len(x.subs.list) > 0 {
				sum += uint64(len(x.subs.list[0].events))
			}
		}
	}
	return sum
}

// Each cell is in one of these states, according to the flags of its word (see counter):
//
//	            a count or another node's        published, and has listeners or a watcher
//	            part changes                     must still return that it is empty
//	  ┌──────┐ ───────────────► ┌────────┐ ─────────────────────────────────► idle
//	  │ idle │                  │ queued │ published, exists without listeners ► detached
//	  └──────┘                  └────────┘ published, does not exist any more ► retired
//	    │ ▲                         ▲
//	    │ │ a new listener          │ a hook empties the room, or another node's part changes
//	    │ │     ┌──────────┐        │
//	    │ └──── │ detached │ ───────┘
//	    │       └──────────┘
//	    └► retired, if it is empty, when the last watcher has returned that
//
// A new cell is idle. The end of the last hold of an empty room queues it. Close retires every
// cell.
//
// The following makes this exact. Every transition is one compare-and-swap of the word. A
// change of an idle room sets queued in the same step, so the publisher visits the room
// after the change. publisher.settle loads a word, requires that its counts are the published
// ones, and replaces that word, so it fails if a hook has changed the counts. Thus an idle room has
// been published with its present counts. A room with a subscriber is never detached. A new
// watcher attaches each room that existed already when it returns the room for the first time.

// step applies f to the word of c, and queues the room if that is necessary. It returns
// the words before and after. Both are retired if c is retired. If the error is not nil, the
// counts are unchanged. It is the error of f, or ErrTooManyRooms.
func (c *cell) step(r *rooms, f func(w uint64) (uint64, error)) (before, after uint64, err error) {
	for {
		w := c.word.Load()
		if w == retired {
			return w, w, nil
		}
		n, err := f(w)
		var swapped bool
		if err == nil {
			changed := n&countMask != w&countMask
			empties := changed && n&occupiedMask == 0
			if changed && w&idle != 0 || empties || stateOf(n) == absent {
				n = n&^idle | queued // to be published, or dropped
			}
			swapped, err = r.swap(c, w, n)
		}
		if err != nil {
			if stateOf(w) != absent {
				return w, w, err
			}
			// The cell may have been created for this step, so the publisher must visit and drop it.
			n = w&^idle | queued
			swapped = c.word.CompareAndSwap(w, n)
		}
		if swapped {
			return w, n, err
		}
	}
}

// trySettle is the step of publisher.settle, which has found that the counts of the word w are
// published. If the room is empty and mayRetire is true, it retires c. Otherwise c becomes idle
// if it has listeners, and detached if not. trySettle returns the new word, and reports false if
// w is not the word any more.
func (c *cell) trySettle(w uint64, listeners, mayRetire bool) (uint64, bool) {
	n := w &^ queued
	switch {
	case stateOf(w) == absent && mayRetire:
		n = retired
	case listeners:
		n |= idle
	}
	return n, c.word.CompareAndSwap(w, n)
}

// becameQueued reports whether the step from before to after has queued the room.
func becameQueued(before, after uint64) bool { return before&queued == 0 && after&queued != 0 }

// The following are steps of publisher.change.

// enqueue queues the room after another node's part has changed.
func enqueue(w uint64) (uint64, error) { return w&^idle | queued, nil }

// attach queues a room that has a new listener, unless the room is idle.
func attach(w uint64) (uint64, error) {
	if w&idle == 0 {
		w |= queued
	}
	return w, nil
}

func setHeld(w uint64) (uint64, error) { return w | held, nil }

func clearHeld(w uint64) (uint64, error) { return w &^ held, nil }

func (c *cell) detached() bool { return c.word.Load()&(idle|queued) == 0 }

// local returns this process's part, as a word without flags.
func (c *cell) local() uint64 {
	w := c.word.Load()
	if w == retired {
		return c.last.word // 0, or the counts when the engine was closed; it never changes again
	}
	return c.localOf(w)
}

// localOf is local for the word w, which is not retired.
func (c *cell) localOf(w uint64) uint64 {
	w &= countMask
	if x := c.extra.Load(); x != nil {
		n := countsOf(w)
		// While a hook changes the word and then elsewhere, the sum may be out of range.
		n.users = uint32(max(0, min(int64(n.users)+int64(x.elsewhere.Load()), int64(n.members))))
		w = withCounts(0, n)
	}
	return w
}

// total returns the whole service's counts as last received.
func (c *cell) total() counts {
	if w := c.word.Load(); w != retired {
		return c.totalOf(w)
	}
	// The values of the last publication never change again, but settle still sets its seq.
	if x := c.extra.Load(); x != nil {
		return x.lastTotal.value
	}
	return countsOf(c.last.word)
}

// totalOf is total for the word w, which is not retired. Users never exceed members, even if
// another node reports impossible users.
func (c *cell) totalOf(w uint64) counts {
	total := countsOf(w)
	if x := c.extra.Load(); x != nil {
		total, _ = total.plus(x.remoteCounts())
		total.users = min(total.users, total.members)
	}
	return total
}

// holds reports whether a subscription or another node's part holds the room.
func (x *extra) holds() bool { return len(x.subs.list) > 0 || x.remoteParts > 0 }

// event returns the room's newest event, for a subscriber.
func (x *extra) event() Event {
	return Event{Type: EventUpdated, Occupancy: x.lastTotal.value.occupancy(), Version: x.version}
}

// parts returns the sum of the other nodes' parts, without estimates.
func (x *extra) parts() counts {
	sum := x.remoteCounts()
	sum.users = x.remoteUsers
	return sum
}

// remoteCounts returns what the other nodes' parts add to the word.
func (x *extra) remoteCounts() counts {
	if n := x.remote.Load(); n != nil {
		return *n
	}
	return counts{}
}

// settledEmpty reports whether the room is empty, and is published as such.
func (c *cell) settledEmpty() bool {
	w := c.word.Load()
	return w&(idle|countMask) == idle && w != retired && c.totalOf(w) == counts{}
}

// subscribed reports whether the room has subscriptions. The caller holds publisher.mu.
func (c *cell) subscribed() bool {
	x := c.extra.Load()
	return x != nil && len(x.subs.list) > 0
}

// event returns the last publication of the total, for a watcher.
func (c *cell) event() RoomEvent {
	last := c.lastTotal()
	version := last.seq
	if x := c.extra.Load(); x != nil {
		version = x.version
	}
	return RoomEvent{c.name, Event{Type: EventUpdated, Occupancy: last.value.occupancy(), Version: version}}
}

// lastLocal returns the last publication of this process's part.
func (c *cell) lastLocal() publication { return publication{countsOf(c.last.word), c.last.seq} }

// lastTotal returns the last publication of the total.
func (c *cell) lastTotal() publication {
	if x := c.extra.Load(); x != nil {
		return x.lastTotal
	}
	return c.lastLocal()
}
