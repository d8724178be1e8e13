package cluster

import (
	"errors"
	"maps"
	"slices"
	"time"
	"unsafe"

	"github.com/occupancy/occupancy"
)

// peer is what this node knows of another one. Node.mu protects it.
type peer struct {
	id     incarnation
	name   string
	config *config

	// The peer's counts of its rooms: what it claims, whether or not the engine has it.
	remote  *occupancy.Remote   // the counts that the engine has accepted
	refused map[string]packed   // the counts that it has not; nil if there are none
	stale   map[string]struct{} // rooms that the snapshot being received has not mentioned yet
	batch   *batch              // counts to set in the engine; all peers of a node share it
	rooms   int                 // the number of rooms that are not empty
	hash    uint64              // the sum of the hashes of the rooms
	over    bool                // the peer has more rooms than WithMaxRooms; the rest is ignored

	// What it published and how much of that is here.
	last     uint64 // all to this seq is
	head     uint64 // there is more to here
	reset    bool   // what is here is wrong: nothing but a snapshot counts
	snapshot uint64 // one comes, and is complete at this seq; 0: none
	beat     uint64 // the number of its last heartbeat
	late     uint64 // the number of one that was late; 0: the last was not
	beatAt   time.Duration
	flags    uint64 // in it

	// Its life; times are since the node's start.
	state    State
	heard    time.Duration // its last heartbeat, or the end of our own doubt
	replaced bool          // another incarnation lives under its name
	asked    time.Duration // the last sync that we asked it for
	served   time.Duration // the last that it got
	sync     bool          // one is wanted, whatever seq says

	gone bool // dropped
}

// behind reports whether something that it published is not here.
func (p *peer) behind() bool { return p.head > p.last || p.reset || p.snapshot != 0 }

// has reports whether what the digest says is here. A snapshot that is newer than all here
// is not, though it begins with what changed least: the peer no longer knows what changed
// since, and only who has all of the snapshot knows what is gone.
func (p *peer) has(s span) bool {
	return s.seq <= p.last && (!s.reset || s.snapshot <= max(p.last, p.snapshot))
}

// set records that the peer claims these counts of a room. The engine has them after
// the next flush.
func (p *peer) set(room []byte, now packed) {
	if p.batch.full() || p.batch.has(room) {
		p.flush()
	}
	// Remote.Get does not keep the name, and a known room's name is the engine's own copy.
	part := p.remote.Get(unsafe.String(unsafe.SliceData(room), len(room)))
	before, wasRefused := p.refused[string(room)]
	if !wasRefused {
		before = pack(part.Occupancy)
	}
	if before == 0 && now == 0 {
		return
	}
	_, isStale := p.stale[string(room)]
	if before == 0 || isStale && now != 0 {
		// Stale rooms do not count against the limit, as the snapshot may be about to
		// remove them. Twice the limit bounds the memory.
		if most := p.config.maxRooms; p.rooms-len(p.stale) >= most || before == 0 && p.rooms/2 >= most {
			p.over = true
			return
		}
	}
	name := part.Room
	if part.Occupancy == (occupancy.Occupancy{}) {
		name = string(room)
	}
	p.replace(name, before, now)
	switch {
	case now == before && !wasRefused:
	case p.valid(now):
		p.batch.add(name, now)
	default:
		p.refuse(name, now)
	}
}

// replace updates what is known of all rooms together.
func (p *peer) replace(room string, before, now packed) {
	p.hash += hashChange(room, before, now)
	p.rooms += count(now != 0) - count(before != 0)
	delete(p.stale, room)
}

// flush sets the batch in the engine. The engine keeps the previous counts of the parts
// that it refuses.
func (p *peer) flush() {
	if len(p.batch.parts) == 0 {
		return
	}
	err := p.remote.Set(p.batch.parts...)
	if len(p.refused) > 0 {
		for _, part := range p.batch.parts {
			delete(p.refused, part.Room)
		}
	}
	if err != nil {
		var refused *occupancy.SetError
		if errors.As(err, &refused) {
			for _, r := range refused.Refused {
				p.refuse(r.Part.Room, pack(r.Part.Occupancy))
			}
		}
	}
	if len(p.refused) == 0 {
		p.refused = nil
	}
	p.batch.clear()
}

func (p *peer) refuse(room string, now packed) {
	if p.refused == nil {
		p.refused = map[string]packed{}
	}
	p.refused[room] = now
}

// valid reports whether the counts are within WithMaxCount.
func (p *peer) valid(now packed) bool {
	most := uint64(p.config.maxCount)
	return now.connections() <= most && now.members() <= most
}

// retry sets the refused parts again: the engine may have room for them now.
func (p *peer) retry() {
	for _, room := range slices.Collect(maps.Keys(p.refused)) {
		if now := p.refused[room]; p.valid(now) {
			if p.batch.full() {
				p.flush()
			}
			p.batch.add(room, now)
		}
	}
	p.flush()
}

// begin starts to receive a snapshot: every known room is stale until it is mentioned.
func (p *peer) begin(snapshot uint64) {
	p.stale = nil
	if p.rooms > 0 {
		p.stale = make(map[string]struct{}, p.rooms)
		for part := range p.remote.All() {
			p.stale[part.Room] = struct{}{}
		}
		for room := range p.refused {
			p.stale[room] = struct{}{}
		}
	}
	p.snapshot, p.reset, p.over = snapshot, false, false
}

// complete ends a snapshot: it removes the rooms that are still stale.
func (p *peer) complete() {
	p.snapshot = 0
	for room := range p.stale {
		p.set([]byte(room), 0)
	}
	p.flush()
	p.stale = nil
}

// part returns the peer's last counts of the room, or 0 if they exceed WithMaxCount.
func (p *peer) part(room string) packed {
	if now, ok := p.refused[room]; ok {
		if !p.valid(now) {
			return 0
		}
		return now
	}
	return pack(p.remote.Get(room).Occupancy)
}

// batchLen is the number of parts that are set in the engine at once. The engine holds
// its lock meanwhile.
const batchLen = 512

// batch collects parts for one call of Remote.Set, each room once.
type batch struct {
	parts []occupancy.Part
	rooms map[string]struct{}
}

func newBatch() *batch { return &batch{rooms: map[string]struct{}{}} }

func (b *batch) full() bool { return len(b.parts) == batchLen }

func (b *batch) has(room []byte) bool {
	_, ok := b.rooms[string(room)]
	return ok
}

func (b *batch) add(room string, now packed) {
	b.parts = append(b.parts, occupancy.Part{Room: room, Occupancy: now.unpack()})
	b.rooms[room] = struct{}{}
}

func (b *batch) clear() {
	clear(b.parts)
	b.parts = b.parts[:0]
	clear(b.rooms)
}
