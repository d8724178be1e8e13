package main

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/internal/core"
)

// role is the role of a node in the simulation.
type role int

const (
	plain      role = iota // has connections
	observer               // receives all rooms, and has no connections
	aggregator             // a second state machine in the process of a plain node
	roles
)

// node is a state machine. In place of an engine it has the counts of its process, and the tables
// that the state machine fills.
type node struct {
	*sim
	role     role
	m        *core.Machine
	distance time.Duration // half of the delay of messages to itself
	offset   time.Duration // of its clock
	timerAt  time.Duration // when the next timer is due
	tables   []*table
	counts   map[int]int // connections of this process, by room
	probe    probe
	started  bool
	crashed  bool

	pending map[string]*change // the changes since the last flush, by room
	flushAt time.Duration      // when the next flush is due

	usage   usage         // since the measurement has begun
	burst   int           // the number of messages since burstAt
	burstAt time.Duration // the beginning of a millisecond
}

// change is the change of a room since the last flush.
type change struct {
	core.Change
	before int // its connections at the last flush
}

// usage is what a node has used.
type usage struct {
	cpu, longestCall      time.Duration // the time of all calls of the state machine, and of the longest one
	messages, bytes       int           // received
	longestBurst          int           // the largest number of messages received in a millisecond
	flushes, rooms, users int           // the number of flushes, and of their changed rooms and users
}

// add adds a node that is not started.
func (s *sim) add(role role, name string) *node {
	n := &node{
		sim: s, role: role, timerAt: core.Never, counts: map[int]int{}, pending: map[string]*change{},
		distance: s.between(s.delay), offset: s.between(s.skew),
	}
	cfg := core.Config{
		Name:           name,
		Heartbeat:      time.Second,
		Lease:          5 * time.Second,
		Hold:           15 * time.Second,
		Forget:         10 * time.Minute,
		ExpectedNodes:  1,
		MaxPeers:       2 * s.config.nodes,
		MaxRooms:       10 * s.rooms,
		MaxCount:       10_000_000,
		MaxUsers:       core.MaxUsers,
		FlushSize:      64 << 10,
		ReplySize:      256 << 10,
		TombstoneSlack: 1024,
		Local:          func(string) occupancy.Occupancy { return occupancy.Occupancy{} }, // Get is not measured
		NewTable:       n.newTable,
		Yield:          func() {},
		Everything:     role == observer,
		NextFlush: func(now time.Duration) time.Duration {
			const after = 30 * time.Millisecond // the flushes of the clients
			return n.nextFlush(now-after) + after
		},
	}
	switch {
	case role == aggregator:
		cfg.Role = core.Aggregator
	case s.mode == "aggregators":
		cfg.Role = core.Client
	}
	for i := range cfg.ID {
		cfg.ID[i] = byte(s.rand.Uint32())
	}
	n.m = core.New(cfg)
	s.nodes = append(s.nodes, n)
	s.byAddress[cfg.ID.Shard()] = n
	return n
}

// between returns a random duration from 0 to the limit.
func (s *sim) between(limit time.Duration) time.Duration {
	return time.Duration(s.rand.Int64N(int64(limit)))
}

// nextFlush returns the next multiple of the flush interval on the clock of the node.
func (n *node) nextFlush(now time.Duration) time.Duration {
	now -= n.offset
	return n.offset + now - (now%n.flush+n.flush)%n.flush + n.flush
}

func (n *node) start() {
	n.input(func() {
		n.m.Start(n.now)
		n.m.SetConnected(true, n.now)
	})
	n.started = true
	n.flushChanges()
}

// input passes an input to the state machine, and performs its outputs.
func (n *node) input(do func()) {
	if n.crashed {
		return
	}
	began := cpuTime()
	do()
	messages, closed := n.m.Take()
	for _, msg := range messages {
		n.m.Sent(msg, nil, n.now)
	}
	for _, t := range closed {
		_ = t.Close()
	}
	took := cpuTime() - began
	n.usage.cpu += took
	n.usage.longestCall = max(n.usage.longestCall, took)
	for _, msg := range messages {
		n.publish(n, msg)
	}
	if at := n.m.Deadline(); at < n.timerAt {
		n.timerAt = at
		n.at(at, func() { n.tick(at) })
	}
}

