package occupancy

import "sync/atomic"

// Occupancy is the number of connections, of presence members and of users of a room, always
// read together as one consistent value.
type Occupancy struct {
	Connections     int `json:"connections"`
	PresenceMembers int `json:"presenceMembers"`
	// Users is the number of distinct client IDs among the presence members, if the engine
	// was created [WithUsers]. Otherwise it is 0.
	Users int `json:"users,omitempty"`
}

// counter is a room's three counts and its four flags in one word, so that every hook
// is one atomic step. Whether the room becomes occupied or empty, and whether a change must
// be published, follows from the old and the new word of the step:
//
//	 63   62         43 42       23 22     3    2      1      0
//	+----+-------------+-----------+-------+-------+------+------+
//	|idle| connections |  members  | users |tracked|queued| held |
//	+----+-------------+-----------+-------+-------+------+------+
//
// users is the number of users of this process, unless another node reports some of them, too: see
// userIndex. queued: the room is in the inbox, or in a queue of the publisher.
//
// idle: the room needs no visit. The hook that changes the room replaces idle by queued, and
// publishes the room or pushes it to the inbox.
//
// A room with neither flag is detached: it has no listeners, and hooks only count. The hook
// that empties the room sets queued. A room never has both flags.
//
// held: a subscription or another node's part keeps the room.
//
// tracked: the engine counts users, so that Enter and Exit need to know the client: see
// userTable. Either all rooms of an engine have this flag or none.
//
// A room is occupied if it has connections or members. A room exists if it is occupied or held. A
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
	tracked    uint64 = 1 << 2
	user       uint64 = 1 << 3
	member     uint64 = 1 << 23
	connection uint64 = 1 << 43
	idle       uint64 = 1 << 63

	maxLocal = 1<<20 - 1 // the maximum of each count of a word

	userMask       = maxLocal * user
	memberMask     = maxLocal * member
	connectionMask = maxLocal * connection
	countMask      = userMask | memberMask | connectionMask
	occupiedMask   = memberMask | connectionMask

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
	case w&occupiedMask != 0:
		return occupied
	case w&held != 0:
		return heldOnly
	}
	return absent
}

// The four plain steps. Each takes place if there is nothing to do but count: the room is
// occupied before and after, the idle flag is clear (so it is not retired either), no user is
// to be counted, and the count is not full. Otherwise, or if another hook has changed the word
// meanwhile, it changes nothing and returns false, and the caller takes the general path: see
// cell.step.

func (c *counter) tryJoin() bool {
	w := c.word.Load()
	return w&idle == 0 && w&occupiedMask != 0 && w&connectionMask < connectionMask &&
		c.word.CompareAndSwap(w, w+connection)
}

func (c *counter) tryLeave() bool {
	w := c.word.Load()
	return w&idle == 0 && w&connectionMask != 0 && (w-connection)&occupiedMask != 0 &&
		c.word.CompareAndSwap(w, w-connection)
}

func (c *counter) tryEnter() bool {
	w := c.word.Load()
	return w&(idle|tracked) == 0 && w&occupiedMask != 0 && w&memberMask < memberMask &&
		c.word.CompareAndSwap(w, w+member)
}

func (c *counter) tryExit() bool {
	w := c.word.Load()
	return w&(idle|tracked) == 0 && w&memberMask != 0 && (w-member)&occupiedMask != 0 &&
		c.word.CompareAndSwap(w, w-member)
}

// addUsers adds n users, which can be negative. It does not queue the room.
func (c *counter) addUsers(n int) {
	for {
		w := c.word.Load()
		sum := countsOf(w)
		sum.users = uint32(min(max(int(sum.users)+n, 0), maxLocal))
		if c.word.CompareAndSwap(w, withCounts(w, sum)) {
			return
		}
	}
}

// counts are the three counts of a room, or of a part of it.
type counts struct{ connections, members, users uint32 }

// maxCount is the maximum of each count.
const maxCount = 1<<31 - 1

// countsOf returns the counts of a word.
func countsOf(w uint64) counts {
	return counts{uint32(w / connection & maxLocal), uint32(w / member & maxLocal), uint32(w / user & maxLocal)}
}

// withCounts returns w with other counts.
func withCounts(w uint64, n counts) uint64 {
	return w&^countMask | uint64(n.connections)*connection | uint64(n.members)*member | uint64(n.users)*user
}

// plus returns w with more connections, members and users.
func plus(w uint64, n counts) (uint64, error) {
	sum, _ := countsOf(w).plus(n)
	if sum.connections > maxLocal || sum.members > maxLocal || sum.users > maxLocal {
		return w, ErrCount
	}
	return withCounts(w, sum), nil
}

// minus returns w with fewer connections, members and users, but not less than zero.
func minus(w uint64, n counts) uint64 {
	was := countsOf(w)
	return withCounts(w, was.minus(counts{
		min(n.connections, was.connections), min(n.members, was.members), min(n.users, was.users),
	}))
}

// plus returns the sum, and whether it fits: each count is capped at maxCount.
func (a counts) plus(b counts) (sum counts, fits bool) {
	sum = a.add(b)
	fits = !(sum.connections > maxCount || sum.members > maxCount || sum.users > maxCount)
	if !fits {
		sum = counts{min(sum.connections, maxCount), min(sum.members, maxCount), min(sum.users, maxCount)}
	}
	return sum, fits
}

// add is plus for counts of which the caller knows that they fit.
func (a counts) add(b counts) counts {
	return counts{a.connections + b.connections, a.members + b.members, a.users + b.users}
}

func (a counts) minus(b counts) counts {
	return counts{a.connections - b.connections, a.members - b.members, a.users - b.users}
}

// capped reports whether one of the counts is at the maximum. There are no more users than
// members.
func (a counts) capped() bool { return a.connections == maxCount || a.members == maxCount }

func (a counts) occupancy() Occupancy {
	return Occupancy{int(a.connections), int(a.members), int(a.users)}
}
