package core

import (
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/occupancy/occupancy"
)

// client is the part of a Machine with the role Client. It publishes the counts of this node to
// the aggregators, and receives from them the sums of the other nodes' counts. The methods do
// nothing if c is nil.
//
// For each shard, the client chooses two aggregators: the primary and the backup. It requests in
// its heartbeats that both collect the shard, and that the primary publishes it. An aggregator
// tells all clients which shards it collects, and each client publishes its counts of these shards
// to it. So an aggregator has the counts of all clients, even if they choose differently.
//
// The source of a shard is the aggregator whose counts are part of the totals. If the primary
// is another aggregator, the client requests the shard from both. The primary becomes the
// source when the client has received all its counts. So the totals never lack a shard, and a
// room is never counted twice.
type client struct {
	m        *Machine
	others   Table // the counts of all other nodes
	placed   placement
	sources  [shardCount]*peer
	usableAt [shardCount]time.Duration // when the source was last usable
	parts    []occupancy.Part          // to set in others

	// newRooms contains the rooms in which this node has become interested within the last two
	// heartbeat intervals, and when. The first counts of these rooms from an aggregator are no
	// arrivals. Without a ranking of rooms, newRooms is empty.
	newRooms map[string]time.Duration
}

// usable reports whether the aggregator can be the primary of a shard.
func (c *client) usable(p *peer, now time.Duration) bool {
	return p != nil && c.m.members.running(p, now) && !c.partial(p, now)
}

// partial reports whether the aggregator has known fewer nodes than another one for one and a
// half heartbeat intervals, or has just started.
func (c *client) partial(p *peer, now time.Duration) bool {
	return p.fewerSince > 0 && (p.nodes == 0 || now > p.fewerSince+c.m.cfg.Heartbeat*3/2)
}

// place chooses the aggregators of each shard again, and informs those whose shards have
// changed with an early heartbeat.
func (c *client) place(now time.Duration) {
	if c == nil {
		return
	}
	var usable []*peer
	for _, p := range c.m.members.peers {
		// Do not change the requests to an aggregator that cannot be used: it could answer them
		// after it has become the source again.
		p.request = p.sent
		if c.usable(p, now) {
			p.request = shardRequest{}
			usable = append(usable, p)
			c.m.members.checkAt = min(c.m.members.checkAt, c.m.members.lateAt(p))
		}
	}
	if len(usable) > 0 {
		c.placed = place(usable)
	}
	for shard, placed := range c.placed {
		source := c.sources[shard]
		for _, p := range []*peer{placed.primary, source, placed.backup} {
			if p != nil {
				p.request.collect.add(shard)
				if p == placed.primary || p == source {
					p.request.want.add(shard)
				}
			}
		}
		// If there is no other source for a long time, the counts of the lost source are removed.
		end := c.usableAt[shard] + c.m.cfg.Lease + c.m.cfg.Hold
		switch {
		case source == nil:
		case c.usable(source, now) || !c.m.connected:
			c.usableAt[shard] = now
		case now >= end:
			c.setSource(1<<shard, source, nil)
		default:
			c.m.members.checkAt = min(c.m.members.checkAt, end)
		}
	}
	maps.DeleteFunc(c.newRooms, func(_ string, since time.Duration) bool { return now > since+2*c.m.cfg.Heartbeat })
	for _, p := range c.m.members.peers {
		if p.request != p.sent {
			c.m.greet(p, now)
		}
	}
}

// heartbeat handles an accepted heartbeat of an aggregator.
func (c *client) heartbeat(p *peer, now time.Duration) {
	if c == nil {
		return
	}
	c.setShards(p, now)
	knowsMore := func(other *peer) bool { return c.m.members.running(other, now) && other.nodes > p.nodes }
	switch fewer := slices.ContainsFunc(c.m.members.peers, knowsMore); {
	case !fewer:
		p.fewerSince = 0
	case p.fewerSince == 0:
		p.fewerSince = now
	}
	c.place(now)
	for shard, placed := range c.placed {
		if source := c.sources[shard]; placed.primary == p && source != p && c.canReplace(p, source, shard, now) {
			// Move all shards that have the same source.
			var same shardSet
			for other, placed := range c.placed {
				if placed.primary == p && c.sources[other] == source && c.canReplace(p, source, other, now) {
					same.add(other)
				}
			}
			c.setSource(same, source, p)
			c.place(now)
		}
	}
}

// canReplace reports whether the aggregator p can be the source of a shard now. A degraded aggregator
// can lack the counts of a node, for which it no longer waits.
func (c *client) canReplace(p, source *peer, shard int, now time.Duration) bool {
	return p.cover.has(shard) && !p.stream.behind() && c.usable(p, now) &&
		(!c.usable(source, now) || p.nodes >= source.nodes && p.flags&flagDegraded <= source.flags&flagDegraded)
}

// setShards makes the feed to the aggregator p contain the shards that p collects.
func (c *client) setShards(p *peer, now time.Duration) {
	changed := p.collect ^ p.feed.shards
	if changed == 0 {
		return
	}
	p.feed.shards = p.collect
	for room, counts := range c.m.occupied() {
		c.m.cfg.Yield()
		if shard := shardOf(room); changed.has(shard) {
			users := c.m.users[room]
			if !p.collect.has(shard) {
				counts, users = 0, userList{}
			}
			p.feed.set(room, counts, users)
		}
	}
	p.feed.flush(false)
	c.m.greet(p, now)
}

// change publishes a change of a room of this node.
func (c *client) change(room string, counts roomCounts, users userList, now time.Duration) {
	if before, _ := c.m.get(room); before == 0 && c.m.cfg.Expect != nil && !c.m.cfg.Everything {
		c.newRooms[room] = now
	}
	c.m.put(room, counts, users)
	shard := shardOf(room)
	for _, p := range c.m.members.peers {
		if p.feed.shards.has(shard) {
			p.feed.set(room, counts, users)
		}
	}
}

