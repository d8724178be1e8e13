package core

import (
	"errors"
	"iter"
	"slices"
	"unsafe"

	"github.com/occupancy/occupancy"
)

// table is a peer's counts of its rooms, whether or not the engine has accepted them.
type table struct {
	cfg       *Config
	batch     *batch                    // counts to set in accepted; all tables use the same batch
	accepted  Table                     // the counts that the engine has accepted
	refused   map[string]occupancy.Part // the counts that the engine has not accepted, by room; nil if there are no such counts
	estimated map[string]struct{}       // the rooms of which the peer does not publish all users
	stale     map[string]struct{}       // the known rooms that the current snapshot has not contained yet
	rooms     int                       // the number of rooms that are not empty
	hash      uint64                    // the sum of the hashes of the rooms
	overLimit bool                      // the peer has more rooms than MaxRooms allows; the rest is ignored
}

// keptCounts are the counts of a Missing peer. They are not part of the totals. The methods
// implement Table.
type keptCounts struct {
	counts map[string]roomCounts     // of rooms without users
	parts  map[string]occupancy.Part // of rooms with users
}

func newKeptCounts() keptCounts {
	return keptCounts{map[string]roomCounts{}, map[string]occupancy.Part{}}
}

func (k keptCounts) Get(room string) occupancy.Part {
	if part, ok := k.parts[room]; ok {
		return part
	}
	return occupancy.Part{Room: room, Occupancy: k.counts[room].occupancy()}
}

func (k keptCounts) Set(parts ...occupancy.Part) error {
	for _, part := range parts {
		counts := toRoomCounts(part.Occupancy)
		delete(k.counts, part.Room)
		delete(k.parts, part.Room)
		switch {
		case len(part.Users) > 0:
			k.parts[part.Room] = part
		case counts != 0:
			k.counts[part.Room] = counts
		}
	}
	return nil
}

func (k keptCounts) All() iter.Seq[occupancy.Part] {
	return func(yield func(occupancy.Part) bool) {
		for room := range k.counts {
			if !yield(k.Get(room)) {
				return
			}
		}
		for _, part := range k.parts {
			if !yield(part) {
				return
			}
		}
	}
}

func (k keptCounts) Close() error { return nil }

// moveTo moves the accepted counts to another table and returns the previous table. Some
// counts can be refused by the other table.
func (t *table) moveTo(other Table) (previous Table) {
	previous, t.accepted = t.accepted, other
	for part := range previous.All() {
		t.cfg.Yield()
		if t.batch.full() {
			t.applyBatch()
		}
		t.batch.add(part, hashName(part.Room))
	}
	t.applyBatch()
	return previous
}

// set stores the peer's counts and users of a room. The engine receives them when applyBatch
// is called.
func (t *table) set(room []byte, counts roomCounts, u userUpdate) {
	for range 1 + len(u.added)/256 { // 256 bytes are 32 users, which are as much work as a room
		t.cfg.Yield()
	}
	if counts >= interestOnly {
		if counts = interestOnly; t.cfg.Role != Aggregator {
			counts = 0 // only clients publish this
		}
	}
	hash := hashName(room)
	if t.batch.full() || t.batch.mayHave(hash) {
		t.applyBatch()
	}
	// This unsafe conversion is correct because Table.Get does not keep its argument. If
	// the room is known, part.Room is the engine's own copy of the name.
	part := t.accepted.Get(unsafe.String(unsafe.SliceData(room), len(room)))
	last, isRefused := t.refused[string(room)]
	if !isRefused {
		last = part
	}
	before := toRoomCounts(last.Occupancy)
	if before == 0 && counts == 0 {
		return
	}
	_, isStale := t.stale[string(room)]
	if before == 0 || isStale && counts != 0 {
		// The limit does not include stale rooms, because the end of the snapshot removes rooms
		// that are still stale. Including the stale rooms, there are at most 2 × limit rooms.
		if limit := t.cfg.MaxRooms; t.rooms-len(t.stale) >= limit || before == 0 && t.rooms/2 >= limit {
			t.overLimit = true
			return
		}
	}
	name := part.Room
	if part.Occupancy == (occupancy.Occupancy{}) {
		name = string(room)
	}
	users := u.apply(last.Users, t.cfg.MaxUsers)
	if counts.members() == 0 {
		users = nil
	}
	unchanged := counts == before && slices.Equal(users, last.Users) && u.count == 0 && !t.isEstimated(name)
	t.setEstimated(name, u.count > uint64(len(users)) && len(users) > 0)
	t.hash += hashCounts(hash, counts, users) - hashCounts(hash, before, last.Users)
	t.rooms += toInt(counts != 0) - toInt(before != 0)
	delete(t.stale, name)
	now := occupancy.Part{Room: name, Occupancy: counts.occupancy(), Users: users}
	now.Occupancy.Users = int(min(max(u.count, uint64(len(users))), counts.members()))
	switch {
	case unchanged && !isRefused:
	case t.valid(counts):
		t.batch.add(now, hash)
	default:
		t.refuse(now)
	}
}

