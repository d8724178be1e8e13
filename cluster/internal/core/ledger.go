package core

import "iter"

// ledger stores the counts and users that a feed has published. Each change of a room has the next
// seq, and a flush contains one or more changes. The ledger returns all changes since a given
// seq, with each room once, even if it changed several times.
//
// When a room becomes empty, it stays in the ledger as a tombstone, so that peers that
// missed the change can request it. If there are more tombstones than other rooms, the
// oldest tombstones are removed. A peer that needs a removed tombstone receives a snapshot.
type ledger struct {
	rooms       map[string]*record
	changes     changeLog
	users       map[string]userList // by room
	maxUsers    int                 // this number of users of a room is published
	seq         uint64              // the seq of the last change
	removedUpTo uint64              // the highest seq of a removed tombstone
	tombstones  int                 // the number of empty records
	peak        int                 // the largest len(rooms) since the map was created
	hash        uint64              // the sum of the hashes of all rooms
	slack       int                 // the number of tombstones, and of outdated changes, that are always kept
	pinned      bool                // a reply is encoded: do not compact
	yield       func()              // called for each room of a large update
}

// record is the last published state of a room.
type record struct {
	room   string
	counts roomCounts
	seq    uint64
}

// change is a change of a room. It is outdated if the room has changed again.
type change struct {
	*record
	at uint64 // the seq of the change
}

func (c change) outdated() bool { return c.at != c.seq }

func newLedger(slack, maxUsers int, yield func()) *ledger {
	return &ledger{rooms: map[string]*record{}, users: map[string]userList{}, slack: slack, maxUsers: maxUsers, yield: yield}
}

// get returns the last counts of a room, and the published users.
func (l *ledger) get(room string) (counts roomCounts, users userList) {
	if r := l.rooms[room]; r != nil {
		counts = r.counts
	}
	return counts, publish(counts, l.users[room], l.maxUsers)
}

// put records a change, which the next flush publishes. The list of all users is kept.
func (l *ledger) put(room string, p roomCounts, users userList) {
	_, before := l.get(room)
	l.setUsers(room, users)
	now := publish(p, users, l.maxUsers)
	r := l.rooms[room]
	if r == nil {
		r = &record{room: room}
		l.rooms[room] = r
		l.tombstones++ // the new record is empty until it is set below
	}
	nameHash := hashName(room)
	l.hash += hashCounts(nameHash, p, now.hashes) - hashCounts(nameHash, r.counts, before.hashes)
	l.tombstones += toInt(p == 0) - toInt(r.counts == 0)
	l.seq++
	r.counts, r.seq = p, l.seq
	l.changes.append(change{r, r.seq})
}

func (l *ledger) setUsers(room string, users userList) {
	if len(users.hashes) > 0 {
		l.users[room] = users
	} else {
		delete(l.users, room)
	}
}

// toInt returns 1 if b is true, and otherwise 0.
func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// endFlush ends a flush. A flush contains the rooms of all calls of put since the previous
// endFlush.
func (l *ledger) endFlush() {
	l.peak = max(l.peak, len(l.rooms))
	live := l.live()
	if !l.pinned && (l.tombstones > live+l.slack || l.changes.n > 2*len(l.rooms)+l.slack) {
		l.compact(live)
	}
}

// compact removes the outdated changes and, if there are too many tombstones, about half
// of the tombstones.
func (l *ledger) compact(live int) {
	remove := 0
	if l.tombstones > live+l.slack {
		remove = l.tombstones - (live+l.slack)/2
	}
	l.changes.deleteFunc(func(c change) bool {
		l.yield()
		if c.outdated() {
			return true
		}
		if c.counts != 0 || remove == 0 {
			return false
		}
		remove--
		l.tombstones--
		l.removedUpTo = c.seq
		delete(l.rooms, c.room)
		return true
	})
	if l.peak > 8*max(len(l.rooms), l.slack) {
		// A map keeps the memory of deleted entries, but a copy does not.
		rooms := make(map[string]*record, len(l.rooms))
		for room, r := range l.rooms {
			l.yield()
			rooms[room] = r
		}
		l.rooms, l.peak = rooms, len(rooms)
	}
}

// occupied returns the rooms that are not empty.
func (l *ledger) occupied() iter.Seq2[string, roomCounts] {
	return func(yield func(string, roomCounts) bool) {
		for i := range l.changes.n {
			if c := l.changes.at(i); !c.outdated() && c.counts != 0 && !yield(c.room, c.counts) {
				return
			}
		}
	}
}

// live returns the number of rooms that are not empty.
func (l *ledger) live() int { return len(l.rooms) - l.tombstones }

// cursor is the progress of the reply to a sync request.
type cursor struct {
	base     uint64 // the seq of the last encoded digest
	snapshot bool
	started  bool   // a digest has been encoded
	end      uint64 // the seq of the ledger when the reply began
}

// begin returns the cursor of a reply with all changes after seq s. If s is 0, or if the
// ledger has removed changes after s, the reply is a snapshot.
func (l *ledger) begin(s uint64) cursor {
	if s == 0 || s < l.removedUpTo || s > l.seq {
		return cursor{snapshot: true, end: l.seq}
	}
	return cursor{base: s, end: l.seq}
}

// next encodes the next digest of a reply, and reports whether it was the last one. New
// flushes are allowed between two calls, but no compaction.
//
// The digest contains the current counts and users of each room, which always fit in one
// digest. It can end before a later change of the same room. Then the counts and users of the
// receiver are those of different times, until it has applied all changes up to the current
// seq.
func (l *ledger) next(c *cursor, w *digestWriter) (payload []byte, done bool) {
	sp := span{base: c.base, seq: l.seq, until: l.seq}
	sp.reset = c.snapshot && !c.started
	if sp.reset || c.snapshot && c.base < c.end {
		sp.snapshotEnd = c.end
	}
	for i := l.changes.after(c.base); i < l.changes.n; i++ {
		l.yield()
		ch := *l.changes.at(i)
		if !l.needed(ch, c) {
			continue
		}
		counts, users := l.get(ch.room)
		if !w.add(ch.room, counts, users.count, users.hashes, nil) {
			sp.seq = l.changes.at(i - 1).at
			break
		}
	}
	c.base, c.started = sp.seq, true
	return w.finish(sp), sp.seq == l.seq
}

// needed reports whether a reply contains the room of a change in the digest of this
// change.
func (l *ledger) needed(ch change, c *cursor) bool {
	if !c.snapshot || ch.at > c.end {
		return !ch.outdated()
	}
	// The receiver removes all rooms that are missing in the digests up to end. Therefore a
	// room that has changed after end is also part of an earlier digest.
	return ch.counts != 0 && (!ch.outdated() || ch.seq > c.end)
}
