package cluster

import (
	"errors"
	"maps"
	"slices"
	"time"
	"unsafe"

	"github.com/occupancy/occupancy"
)

// peer is the state of another node. Node.mu protects it.
type peer struct {
	id     incarnation
	name   string
	config *config

	// The peer's counts of its rooms, whether or not the engine has accepted them.
	remote    *occupancy.Remote   // the counts that the engine has accepted
	refused   map[string]packed   // the counts that it has not accepted, by room; nil if there are none
	stale     map[string]struct{} // rooms that the snapshot being received has not mentioned yet
	batch     *batch              // counts to set in the engine; all peers share it
	rooms     int                 // the number of rooms that are not empty
	hash      uint64              // the sum of the hashes of the rooms
	overLimit bool                // it has more rooms than WithMaxRooms; the rest is ignored

	// How much of what the peer has published was received.
	applied   uint64 // all changes up to this seq are applied
	published uint64 // the peer has published changes up to this seq
	reset     bool   // the received counts are wrong: only a snapshot is applied
	snapshot  uint64 // the seq at which the snapshot being received is complete; 0: none
	lastBeat  uint64 // the number of its last heartbeat
	lateBeat  uint64 // the number of the last heartbeat if it was ignored as delayed, or 0
	beatAt    time.Duration
	flags     uint64 // of its last heartbeat

	// Times are since the start of the node.
	state      State
	leaseStart time.Duration // the last heartbeat, or a later call of renewLeases
	replaced   bool          // another incarnation with the same name is live
	syncSent   time.Duration // when the last sync request was sent to it
	lastServed time.Duration // when its last sync request was served
	wantSync   bool          // request a sync, whatever the seq is

	dropped bool
}

// behind reports whether a change that the peer has published was not received yet.
func (p *peer) behind() bool { return p.published > p.applied || p.reset || p.snapshot != 0 }

// isDuplicate reports whether all changes of the digest are applied. The start of a newer
// snapshot is not a duplicate, even if its seq is: the peer has removed tombstones, and
// only a complete snapshot shows which rooms are empty.
func (p *peer) isDuplicate(s span) bool {
	return s.seq <= p.applied && (!s.reset || s.snapshot <= max(p.applied, p.snapshot))
}

// set stores the peer's counts of a room. The engine receives them with the next flush.
func (p *peer) set(room []byte, counts packed) {
	hash := hashName(room)
	if p.batch.full() || p.batch.mayHave(hash) {
		p.flush()
	}
	// Remote.Get does not keep the name, and a known room's name is the engine's own copy.
	part := p.remote.Get(unsafe.String(unsafe.SliceData(room), len(room)))
	before, isRefused := p.refused[string(room)]
	if !isRefused {
		before = pack(part.Occupancy)
	}
	if before == 0 && counts == 0 {
		return
	}
	_, isStale := p.stale[string(room)]
	if before == 0 || isStale && counts != 0 {
		// Stale rooms do not count against the limit, as the end of the snapshot may remove
		// them. But there are never more rooms than twice the limit, to bound the memory.
		if limit := p.config.maxRooms; p.rooms-len(p.stale) >= limit || before == 0 && p.rooms/2 >= limit {
			p.overLimit = true
			return
		}
	}
	name := part.Room
	if part.Occupancy == (occupancy.Occupancy{}) {
		name = string(room)
	}
	p.hash += hashNamed(hash, counts) - hashNamed(hash, before)
	p.rooms += toInt(counts != 0) - toInt(before != 0)
	delete(p.stale, name)
	switch {
	case counts == before && !isRefused:
	case p.valid(counts):
		p.batch.add(name, hash, counts)
	default:
		p.refuse(name, counts)
	}
}

// flush sets the counts of the batch in the engine. If the engine refuses them for a room,
// it keeps the previous counts of the room.
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

// refuse stores counts that are not set in the engine.
func (p *peer) refuse(room string, counts packed) {
	if p.refused == nil {
		p.refused = map[string]packed{}
	}
	p.refused[room] = counts
}

// valid reports whether the counts are within WithMaxCount.
func (p *peer) valid(counts packed) bool {
	limit := uint64(p.config.maxCount)
	return counts.connections() <= limit && counts.members() <= limit
}

// retry sets the refused counts again: the engine may accept them now.
func (p *peer) retry() {
	for _, room := range slices.Collect(maps.Keys(p.refused)) {
		if counts := p.refused[room]; p.valid(counts) {
			if p.batch.full() {
				p.flush()
			}
			p.batch.add(room, hashName(room), counts)
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
	p.snapshot, p.reset, p.overLimit = snapshot, false, false
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
	if counts, ok := p.refused[room]; ok {
		if !p.valid(counts) {
			return 0
		}
		return counts
	}
	return pack(p.remote.Get(room).Occupancy)
}

// batchLen is the maximum number of parts in one Remote.Set, during which the engine holds
// its lock.
const batchLen = 512

// batch collects parts for one call of Remote.Set, each room once.
type batch struct {
	parts []occupancy.Part
	seen  [1 << 10]uint64 // a bit for each value of 16 bits of the hash of a name
}

func (b *batch) full() bool { return len(b.parts) == batchLen }

// mayHave reports whether the batch may contain the room whose name has this hash.
func (b *batch) mayHave(hash uint64) bool {
	return b.seen[hash>>6%uint64(len(b.seen))]&(1<<(hash%64)) != 0
}

func (b *batch) add(room string, hash uint64, counts packed) {
	b.parts = append(b.parts, occupancy.Part{Room: room, Occupancy: counts.unpack()})
	b.seen[hash>>6%uint64(len(b.seen))] |= 1 << (hash % 64)
}

func (b *batch) clear() {
	clear(b.parts)
	b.parts = b.parts[:0]
	clear(b.seen[:])
}
