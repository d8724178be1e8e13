package core

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/occupancy/occupancy"
)

// hub is the part of a Machine with the role Aggregator. The methods do nothing if h is nil.
//
// If any client requests a shard, the hub collects the counts of all clients in the rooms of this
// shard. For each client, the hub has a feed with the sums of the other clients' counts. The feed
// contains the shards that the client wants, and of these the rooms in which it is interested. The
// hub adds a shard to a feed when it has received the counts of this shard from all clients.
type hub struct {
	m           *Machine
	rooms       map[string]*hubRoom
	changed     []*hubRoom                // since the last flush
	removed     []*hubPart                // since the last flush
	collect     shardSet                  // requested by a client
	requestedAt [shardCount]time.Duration // when a client last requested to collect a shard
	flushAt     time.Duration
	ranking     ranking
}

// hubRoom is the counts of one room.
type hubRoom struct {
	name                 string
	shard                int
	changed              bool // the room is in hub.changed
	connections, members uint64
	parts                []*hubPart
	users                map[uint64]int // the number of clients with a user, by hash; nil if there are no users
	partial              int            // the number of clients that have not published all hashes of their users
	sorted               []uint64       // the hashes of the users, or nil if they are not sorted yet
}

// hubPart is the counts of a client in a room.
type hubPart struct {
	occupancy.Part
	room  *hubRoom
	table *hubTable
	index int // in hubRoom.parts
}

func newHub(m *Machine) *hub {
	return &hub{m: m, rooms: map[string]*hubRoom{}, flushAt: Never}
}

// dueAt returns when the next flush is due.
func (h *hub) dueAt() time.Duration {
	if h == nil {
		return Never
	}
	return h.flushAt
}

// schedule schedules the next flush if there is anything to publish.
func (h *hub) schedule(now time.Duration) {
	if h == nil || h.flushAt != Never {
		return
	}
	waits := func(p *peer) bool { return p.want != p.feed.shards }
	if len(h.changed)+len(h.removed) > 0 || slices.ContainsFunc(h.m.members.peers, waits) {
		h.flushAt = h.m.cfg.NextFlush(now)
	}
}

// maxHubUsers limits the number of users of a room that a hub publishes to each client, because
// the feed of each client stores their hashes.
const maxHubUsers = 256

// unusedTime is the number of heartbeat intervals after which the hub stops collecting a shard
// that no client requests.
const unusedTime = 10

// heartbeat handles an accepted heartbeat of a client.
func (h *hub) heartbeat(p *peer, now time.Duration) {
	if h == nil {
		return
	}
	before := h.collect
	p.collect.all(func(shard int) { h.requestedAt[shard] = now })
	h.collect |= p.collect
	h.collect.all(func(shard int) {
		if now > h.requestedAt[shard]+unusedTime*h.m.cfg.Heartbeat {
			h.collect &^= 1 << shard
		}
	})
	if h.collect&^p.cover == 0 {
		p.coveredAt = now
	}
	if h.collect != before {
		// Inform all clients with an early heartbeat.
		h.m.nextBeat = min(h.m.nextBeat, max(now, h.m.lastBeat+h.m.cfg.Heartbeat/8))
	}
}

// returned removes the rooms of which a Missing client has reported the end of its interest from its
// feed. The other rooms have changed, because the counts of the client are counted again.
func (h *hub) returned(p *peer) {
	if h == nil || p.flags&flagEverything != 0 {
		return
	}
	var ended []string
	for room := range p.feed.occupied() {
		if p.parts()[room] == nil {
			ended = append(ended, room)
		}
	}
	for _, room := range ended {
		p.feed.set(room, 0, userList{})
	}
	p.feed.flush(false)
}

// incomplete reports whether the client has not published all collected shards for the length
// of a lease. Then the hub does not wait for it any longer.
func (h *hub) incomplete(p *peer, now time.Duration) bool {
	return h != nil && h.collect&^p.cover != 0 && now > p.coveredAt+h.m.cfg.Lease
}

// complete returns the shards whose counts have been received from all clients.
func (h *hub) complete(now time.Duration) shardSet {
	if !h.m.greeted {
		return 0
	}
	all := h.collect
	for _, p := range h.m.members.peers {
		if p.state != Missing && !h.incomplete(p, now) {
			all &= p.cover
		}
	}
	return all
}

// describe adds to a heartbeat what the hub collects and counts.
func (h *hub) describe(b *heartbeat, now time.Duration) {
	if h == nil {
		return
	}
	b.collect = h.collect
	for _, p := range h.m.members.peers {
		// A client that is late is not counted, so that the clients find an aggregator with more
		// nodes before this one removes the counts.
		b.nodes += uint64(toInt(h.m.greeted && h.m.members.running(p, now)))
		if p.state == Missing && len(b.missing) < maxMissing {
			b.missing = append(b.missing, []byte(p.name))
		}
	}
}

