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
//	 63   62         32   31   30          0
//	+----+-------------+------+-------------+
//	|idle| connections | held |   members   |
//	+----+-------------+------+-------------+
//
// idle: the publisher has let go of the room, so that a hook which changes it must
// hand it over and clear the flag. While it is clear a hook has nothing to do but
// count. held: something other than these counts keeps the room: a subscription or
// another node's part.
//
// The room exists if anything but idle is set. A word without that belongs to a room
// that was just made, or that emptied and is not dropped yet. All ones is one that
// was dropped, or that the engine's Close froze: it never changes again.
//
// With this order a compare tells most of what a step must know: the step is a
// plain one if nothing but a count changes. Then it is a compare-and-swap. A bare
// add would be a little cheaper, but one that must be taken back (a Leave too many,
// a full count, a dropped room) would have shown a wrong count in between.
type counter struct{ word atomic.Uint64 }

const (
	member     uint64 = 1
	held       uint64 = 1 << 31
	connection uint64 = 1 << 32
	idle       uint64 = 1 << 63

	maxCount    = 1<<31 - 1
	members     = maxCount * member
	connections = maxCount * connection
	counts      = members | connections

	retired = ^uint64(0)
)

// absent reports whether w is of a room that does not exist.
func absent(w uint64) bool { return w&^idle == 0 }

// The four plain steps. Each takes place if all there is to do is to count: the room
// exists before and after, the publisher has it, and the count is far from its ends.
// Otherwise nothing changes, it reports false, and the general way is to be taken:
// publisher.change.

func (c *counter) tryJoin() bool {
	w := c.word.Load()
	return w-1 < connections-connection && // not 0; not idle, not retired, not full
		c.word.CompareAndSwap(w, w+connection)
}

func (c *counter) tryLeave() bool {
	n := c.word.Load() - connection
	return n-1 < connections-connection && c.word.CompareAndSwap(n+connection, n)
}

func (c *counter) tryEnter() bool {
	w := c.word.Load()
	return w-1 < idle-1 && w&members < members-1 && c.word.CompareAndSwap(w, w+member)
}

func (c *counter) tryExit() bool {
	n := c.word.Load() - member
	return n-1 < idle-1 && n&members < members-1 && c.word.CompareAndSwap(n+member, n)
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
	mems := a&members + b&members
	return min(conns, maxCount)*connection | min(mems, maxCount)*member, conns <= maxCount && mems <= maxCount
}