// tick is called at the deadline of the state machine, which can be later now.
func (n *node) tick(at time.Duration) {
	if n.timerAt != at {
		return // replaced by an earlier timer
	}
	n.timerAt = core.Never
	n.input(func() {
		if n.now >= n.m.Deadline() {
			n.m.Tick(n.now, 1<<20)
		}
	})
}

func (n *node) receive(msg core.Message) {
	n.usage.messages++
	n.usage.bytes += len(msg.Payload)
	if n.now >= n.burstAt+time.Millisecond {
		n.burst, n.burstAt = 0, n.now
	}
	n.burst++
	n.usage.longestBurst = max(n.usage.longestBurst, n.burst)
	n.input(func() { n.m.Receive(msg.Kind, msg.Payload, n.now) })
}

// change adds a connection and its user to a room, or removes them.
func (n *node) change(room int, by int, user uint64) {
	before := n.counts[room]
	if n.counts[room] += by; n.counts[room] == 0 {
		delete(n.counts, room)
	}
	c := n.pend(roomName(room), before, before+by)
	if n.users {
		if by > 0 {
			toggle(&c.Entered, &c.Exited, user)
		} else {
			toggle(&c.Exited, &c.Entered, user)
		}
		c.Occupancy.Users = c.Occupancy.PresenceMembers
	}
}

// toggle adds the user to one list, or removes it from the opposite one.
func toggle(to, opposite *[]uint64, user uint64) {
	if i := slices.Index(*opposite, user); i >= 0 {
		*opposite = slices.Delete(*opposite, i, i+1)
	} else {
		*to = append(*to, user)
	}
}

// pend publishes the counts of a room with the next flush. If there was no flush in this interval,
// the next flush is now.
func (n *node) pend(room string, before, now int) *change {
	if len(n.pending) == 0 && n.started {
		n.at(max(n.now, n.flushAt), n.flushChanges)
	}
	c := n.pending[room]
	if c == nil {
		c = &change{before: before}
		c.Room = room
		n.pending[room] = c
	}
	c.Occupancy = occupancy.Occupancy{Connections: now, PresenceMembers: now}
	return c
}

func (n *node) flushChanges() {
	if len(n.pending) == 0 {
		return
	}
	n.flushAt = n.nextFlush(n.now)
	n.usage.flushes++
	changes := make([]core.Change, 0, len(n.pending))
	for _, c := range n.pending {
		slices.Sort(c.Entered)
		slices.Sort(c.Exited)
		changes = append(changes, c.Change)
		users := len(c.Entered) + len(c.Exited)
		if c.Occupancy.PresenceMembers > 0 { // the users of an empty room are not published
			n.usage.users += users
		}
		if users > 0 || c.Occupancy.Connections != c.before {
			n.usage.rooms++
		}
	}
	slices.SortFunc(changes, func(a, b core.Change) int { return cmp.Compare(a.Room, b.Room) })
	clear(n.pending)
	n.input(func() { n.m.Change(changes, n.now) })
}

// table contains the counts of other nodes.
type table struct {
	n     *node
	parts map[string]occupancy.Part
}

func (n *node) newTable(string) core.Table {
	t := &table{n, map[string]occupancy.Part{}}
	n.tables = append(n.tables, t)
	return t
}

func (t *table) Get(room string) occupancy.Part { return t.parts[room] }

func (t *table) Set(parts ...occupancy.Part) error {
	for _, part := range parts {
		if part.Occupancy == (occupancy.Occupancy{}) {
			delete(t.parts, part.Room)
		} else {
			t.parts[part.Room] = part
		}
		if part.Room == t.n.probe.room {
			t.n.probe.receive(part.Occupancy.Connections, t.n.now)
		}
	}
	return nil
}

func (t *table) All() iter.Seq[occupancy.Part] { return maps.Values(t.parts) }

func (t *table) Close() error {
	t.n.tables = slices.DeleteFunc(t.n.tables, func(other *table) bool { return other == t })
	return nil
}

// others returns the counts of the other nodes, as this node has received them.
func (n *node) others() map[string]occupancy.Occupancy {
	sum := map[string]occupancy.Occupancy{}
	for _, t := range n.tables {
		for room, part := range t.parts {
			o := sum[room]
			o.Connections += part.Occupancy.Connections
			o.PresenceMembers += part.Occupancy.PresenceMembers
			o.Users += part.Occupancy.Users
			sum[room] = o
		}
	}
	return sum
}

func roomName(room int) string { return fmt.Sprintf("room-%07d", room) }