// publish publishes to the clients what has changed since the last flush.
func (h *hub) publish(now time.Duration) {
	changed, removed := h.changed, h.removed
	h.flushAt, h.changed, h.removed = Never, nil, nil
	removed = slices.DeleteFunc(removed, func(part *hubPart) bool {
		p := part.table.peer
		return p.state == Missing || !p.feed.shards.has(part.room.shard) // a Missing client may return
	})
	// The order can be that of a map. Sort, so that simulations can be repeated.
	slices.SortFunc(changed, func(a, b *hubRoom) int { return cmp.Compare(a.name, b.name) })
	slices.SortFunc(removed, func(a, b *hubPart) int { return cmp.Compare(a.room.name, b.room.name) })
	for _, part := range removed {
		p := part.table.peer
		h.offer(p, part.room, p.parts()[part.room.name]) // the client can be interested again
	}
	var observers []*peer
	for _, p := range h.m.members.peers {
		if p.flags&flagEverything != 0 {
			observers = append(observers, p)
		}
	}
	for _, r := range changed {
		r.changed = false
		for _, part := range r.parts {
			if p := part.table.peer; p.feed.shards.has(r.shard) {
				h.offer(p, r, part)
			}
		}
		for _, p := range observers {
			h.offer(p, r, p.parts()[r.name])
		}
		if len(r.parts) == 0 {
			delete(h.rooms, r.name)
		}
	}
	complete := h.complete(now)
	var informed []*peer // about their shards
	for _, p := range h.m.members.peers {
		if to := p.want & h.collect & (complete | p.feed.shards); to != p.feed.shards && p.state != Missing {
			h.setShards(p, to)
			informed = append(informed, p)
		}
		p.feed.flush(false)
	}
	if len(informed) > 0 {
		beat := h.m.newHeartbeat(now)
		for _, p := range informed {
			h.m.sendHeartbeatTo(p, beat)
		}
	}
}

// answer returns the counts and the number of users of a room for a query of a client: those of the
// other clients.
func (h *hub) answer(client Incarnation, room string) (counts roomCounts, users uint64) {
	r := h.rooms[room]
	if r == nil {
		return 0, 0
	}
	var part *hubPart
	if p := h.m.members.byID[client]; p != nil {
		part = p.parts()[room]
	}
	counts = r.countsWithout(part)
	return counts, min(r.usersWithout(part, 0).count, counts.members())
}

// setShards sets the shards that the feed of a client contains.
func (h *hub) setShards(p *peer, to shardSet) {
	differ := p.feed.shards ^ to
	p.feed.shards = to
	rooms := maps.Keys(h.rooms)
	if p.flags&flagEverything == 0 {
		rooms = maps.Keys(p.parts())
	}
	for _, name := range slices.Sorted(rooms) {
		if r := h.rooms[name]; differ.has(r.shard) {
			h.offer(p, r, p.parts()[name])
		}
	}
}

// offer sets the room in the feed of a client: to the sums of the other clients' counts, or to
// zero if the client is not interested in the room or the feed does not contain its shard. The
// part is that of the client, or nil.
func (h *hub) offer(p *peer, r *hubRoom, part *hubPart) {
	h.m.cfg.Yield()
	if !p.feed.shards.has(r.shard) || part == nil && p.flags&flagEverything == 0 {
		p.feed.set(r.name, 0, userList{})
		return
	}
	p.feed.set(r.name, r.countsWithout(part), r.usersWithout(part, p.feed.maxUsers))
}

// countsWithout returns the sum of all parts but one, which can be nil.
func (r *hubRoom) countsWithout(part *hubPart) roomCounts {
	connections, members := r.connections, r.members
	if part != nil {
		connections -= uint64(max(part.Occupancy.Connections, 0))
		members -= uint64(part.Occupancy.PresenceMembers)
	}
	return roomCounts(min(connections, largestCount)<<32 | min(members, largestCount))
}