// applyBatch sets the counts of the batch in the engine. If the engine refuses the counts
// of a room, it keeps the previous counts of this room.
func (t *table) applyBatch() {
	if len(t.batch.parts) == 0 {
		return
	}
	err := t.accepted.Set(t.batch.parts...)
	if len(t.refused) > 0 {
		for _, part := range t.batch.parts {
			delete(t.refused, part.Room)
		}
	}
	if err != nil {
		var refused *occupancy.SetError
		if errors.As(err, &refused) {
			for _, r := range refused.Refused {
				t.refuse(r.Part)
			}
		}
	}
	if len(t.refused) == 0 {
		t.refused = nil
	}
	t.batch.clear()
}

// refuse stores counts that are not set in the engine.
func (t *table) refuse(part occupancy.Part) {
	if t.refused == nil {
		t.refused = map[string]occupancy.Part{}
	}
	t.refused[part.Room] = part
}

func (t *table) isEstimated(room string) bool {
	_, ok := t.estimated[room]
	return ok
}

func (t *table) setEstimated(room string, estimated bool) {
	if !estimated {
		delete(t.estimated, room)
		return
	}
	if t.estimated == nil {
		t.estimated = map[string]struct{}{}
	}
	t.estimated[room] = struct{}{}
}

// valid reports whether the counts do not exceed MaxCount.
func (t *table) valid(counts roomCounts) bool {
	limit := uint64(t.cfg.MaxCount)
	return counts.connections() <= limit && counts.members() <= limit
}

// retryRefused sets some of the refused counts again, as the engine may accept them now. If
// the engine accepts any of them, retryRefused continues.
func (t *table) retryRefused() {
	for again := true; again; {
		before, n := len(t.refused), 0
		for room, part := range t.refused { // begins at a random room
			if n++; n > batchLen {
				break
			}
			t.cfg.Yield()
			if t.valid(toRoomCounts(part.Occupancy)) {
				t.batch.add(part, hashName(room))
			}
		}
		t.applyBatch()
		again = len(t.refused) < before
	}
}

// beginSnapshot starts to receive a snapshot. A known room is stale until the snapshot
// contains it.
func (t *table) beginSnapshot() {
	t.stale = nil
	if t.rooms > 0 {
		t.stale = map[string]struct{}{} // without a size: allocating a large map at once takes long
		for part := range t.accepted.All() {
			t.cfg.Yield()
			t.stale[part.Room] = struct{}{}
		}
		for room := range t.refused {
			t.cfg.Yield()
			t.stale[room] = struct{}{}
		}
	}
	t.overLimit = false
}

// endSnapshot ends a snapshot and removes the rooms that are still stale.
func (t *table) endSnapshot() {
	for room := range t.stale {
		t.set([]byte(room), 0, userUpdate{})
	}
	t.applyBatch()
	t.stale = nil
}

// last returns the peer's last counts of the room, or 0 if they exceed MaxCount.
func (t *table) last(room string) roomCounts {
	if part, ok := t.refused[room]; ok {
		counts := toRoomCounts(part.Occupancy)
		if !t.valid(counts) {
			return 0
		}
		return counts
	}
	return toRoomCounts(t.accepted.Get(room).Occupancy)
}

// batchLen is the maximum number of parts in one call of Table.Set, and the number of rooms
// between two calls of Yield. The engine holds its lock during Set. With 512 rooms in place
// of 64, it can split several shards of its table during one call, which takes up to 20 ms.
const batchLen = 64

// batch collects parts for one call of Table.Set, each room once.
type batch struct {
	parts []occupancy.Part
	users int             // the number of users in parts
	seen  [1 << 10]uint64 // a bit set, indexed by the low 16 bits of the name's hash
}

func (b *batch) full() bool { return len(b.parts) == batchLen || b.users >= 16*batchLen }

// mayHave reports whether the batch may contain the room whose name has this hash.
func (b *batch) mayHave(hash uint64) bool {
	return b.seen[hash>>6%uint64(len(b.seen))]&(1<<(hash%64)) != 0
}

func (b *batch) add(part occupancy.Part, hash uint64) {
	b.parts = append(b.parts, part)
	b.users += len(part.Users)
	b.seen[hash>>6%uint64(len(b.seen))] |= 1 << (hash % 64)
}

func (b *batch) clear() {
	clear(b.parts)
	b.parts, b.users = b.parts[:0], 0
	clear(b.seen[:])
}
