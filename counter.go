package occupancy

import "sync/atomic"

// Occupancy is the number of connections and the number of presence members of a
// room, always read together as one consistent value.
type Occupancy struct {
	Connections     int `json:"connections"`
	PresenceMembers int `json:"presenceMembers"`
}

// counter is a room's two counts and its two flags in one word, so that every hook
// is one atomic step, and the step itself decides what follows from it (the room
// begins or ends to be occupied, a change must be published):
//
//	 63   62         32 31          1   0
//	+----+-------------+-------------+------+
//	|idle| connections |   members   | held |
//	+----+-------------+-------------+------+
//
// idle: the publisher does not have the room, so a hook that changes it must clear the
// flag and push the room to the publisher's inbox. While the flag is clear, a hook only
// counts. held: a subscription or another node's part keeps the room.
//
// A room exists if any bit except idle is set: it is occupied if a count is not zero,
// and otherwise only held. A word without these bits belongs to a room that was just
// created, or that emptied and is not dropped yet. All ones is a retired word: its room
// was dropped, or frozen by the engine's Close. It never changes again.
//
// With this order of the bits one comparison tells almost all that a step must know:
// that nothing but a count changes. The step is then a compare-and-swap. A bare add
// would be slightly cheaper, but one that must be undone (a Leave without a
// connection, a full count, a dropped room) would show a wrong count in between.
type counter struct{ word atomic.Uint64 }

const (
	held       uint64 = 1
	member     uint64 = 1 << 1
	connection uint64 = 1 << 32
	idle       uint64 = 1 << 63

	maxCount    = 1<<31 - 1
	members     = maxCount * member
	connections = maxCount * connection
	counts      = members | connections

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
	case w&counts != 0:
		return occupied
	case w&held != 0:
		return heldOnly
	}
	return absent
}

// The four plain steps. Each takes place if there is nothing to do but count: the room
// is occupied before and after, the publisher has it, and the count is not near its
// limits. Otherwise they change nothing and return false, and the caller takes the
// general path, publisher.change.

func (c *counter) tryJoin() bool {
	w := c.word.Load()
	return w-2 < connections-connection && // some count; not idle, not retired, not full
		c.word.CompareAndSwap(w, w+connection)
}

func (c *counter) tryLeave() bool {
	n := c.word.Load() - connection
	return n-2 < connections-connection && c.word.CompareAndSwap(n+connection, n)
}

func (c *counter) tryEnter() bool {
	w := c.word.Load()
	return w-2 < idle-2 && w&members < members-member && c.word.CompareAndSwap(w, w+member)
}

func (c *counter) tryExit() bool {
	n := c.word.Load() - member
	return n-2 < idle-2 && n&members < members-member && c.word.CompareAndSwap(n+member, n)
}

// plus is w with one more, a connection or a member. A count stops at maxCount, and
// the two never stand there together: that could look like retired.
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

// A packed occupancy is the counts of a word, without flags.

func pack(o Occupancy) (uint64, error) {
	if o.Connections < 0 || o.PresenceMembers < 0 || o.Connections > maxCount || o.PresenceMembers > maxCount {
		return 0, ErrCount
	}
	return uint64(o.Connections)*connection | uint64(o.PresenceMembers)*member, nil
}

// unpack reads the counts of a word, whatever its flags.
func unpack(w uint64) Occupancy {
	return Occupancy{
		Connections:     int(w & connections / connection),
		PresenceMembers: int(w & members / member),
	}
}

// add is the sum of two packed occupancies, each count up to maxCount. It fits if
// nothing had to be cut.
func add(a, b uint64) (total uint64, fits bool) {
	conns := a/connection + b/connection
	mems := a&members/member + b&members/member
	return min(conns, maxCount)*connection | min(mems, maxCount)*member, conns <= maxCount && mems <= maxCount
}
