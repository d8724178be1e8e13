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
	remote    *occupancy.Remote     // the counts that the engine has accepted
	refused   map[string]roomCounts // the counts that the engine has not accepted, by room; nil if there are no such counts
	stale     map[string]struct{}   // the known rooms that the current snapshot has not contained yet
	batch     *batch                // counts to set in the engine; all peers use the same batch
	rooms     int                   // the number of rooms that are not empty
	hash      uint64                // the sum of the hashes of the rooms
	overLimit bool                  // the peer has more rooms than WithMaxRooms allows; the rest is ignored

	// The progress of receiving the peer's changes.
	applied           uint64        // all changes up to this seq are applied
	published         uint64        // the peer has published changes up to this seq
	needsSnapshot     bool          // the received counts are wrong: only a snapshot is applied
	snapshotEnd       uint64        // the seq at which the current snapshot is complete, or 0 without a snapshot
	lastBeatNumber    uint64        // the number of the peer's last heartbeat
	ignoredBeatNumber uint64        // the number of the last heartbeat if it was ignored, and otherwise 0
	beatAt            time.Duration // when the last heartbeat arrived
	flags             uint64        // the flags of the last heartbeat

	// Times are durations since the start of the node.
	state      State
	leaseStart time.Duration // when the last heartbeat arrived, or renewLeases was called
	replaced   bool          // another incarnation with the same name is live
	syncSent   time.Duration // when the last sync request was sent to the peer
	lastServed time.Duration // when the last sync request of the peer was answered
	wantSync   bool          // request a sync, even if no change seems to be missing

	dropped bool
}

// behind reports whether the peer has published a change that was not received yet.
func (p *peer) behind() bool { return p.published > p.applied || p.needsSnapshot || p.snapshotEnd != 0 }

// isDuplicate reports whether the digest is not needed, because all its changes are
// applied. The first digest of a newer snapshot is always needed: the peer has removed
// tombstones, so only a complete snapshot shows which rooms are empty.
func (p *peer) isDuplicate(s span) bool {
	return s.seq <= p.applied && (!s.reset || s.snapshotEnd <= max(p.applied, p.snapshotEnd))
}

// set stores the peer's counts of a room. The engine receives these counts when applyBatch
// is called.
func (p *peer) set(room []byte, counts roomCounts) {
	hash := hashName(room)
	if p.batch.full() || p.batch.mayHave(hash) {
		p.applyBatch()
	}
	// This unsafe conversion is correct because Remote.Get does not keep its argument. If
	// the room is known, part.Room is the engine's own copy of the name.
	part := p.remote.Get(unsafe.String(unsafe.SliceData(room), len(room)))
	before, isRefused := p.refused[string(room)]
	if !isRefused {
		before = toRoomCounts(part.Occupancy)
	}
	if before == 0 && counts == 0 {
		return
	}
	_, isStale := p.stale[string(room)]
	if before == 0 || isStale && counts != 0 {
		// The limit does not include stale rooms, because the end of the snapshot removes rooms
		// that are still stale. Including the stale rooms, there are at most 2 × limit rooms.
		if limit := p.config.maxRooms; p.rooms-len(p.stale) >= limit || before == 0 && p.rooms/2 >= limit {
			p.overLimit = true
			return
		}
	}
	name := part.Room
	if part.Occupancy == (occupancy.Occupancy{}) {
		name = string(room)
	}
	p.hash += hashCounts(hash, counts) - hashCounts(hash, before)
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

// applyBatch sets the counts of the batch in the engine. If the engine refuses the counts
// of a room, it keeps the previous counts of this room.
func (p *peer) applyBatch() {
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
				p.refuse(r.Part.Room, toRoomCounts(r.Part.Occupancy))
			}
		}
	}
	if len(p.refused) == 0 {
		p.refused = nil
	}
	p.batch.clear()
}

// refuse stores counts that are not set in the engine.
func (p *peer) refuse(room string, counts roomCounts) {
	if p.refused == nil {
		p.refused = map[string]roomCounts{}
	}
	p.refused[room] = counts
}

// valid reports whether the counts do not exceed the limit of WithMaxCount.
func (p *peer) valid(counts roomCounts) bool {
	limit := uint64(p.config.maxCount)
	return counts.connections() <= limit && counts.members() <= limit
}

// retryRefused sets the refused counts again, as the engine may accept them now.
func (p *peer) retryRefused() {
	for _, room := range slices.Collect(maps.Keys(p.refused)) {
		if counts := p.refused[room]; p.valid(counts) {
			if p.batch.full() {
				p.applyBatch()
			}
			p.batch.add(room, hashName(room), counts)
		}
	}
	p.applyBatch()
}

// beginSnapshot starts to receive a snapshot, which is complete at the seq end. A known
// room is stale until the snapshot contains it.
func (p *peer) beginSnapshot(end uint64) {
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
	p.snapshotEnd, p.needsSnapshot, p.overLimit = end, false, false
}

// endSnapshot ends a snapshot and removes the rooms that are still stale.
func (p *peer) endSnapshot() {
	p.snapshotEnd = 0
	for room := range p.stale {
		p.set([]byte(room), 0)
	}
	p.applyBatch()
	p.stale = nil
}

// part returns the peer's last counts of the room, or 0 if they exceed the limit of
// WithMaxCount.
func (p *peer) part(room string) roomCounts {
	if counts, ok := p.refused[room]; ok {
		if !p.valid(counts) {
			return 0
		}
		return counts
	}
	return toRoomCounts(p.remote.Get(room).Occupancy)
}

// batchLen is the maximum number of parts in one call of Remote.Set. The engine holds its
// lock during the call.
const batchLen = 512

// batch collects parts for one call of Remote.Set, each room once.
type batch struct {
	parts []occupancy.Part
	seen  [1 << 10]uint64 // a bit set, indexed by the low 16 bits of the name's hash
}

func (b *batch) full() bool { return len(b.parts) == batchLen }

// mayHave reports whether the batch may contain the room whose name has this hash.
func (b *batch) mayHave(hash uint64) bool {
	return b.seen[hash>>6%uint64(len(b.seen))]&(1<<(hash%64)) != 0
}

func (b *batch) add(room string, hash uint64, counts roomCounts) {
	b.parts = append(b.parts, occupancy.Part{Room: room, Occupancy: counts.occupancy()})
	b.seen[hash>>6%uint64(len(b.seen))] |= 1 << (hash % 64)
}

func (b *batch) clear() {
	clear(b.parts)
	b.parts = b.parts[:0]
	clear(b.seen[:])
}