func (c *client) flush() {
	if c == nil {
		return
	}
	c.m.endFlush()
	for _, p := range c.m.members.peers {
		p.feed.flush(false)
	}
}

// complete reports whether all shards have a source, which publishes them.
func (c *client) complete() bool {
	if c == nil {
		return true
	}
	for shard, source := range c.sources {
		if source == nil || !source.cover.has(shard) {
			return false
		}
	}
	return true
}

// setSource replaces the source of the shards. The old and the new source can be nil.
func (c *client) setSource(moved shardSet, from, to *peer) {
	moved.all(func(shard int) { c.sources[shard] = to })
	others := c.others
	if from == nil || to == nil {
		others = c.m.expecting(others, 0) // the clients of the other nodes neither arrive nor depart
	}
	set := func(part occupancy.Part) {
		if c.m.cfg.Yield(); moved.has(shardOf(part.Room)) {
			if c.parts = append(c.parts, part); len(c.parts) == batchLen {
				c.setParts(others, to)
			}
		}
	}
	if to != nil {
		for _, part := range to.view().rooms {
			set(part)
		}
	}
	if from != nil {
		for room := range from.view().rooms {
			if to == nil || to.view().rooms[room].Room == "" {
				set(occupancy.Part{Room: room})
			}
		}
	}
	c.setParts(others, to)
}

// setParts sets the collected parts, which are those of the source.
func (c *client) setParts(others Table, source *peer) {
	var refused *occupancy.SetError
	if err := others.Set(c.parts...); errors.As(err, &refused) && source != nil {
		for _, r := range refused.Refused {
			source.table.refuse(r.Part)
		}
	}
	c.parts = c.parts[:0]
}

// inUse returns the aggregators that are the sources of shards, each once.
func (c *client) inUse() iter.Seq[*peer] {
	return func(yield func(*peer) bool) {
		if c == nil {
			return
		}
		seen := map[*peer]bool{nil: true}
		for _, p := range c.sources {
			if !seen[p] && !yield(p) {
				return
			}
			seen[p] = true
		}
	}
}

// nodes returns the number of nodes that the aggregators count, or 1 if there are no aggregators.
func (c *client) nodes() int {
	most := 1
	for p := range c.inUse() {
		most = max(most, int(p.nodes))
	}
	return most
}

// queried returns the source of a room, which answers a call of Get.
func (c *client) queried(room string) []*peer {
	if p := c.sources[shardOf(room)]; p != nil {
		return []*peer{p}
	}
	return nil
}

// reasons calls add with the reasons for which counts may be incomplete.
func (c *client) reasons(now time.Duration, add func(applies bool, text string, peers ...string)) {
	add(!c.complete(), errNoAggregator.Error())
	for p := range c.inUse() {
		for _, name := range p.missing {
			add(true, "missing", name)
		}
		late := p.state != Live || now >= p.beatAt+c.m.members.lease(p)
		add(p.dropped, "the aggregator has stopped", p.name)
		add(late && !p.dropped, "no heartbeat within the lease", p.name)
		add(p.stream.behind(), "changes are missing", p.name)
		add(len(p.table.refused) > 0, "counts are refused", p.name)
		add(p.table.overLimit, "more rooms than WithMaxRooms", p.name)
		add(p.otherSecret, "different secret, so users count more than once", p.name)
		add(p.flags&flagDegraded != 0 && len(p.missing) == 0, "the aggregator is degraded", p.name)
		add(c.partial(p, now), "the aggregator does not know all nodes", p.name)
	}
}

// interestChanges reports whether the counts of a room change because this node has become
// interested in it, or is no longer interested.
func (c *client) interestChanges(part occupancy.Part) bool {
	if part.Occupancy == (occupancy.Occupancy{}) {
		interest, _ := c.m.get(part.Room)
		return interest == 0 && !c.m.cfg.Everything
	}
	_, isNew := c.newRooms[part.Room]
	delete(c.newRooms, part.Room)
	return isNew
}

// view is the counts of other nodes as received from an aggregator. Those of the shards whose
// source is this aggregator are also set in client.others. A view is a Table; after Close, it
// keeps the counts until the shards have another source.
type view struct {
	c     *client
	from  *peer
	rooms map[string]occupancy.Part
}

func (p *peer) view() *view { return p.table.accepted.(*view) }

func (v *view) Get(room string) occupancy.Part { return v.rooms[room] }

func (v *view) Set(parts ...occupancy.Part) error {
	for _, part := range parts {
		if v.c.sources[shardOf(part.Room)] != v.from {
			continue
		}
		v.c.parts = append(v.c.parts, part)
		if e, ok := v.c.m.expecting(v.c.others, 0).(expecting); ok && v.c.interestChanges(part) {
			e.announce([]occupancy.Part{part})
		}
	}
	err := v.c.others.Set(v.c.parts...)
	v.c.parts = v.c.parts[:0]
	var refused map[string]bool
	if e := (*occupancy.SetError)(nil); errors.As(err, &e) {
		refused = map[string]bool{}
		for _, r := range e.Refused {
			refused[r.Part.Room] = true
		}
	}
	for _, part := range parts {
		switch {
		case refused[part.Room]:
		case part.Occupancy == (occupancy.Occupancy{}):
			delete(v.rooms, part.Room)
		default:
			v.rooms[part.Room] = part
		}
	}
	return err
}

func (v *view) All() iter.Seq[occupancy.Part] {
	return func(yield func(occupancy.Part) bool) {
		for _, part := range v.rooms {
			if !yield(part) {
				return
			}
		}
	}
}

func (v *view) Close() error { return nil }
