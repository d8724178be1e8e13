package core

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// aggregator is the part of a Machine with the role Aggregator. The methods do nothing if g is nil.
//
// If any client requests a shard, the aggregator collects the counts of all clients in the rooms of this
// shard. For each client, the aggregator has a feed with the sums of the other clients' counts. The feed
// contains the shards that the client wants, and of these the rooms in which it is interested. The
// aggregator adds a shard to a feed when it has received the counts of this shard from all clients.
type aggregator struct {
	m           *Machine
	rooms       map[string]*roomSum
	changed     []*roomSum                // since the last flush
	removed     []*clientPart             // since the last flush
	collect     shardSet                  // requested by a client
	requestedAt [shardCount]time.Duration // when a client last requested to collect a shard
	flushAt     time.Duration
	ranking     ranking
}

func newAggregator(m *Machine) *aggregator {
	return &aggregator{m: m, rooms: map[string]*roomSum{}, flushAt: Never}
}

// dueAt returns when the next flush is due.
func (g *aggregator) dueAt() time.Duration {
	if g == nil {
		return Never
	}
	return g.flushAt
}

// schedule schedules the next flush if there is anything to publish.
func (g *aggregator) schedule(now time.Duration) {
	if g == nil || g.flushAt != Never {
		return
	}
	waits := func(p *peer) bool { return p.want != p.feed.shards }
	if len(g.changed)+len(g.removed) > 0 || slices.ContainsFunc(g.m.members.peers, waits) {
		g.flushAt = g.m.cfg.NextFlush(now)
	}
}

// maxClientUsers limits the number of users of a room that an aggregator publishes to each client, because
// the feed of each client stores their hashes.
const maxClientUsers = 256

// unusedTime is the number of heartbeat intervals after which the aggregator stops collecting a shard
// that no client requests.
const unusedTime = 10

// heartbeat handles an accepted heartbeat of a client.
func (g *aggregator) heartbeat(p *peer, now time.Duration) {
	if g == nil {
		return
	}
	before := g.collect
	p.collect.all(func(shard int) { g.requestedAt[shard] = now })
	g.collect |= p.collect
	g.collect.all(func(shard int) {
		if now > g.requestedAt[shard]+unusedTime*g.m.cfg.Heartbeat {
			g.collect &^= 1 << shard
		}
	})
	if g.collect&^p.cover == 0 {
		p.coveredAt, p.covered = now, true
	}
	if g.collect != before {
		// Inform all clients with an early heartbeat.
		g.m.nextBeat = min(g.m.nextBeat, max(now, g.m.lastBeat+g.m.cfg.Heartbeat/8))
	}
}

// returned is called when a Missing client has returned. It removes from the feed of the client the
// rooms in which the client is no longer interested. The next flush updates the other rooms, which have
// changed, because the counts of the client are part of the sums again.
func (g *aggregator) returned(p *peer) {
	if g == nil || p.flags&flagEverything != 0 {
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
// of a lease. Then the aggregator does not wait for it any longer.
func (g *aggregator) incomplete(p *peer, now time.Duration) bool {
	return g != nil && g.collect&^p.cover != 0 && now > p.coveredAt+g.m.cfg.Lease
}

// complete returns the shards whose counts have been received from all clients.
func (g *aggregator) complete(now time.Duration) shardSet {
	if !g.m.greeted {
		return 0
	}
	all := g.collect
	for _, p := range g.m.members.peers {
		if p.state != Missing && !g.incomplete(p, now) {
			all &= p.cover
		}
	}
	return all
}

// describe adds to a heartbeat what the aggregator collects and counts.
func (g *aggregator) describe(b *heartbeat, now time.Duration) {
	if g == nil {
		return
	}
	b.collect = g.collect
	for _, p := range g.m.members.peers {
		// A client that is late, or whose counts have never arrived, is not counted, so that the
		// clients find an aggregator with the counts of more nodes.
		b.nodes += uint64(toInt(g.m.greeted && g.m.members.running(p, now) && p.covered))
		if p.state == Missing && len(b.missing) < maxMissing {
			b.missing = append(b.missing, []byte(p.name))
		}
	}
}

// publish publishes to the clients what has changed since the last flush.
func (g *aggregator) publish(now time.Duration) {
	changed, removed := g.changed, g.removed
	g.flushAt, g.changed, g.removed = Never, nil, nil
	removed = slices.DeleteFunc(removed, func(part *clientPart) bool {
		p := part.table.peer
		return p.state == Missing || !p.feed.shards.has(part.room.shard) // a Missing client may return
	})
	// The order can be that of a map. Sort, so that simulations can be repeated.
	slices.SortFunc(changed, func(a, b *roomSum) int { return cmp.Compare(a.name, b.name) })
	slices.SortFunc(removed, func(a, b *clientPart) int { return cmp.Compare(a.room.name, b.room.name) })
	for _, part := range removed {
		p := part.table.peer
		g.offer(p, part.room, p.parts()[part.room.name]) // the client can be interested again
	}
	var observers []*peer
	for _, p := range g.m.members.peers {
		if p.flags&flagEverything != 0 {
			observers = append(observers, p)
		}
	}
	for _, r := range changed {
		r.changed = false
		for _, part := range r.parts {
			if p := part.table.peer; p.feed.shards.has(r.shard) {
				g.offer(p, r, part)
			}
		}
		for _, p := range observers {
			g.offer(p, r, p.parts()[r.name])
		}
		if len(r.parts) == 0 {
			delete(g.rooms, r.name)
		}
	}
	complete := g.complete(now)
	var informed []*peer // about their shards
	for _, p := range g.m.members.peers {
		if to := p.want & g.collect & (complete | p.feed.shards); to != p.feed.shards && p.state != Missing {
			g.setShards(p, to)
			informed = append(informed, p)
		}
		p.feed.flush(false)
	}
	if len(informed) > 0 {
		beat := g.m.newHeartbeat(now)
		for _, p := range informed {
			g.m.sendHeartbeatTo(p, beat)
		}
	}
}

// answer returns the counts and the number of users of a room for a query of a client: those of the
// other clients.
func (g *aggregator) answer(client Incarnation, room string) (counts roomCounts, users uint64) {
	r := g.rooms[room]
	if r == nil {
		return 0, 0
	}
	var part *clientPart
	if p := g.m.members.byID[client]; p != nil {
		part = p.parts()[room]
	}
	counts = r.countsWithout(part)
	return counts, min(r.usersWithout(part, 0).count, counts.members())
}

// setShards sets the shards that the feed of a client contains.
func (g *aggregator) setShards(p *peer, to shardSet) {
	differ := p.feed.shards ^ to
	p.feed.shards = to
	rooms := maps.Keys(g.rooms)
	if p.flags&flagEverything == 0 {
		rooms = maps.Keys(p.parts())
	}
	for _, name := range slices.Sorted(rooms) {
		if r := g.rooms[name]; differ.has(r.shard) {
			g.offer(p, r, p.parts()[name])
		}
	}
}

// offer sets the room in the feed of a client: to the sums of the other clients' counts, or to
// zero if the client is not interested in the room or the feed does not contain its shard. The
// part is that of the client, or nil.
func (g *aggregator) offer(p *peer, r *roomSum, part *clientPart) {
	g.m.cfg.Yield()
	if !p.feed.shards.has(r.shard) || part == nil && p.flags&flagEverything == 0 {
		p.feed.set(r.name, 0, userList{})
		return
	}
	p.feed.set(r.name, r.countsWithout(part), r.usersWithout(part, p.feed.maxUsers))
}
