package core

import (
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/occupancy/occupancy"
)

// client is the part of a Machine with the role Client. The methods do nothing if c is nil.
//
// A client publishes its counts to the aggregators, one feed for each, and receives from them the
// sums of the other nodes' counts of its rooms. The client chooses the aggregators of each
// shard, the primary and the backup, and informs them in its heartbeats. So an aggregator only
// collects and publishes what clients request, and two clients can choose differently.
//
// The source of a shard is the aggregator whose counts are part of the totals. If the primary
// is another aggregator, the client requests the shard from both. The primary becomes the
// source when the client has received all its counts. So the totals never lack a shard, and a
// room is never counted twice.
type client struct {
	m       *Machine
	others  Table // the counts of all other nodes
	placed  placement
	sources [shardCount]*peer
	usedAt  [shardCount]time.Duration // when the source was last usable
	parts   []occupancy.Part          // to set in others

	// newRooms contains the rooms in which this node has become interested less than two heartbeat
	// intervals ago, if it has a ranking of rooms: the clients of the other nodes are no arrivals.
	newRooms map[string]time.Duration
}

// usable reports whether the aggregator can be the primary of a shard.
func (c *client) usable(p *peer, now time.Duration) bool {
	return c.running(p, now) && !c.partial(p, now)
}

// running reports whether the last two heartbeats of the aggregator have arrived.
func (c *client) running(p *peer, now time.Duration) bool {
	return p != nil && !p.dropped && !p.replaced && !p.unsupported && p.state == Live && p.lastBeatNumber > 0 && now < c.lateAt(p)
}

func (c *client) lateAt(p *peer) time.Duration {
	return p.leaseStart + max(p.interval, c.m.cfg.Heartbeat)*5/2
}

// partial reports whether the aggregator has known fewer nodes than another one for two heartbeats.
func (c *client) partial(p *peer, now time.Duration) bool {
	return p.fewerSince > 0 && now > p.fewerSince+c.m.cfg.Heartbeat*5/2
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
		p.toCollect, p.toPublish = p.sentCollect, p.sentPublish
		if c.usable(p, now) {
			p.toCollect, p.toPublish = 0, 0
			usable = append(usable, p)
			c.m.members.checkAt = min(c.m.members.checkAt, c.lateAt(p))
		}
	}
	if len(usable) > 0 {
		c.placed = place(usable)
	}
	for shard, placed := range c.placed {
		source := c.sources[shard]
		for _, p := range []*peer{placed.primary, source, placed.backup} {
			if p != nil {
				p.toCollect.add(shard)
				if p != placed.backup || p == source {
					p.toPublish.add(shard)
				}
			}
		}
		// If there is no other source for a long time, the counts of the lost source are removed.
		end := c.usedAt[shard] + c.m.cfg.Lease + c.m.cfg.Hold
		switch {
		case source == nil:
		case c.usable(source, now) || !c.m.connected:
			c.usedAt[shard] = now
		case now >= end:
			c.move(1<<shard, source, nil)
		default:
			c.m.members.checkAt = min(c.m.members.checkAt, end)
		}
	}
	maps.DeleteFunc(c.newRooms, func(_ string, since time.Duration) bool { return now > since+2*c.m.cfg.Heartbeat })
	for _, p := range c.m.members.peers {
		if p.toCollect != p.sentCollect || p.toPublish != p.sentPublish {
			c.m.greet(p, now)
		}
	}
}

// heartbeat handles an accepted heartbeat of an aggregator.
func (c *client) heartbeat(p *peer, now time.Duration) {
	if c == nil {
		return
	}
	c.publishTo(p, now)
	knowsMore := func(other *peer) bool { return c.running(other, now) && other.nodes > p.nodes }
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
			var same shards
			for other, placed := range c.placed {
				if placed.primary == p && c.sources[other] == source && c.canReplace(p, source, other, now) {
					same.add(other)
				}
			}
			c.move(same, source, p)
			c.place(now)
		}
	}
}

// canReplace reports whether the aggregator p can be the source of a shard now.
func (c *client) canReplace(p, source *peer, shard int, now time.Duration) bool {
	return p.cover.has(shard) && !p.stream.behind() && c.usable(p, now) &&
		(!c.usable(source, now) || p.nodes >= source.nodes)
}

// publishTo adds the shards to the feed that the aggregator p has begun to collect, and removes the
// others.
func (c *client) publishTo(p *peer, now time.Duration) {
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
	if before, _ := c.m.get(room); before == 0 && c.m.cfg.Expect != nil {
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

// move makes the aggregator to the source of the shards. Each of both can be nil.
func (c *client) move(moved shards, from, to *peer) {
	moved.all(func(shard int) { c.sources[shard] = to })
	others := c.others
	if from == nil {
		others = c.m.expecting(others, 0) // the clients of the other nodes are no arrivals
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

func (c *client) setParts(others Table, from *peer) {
	var refused *occupancy.SetError
	if err := others.Set(c.parts...); errors.As(err, &refused) && from != nil {
		for _, r := range refused.Refused {
			from.table.refuse(r.Part)
		}
	}
	c.parts = c.parts[:0]
}

// inUse returns the aggregators that are the source of a shard, each once.
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

// nodes returns the number of nodes that the aggregators count.
func (c *client) nodes() (most int) {
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
		late := p.dropped || p.state != Live || now >= p.beatAt+c.m.members.lease(p)
		add(late, "no heartbeat within the lease", p.name)
		add(p.stream.behind(), "changes are missing", p.name)
		add(len(p.table.refused) > 0, "counts are refused", p.name)
		add(p.table.overLimit, "more rooms than WithMaxRooms", p.name)
		add(p.flags&flagDegraded != 0 && len(p.missing) == 0, "the aggregator is degraded", p.name)
		add(c.partial(p, now), "the aggregator does not know all nodes", p.name)
	}
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
		if _, isNew := v.c.newRooms[part.Room]; isNew {
			delete(v.c.newRooms, part.Room)
			v.c.m.cfg.Expect([]occupancy.Part{part}, 0)
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