// usersWithout returns the users of all parts but one, which can be nil: at most limit hashes. If
// clients have not published all hashes, it estimates the number of users from the smallest
// hashes: up to the smallest one that such a client published last, no hash is missing.
func (r *hubRoom) usersWithout(part *hubPart, limit int) (u userList) {
	if r.users == nil {
		return u
	}
	if r.sorted == nil {
		r.sorted = slices.Sorted(maps.Keys(r.users))
	}
	var own []uint64
	n := len(r.users)
	if part != nil {
		own = part.Users
		for _, hash := range own {
			n -= toInt(r.users[hash] == 1)
		}
	}
	known, partial := r.knownWithout(part)
	counted, last := 0, uint64(0)
	u.hashes = make([]uint64, 0, min(len(r.sorted), limit))
	for _, hash := range r.sorted {
		for len(own) > 0 && own[0] < hash {
			own = own[1:]
		}
		if len(own) > 0 && own[0] == hash && r.users[hash] == 1 {
			continue
		}
		if len(u.hashes) == limit && !partial || counted == MaxUsers || hash > known {
			break
		}
		counted, last = counted+1, hash
		if len(u.hashes) < limit {
			u.hashes = append(u.hashes, hash)
		}
	}
	if partial && counted > 1 {
		n = max(n, int(float64(counted-1)/(float64(last)/(1<<64))))
	}
	u.count = uint64(n)
	return u
}

// knownWithout returns the hash up to which all parts but one contain the hashes of all users, and
// whether hashes are missing above it.
func (r *hubRoom) knownWithout(part *hubPart) (known uint64, partial bool) {
	known = math.MaxUint64
	if r.partial == 0 {
		return known, false
	}
	for _, other := range r.parts {
		if other != part && other.partial() {
			known, partial = min(known, other.Users[len(other.Users)-1]), true
		}
	}
	return known, partial
}

// partial reports whether the client has not published all hashes of its users.
func (part *hubPart) partial() bool {
	return len(part.Users) > 0 && part.Occupancy.Users > len(part.Users)
}

// hubTable is the counts of one client. It is a Table.
type hubTable struct {
	h    *hub
	peer *peer
	all  map[string]*hubPart
}

// parts returns the counts of a client, by room: one for each room in which it is interested.
func (p *peer) parts() map[string]*hubPart {
	if t, ok := p.table.accepted.(*hubTable); ok { // and not the kept counts of a Missing client
		return t.all
	}
	return nil
}

func (t *hubTable) Get(room string) occupancy.Part {
	if part := t.all[room]; part != nil {
		return part.Part
	}
	return occupancy.Part{}
}

func (t *hubTable) Set(parts ...occupancy.Part) error {
	for _, part := range parts {
		t.set(part)
	}
	return nil
}

func (t *hubTable) set(now occupancy.Part) {
	part := t.all[now.Room]
	switch {
	case part != nil:
		part.room.add(part, -1)
	case now.Occupancy == (occupancy.Occupancy{}):
		return
	default:
		part = &hubPart{room: t.h.room(now.Room), table: t}
		part.index = len(part.room.parts)
		part.room.parts = append(part.room.parts, part)
		t.all[part.room.name] = part
	}
	r := part.room
	if !r.changed {
		r.changed = true
		t.h.changed = append(t.h.changed, r)
	}
	if now.Occupancy == (occupancy.Occupancy{}) {
		last := len(r.parts) - 1
		r.parts[part.index], r.parts[last].index = r.parts[last], part.index
		r.parts[last] = nil
		r.parts = r.parts[:last]
		delete(t.all, r.name)
		t.h.removed = append(t.h.removed, part)
		return
	}
	now.Room = r.name
	part.Part = now
	r.add(part, 1)
}

// room returns a room, and adds it if necessary.
func (h *hub) room(name string) *hubRoom {
	r := h.rooms[name]
	if r == nil {
		r = &hubRoom{name: name, shard: shardOf(name)}
		h.rooms[name] = r
	}
	return r
}

// add adds the part to the sums, or removes it if sign is -1.
func (r *hubRoom) add(part *hubPart, sign int) {
	r.connections += uint64(sign * max(part.Occupancy.Connections, 0))
	r.members += uint64(sign * part.Occupancy.PresenceMembers)
	r.partial += sign * toInt(part.partial())
	for _, hash := range part.Users {
		if r.users == nil {
			r.users = map[uint64]int{}
		}
		n := r.users[hash] + sign
		if r.users[hash] = n; n == 0 {
			delete(r.users, hash)
		}
		if n == 0 || n == 1 && sign > 0 {
			r.sorted = nil
		}
	}
	if len(r.users) == 0 {
		r.users, r.sorted = nil, nil
	}
}

func (t *hubTable) All() iter.Seq[occupancy.Part] {
	return func(yield func(occupancy.Part) bool) {
		for _, part := range t.all {
			if !yield(part.Part) {
				return
			}
		}
	}
}

// Close removes the counts of the client.
func (t *hubTable) Close() error {
	for name := range t.all {
		t.h.m.cfg.Yield()
		t.set(occupancy.Part{Room: name})
	}
	return nil
}
