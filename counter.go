package occupancy

import "sync/atomic"

// Occupancy is how many connections and how many presence members a room has,
// read together as one consistent value.
type Occupancy struct {
	Connections     int `json:"connections"`
	PresenceMembers int `json:"presenceMembers"`
}

// counter is a room's two counts and its two flags in one word, so that every
// hook is one atomic step, and what follows from the step (a room that begins or
// ends, a change to be told) is decided by the step itself:
//
//	63          33 32            2    1      0
//	+-------------+--------------+------+------+
//	| connections |   members    | held | busy |
//	+-------------+--------------+------+------+
//
// busy: the publisher has the room in its hands and will look at it again, so
// that a hook has nothing to queue. held: something other than these counts
// keeps the room: a subscription or another node's part.
//
// A word above busy is a room that exists. One of 0 or busy is a room that does
// not: it was just made, or emptied and not yet dropped. All ones is one that was
// dropped: it never changes again, and its name may have another counter by now.
//
// A step is a compare-and-swap, though a bare add would be a little cheaper:
// an add that must be taken back (a Leave too many, a count that is full, a
// dropped room) would have shown a wrong count in between.
type counter struct{ word atomic.Uint64 }

const (
	busy       uint64 = 1 << 0
	held       uint64 = 1 << 1
	member     uint64 = 1 << 2
	connection uint64 = 1 << 33

	maxCount    = 1<<31 - 1
	members     = maxCount * member
	connections = maxCount * connection
	counts      = members | connections

	retired = ^uint64(0)
)

// up adds one (a connection or a member) if nothing else needs to be done: the
// room exists, the publisher knows of it and the count is far from full.
// Otherwise it changes nothing and reports false.
func (c *counter) up(one uint64) bool {
	w := c.word.Load()
	field := one * maxCount
	return w&busy != 0 && w > busy && w&field < field-one &&
		c.word.CompareAndSwap(w, w+one)
}

// down takes one away under the same conditions; the room must exist afterwards
// too. Where there is none to take, or the room is retired, what is left of its
// field is at least field-one.
func (c *counter) down(one uint64) bool {
	w := c.word.Load()
	n, field := w-one, one*maxCount
	return n&busy != 0 && n > busy && n&field < field-one &&
		c.word.CompareAndSwap(w, n)
}

// local is this process's counts, packed.
func (c *counter) local() uint64 {
	w := c.word.Load()
	if w == retired {
		return 0
	}
	return w & counts
}

// plus is w with one more. A count stops at maxCount, and the two never stand
// there together: that would look like retired.
func plus(w, one uint64) (uint64, error) {
	n, field := w+one, one*maxCount
	if w&field == field || n&counts == counts {
		return w, ErrCount
	}
	return n, nil
}

// minus is w with n less, or with none left of that field if there were fewer.
func minus(w, one, n uint64) uint64 {
	field := one * maxCount
	return w - min(w&field, n*one)
}

// pack makes an occupancy the counts of a word.
func pack(o Occupancy) (uint64, error) {
	if o.Connections < 0 || o.PresenceMembers < 0 || o.Connections > maxCount || o.PresenceMembers > maxCount {
		return 0, ErrCount
	}
	return uint64(o.Connections)*connection | uint64(o.PresenceMembers)*member, nil
}

func unpack(w uint64) Occupancy {
	return Occupancy{
		Connections:     int(w / connection),
		PresenceMembers: int(w & members / member),
	}
}

// sum adds two words' counts, each up to maxCount.
func sum(a, b uint64) uint64 {
	conns := min(a/connection+b/connection, maxCount)
	mems := min((a&members+b&members)/member, maxCount)
	return conns*connection | mems*member
}
