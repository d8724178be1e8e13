package cluster

import "hash/maphash"

// table is what a peer said of each room. The engine's Remote has that too, but cannot
// be read; so this is as small as it gets, a million rooms being common: entries
// without gaps, and a hash table of their indices with linear probing. For a room it
// takes 24 bytes for the entry, at most a quarter more for what the slice has in
// reserve, and 5 to 11 for the index. A Go map of the same takes up to 57.
type table struct {
	seed    maphash.Seed
	slots   []uint32 // 1 + the index in entries, or 0; a power of two, never full
	entries []part
}

// part is a room and what the peer said of it, with two flags.
type part struct {
	room string
	word packed
}

const (
	stale   packed = 1 << 63 // not mentioned yet since the snapshot began
	refused packed = 1 << 31 // not in the engine, or not as it should be
	flags          = stale | refused
)

func newTable() table { return table{seed: maphash.MakeSeed()} }

// find is the index of the room, or -1. It does not allocate.
func (t *table) find(room []byte) int {
	if len(t.slots) == 0 {
		return -1
	}
	for slot := t.home(maphash.Bytes(t.seed, room)); t.slots[slot] != 0; slot = t.after(slot) {
		if i := int(t.slots[slot] - 1); t.entries[i].room == string(room) {
			return i
		}
	}
	return -1
}

// insert adds a room that is not there and returns its index.
func (t *table) insert(room string) int {
	if 4*(len(t.entries)+1) > 3*len(t.slots) {
		t.resize(max(8, 2*len(t.slots)))
	}
	if len(t.entries) == cap(t.entries) {
		t.reserve(len(t.entries) + max(8, len(t.entries)/4))
	}
	t.entries = append(t.entries, part{room: room})
	t.place(len(t.entries) - 1)
	return len(t.entries) - 1
}

// remove removes entry i. The last one takes its index.
func (t *table) remove(i int) {
	hole := t.slotOf(i)
	last := len(t.entries) - 1
	if i != last {
		t.slots[t.slotOf(last)] = uint32(i + 1)
		t.entries[i] = t.entries[last]
	}
	t.entries[last] = part{}
	t.entries = t.entries[:last]

	// What was put behind the hole because it was taken moves up.
	for slot := t.after(hole); t.slots[slot] != 0; slot = t.after(slot) {
		home := t.home(maphash.String(t.seed, t.entries[t.slots[slot]-1].room))
		if (slot-home)&(len(t.slots)-1) >= (slot-hole)&(len(t.slots)-1) {
			t.slots[hole] = t.slots[slot]
			hole = slot
		}
	}
	t.slots[hole] = 0

	if len(t.slots) > 64 && 8*len(t.entries) < len(t.slots) {
		t.resize(len(t.slots) / 4)
		t.reserve(len(t.entries) + len(t.entries)/4)
	}
}

func (t *table) home(hash uint64) int { return int(hash & uint64(len(t.slots)-1)) }
func (t *table) after(slot int) int   { return (slot + 1) & (len(t.slots) - 1) }
func (t *table) reserve(n int)        { t.entries = append(make([]part, 0, n), t.entries...) }
func (t *table) slotOf(i int) (slot int) {
	slot = t.home(maphash.String(t.seed, t.entries[i].room))
	for t.slots[slot] != uint32(i+1) {
		slot = t.after(slot)
	}
	return slot
}

func (t *table) place(i int) {
	slot := t.home(maphash.String(t.seed, t.entries[i].room))
	for t.slots[slot] != 0 {
		slot = t.after(slot)
	}
	t.slots[slot] = uint32(i + 1)
}

func (t *table) resize(slots int) {
	t.slots = make([]uint32, slots)
	for i := range t.entries {
		t.place(i)
	}
}
