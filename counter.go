package occupancy

import "sync/atomic"

// Occupancy is the number of connections and the number of presence members of a
// room, always read together as one consistent value.
type Occupancy struct {
	Connections     int `json:"connections"`
	PresenceMembers int `json:"presenceMembers"`
}

// counter is a room's two counts and its three flags in one word, so that every hook
// is one atomic step. Whether the room becomes occupied or empty, and whether a change must
// be published, follows from the old and the new word of the step:
//
//	 63   62         32 31          2   1      0
//	+----+-------------+-------------+------+------+
//	|idle| connections |   members   |queued| held |
//	+----+-------------+-------------+------+------+
//
// queued: the room is in the publisher's inbox or in one of its queues.
//
// idle: the room needs no visit. The hook that changes the room replaces idle by queued, and
// publishes the room or pushes it to the inbox.
//
// A room with neither flag is detached: it has no listeners, and hooks only count. The hook
// that empties the room sets queued. A room never has both flags.
//
// held: a subscription or another node's part keeps the room.
//
// A room is occupied if a count is not zero. A room exists if it is occupied or held. A
// word that is neither occupied nor held belongs to a room that was just created, or that
// emptied and is not dropped yet. All ones is a retired word: its room was dropped, or
// frozen by the engine's Close. It never changes again.
//
// A step is a compare-and-swap. A bare add would be slightly cheaper, but one that must be
// undone (a Leave without a connection, a full count, a dropped room) would show a wrong
// count in between.
type counter struct{ word atomic.Uint64 }

const (
	held       uint64 = 1
	queued     uint64 = 1 << 1
	member     uint64 = 1 << 2
	connection uint64 = 1 << 32
	idle       uint64 = 1 << 63

	memberMask     = (1<<30 - 1) * member
	connectionMask = (1<<31 - 1) * connection
	countMask      = memberMask | connectionMask

	retired = ^uint64(0)
)

// state is what a word says about its room.
type state int

const (
	absent   state = iota // the room does not exist
	occupied              // it has connections or members of this process
	heldOnly              // it exists only because it is held
)

// stateOf returns the state of a word that is not retired.
func stateOf(w uint64) state {
	switch {
	case w&countMask != 0:
		return occupied
	case w&held != 0:
		return heldOnly
	}
	return absent
}

// The four plain steps. Each takes place if there is nothing to do but count: the room is
// occupied before and after, the idle flag is clear (so it is not retired either), and the count
// is not nearly full. Otherwise, or if another hook has changed the word meanwhile, it changes
// nothing and returns false, and the caller takes the general path, publisher.change.

func (c *counter) tryJoin() bool {
	w := c.word.Load()
	return w&idle == 0 && w&countMask != 0 && w&connectionMask < connectionMask-connection &&
		c.word.CompareAndSwap(w, w+connection)
}

func (c *counter) tryLeave() bool {
	w := c.word.Load()
	return w&idle == 0 && w&connectionMask != 0 && (w-connection)&countMask != 0 &&
		c.word.CompareAndSwap(w, w-connection)
}

func (c *counter) tryEnter() bool {
	w := c.word.Load()
	return w&idle == 0 && w&countMask != 0 && w&memberMask < memberMask-member &&
		c.word.CompareAndSwap(w, w+member)
}

func (c *counter) tryExit() bool {
	w := c.word.Load()
	return w&idle == 0 && w&memberMask != 0 && (w-member)&countMask != 0 &&
		c.word.CompareAndSwap(w, w-member)
}

// maskOf returns the mask of the connections or of the members: unit is connection or member.
func maskOf(unit uint64) uint64 {
	if unit == connection {
		return connectionMask
	}
	return memberMask
}

// plus returns w with one more connection or member. It refuses to bring both counts
// to their maximum, because a word with both at their maximum could equal retired.
func plus(w, unit uint64) (uint64, error) {
	n := w + unit
	if mask := maskOf(unit); w&mask == mask || n&countMask == countMask {
		return w, ErrCount
	}
	return n, nil
}

// minus returns w with n connections or members less, but not less than zero.
func minus(w, unit, n uint64) uint64 {
	return w - min(w&maskOf(unit), n*unit)
}

// A packed occupancy is the two counts in one word, without flags: the connections in the
// upper half, the members in the lower. Each count can be as large as maxCount.
const maxCount = 1<<31 - 1

func pack(o Occupancy) (uint64, error) {
	if o.Connections < 0 || o.PresenceMembers < 0 || o.Connections > maxCount || o.PresenceMembers > maxCount {
		return 0, ErrCount
	}
	return uint64(o.Connections)<<32 | uint64(o.PresenceMembers), nil
}

func unpack(packed uint64) Occupancy {
	return Occupancy{Connections: int(packed >> 32), PresenceMembers: int(packed & maxCount)}
}

// capped reports whether one of the counts is at the maximum.
func capped(packed uint64) bool { return packed>>32 == maxCount || packed&maxCount == maxCount }

// countsOf returns the counts of a word, packed.
func countsOf(w uint64) uint64 { return w&connectionMask | w&memberMask/member }

// add returns the sum of two packed occupancies, and whether it fits: each count is
// capped at maxCount.
func add(a, b uint64) (total uint64, fits bool) {
	conns := a>>32 + b>>32
	mems := a&maxCount + b&maxCount
	return min(conns, maxCount)<<32 | min(mems, maxCount), conns <= maxCount && mems <= maxCount
}
