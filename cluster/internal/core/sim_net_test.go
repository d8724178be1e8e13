package core

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/occupancy/occupancy"
)

// faults are the faults of the simulated network, for each message and receiver.
type faults struct {
	loss, duplicate, reorder, garble float64 // probabilities
	minDelay, maxDelay               time.Duration
}

var noFaults = faults{minDelay: time.Millisecond, maxDelay: time.Millisecond}

// network delivers the messages of a simulation. The simulation has one goroutine and its
// own clock, so each run with the same seed is exactly the same.
type network struct {
	now       time.Duration
	queue     eventQueue
	events    int
	faults    faults
	blocked   map[[2]*node]bool // the connections, from and to, that deliver nothing
	forbidden map[permission]bool
	earliest  map[[2]*node]time.Duration // a message is not delivered before this time unless it is reordered
	maxDelay  time.Duration              // the longest delay of a message so far
	trace     uint64                     // the hash of all published messages

	// fate, if it is not nil, chooses whether a message to another node is lost, and the
	// additional time by which it is delayed.
	fate func(from, to *node, msg Message) (lost bool, delay time.Duration)
}

// permission is the permission of a node to publish or to receive a kind of messages.
type permission struct {
	*node
	kind    Kind
	receive bool
}

// at calls do at the given time.
func (s *sim) at(at time.Duration, do func()) {
	s.events++
	heap.Push(&s.queue, event{at, s.events, do})
}

// advance runs all events and timers until the given time.
func (s *sim) advance(until time.Duration) {
	for {
		next, timer := until+1, (*node)(nil)
		for _, n := range s.nodes {
			if d := n.m.Deadline(); n.held == nil && d < next {
				next, timer = d, n
			}
		}
		if len(s.queue) > 0 && s.queue[0].at <= min(next, until) {
			e := heap.Pop(&s.queue).(event)
			s.now = max(s.now, e.at)
			e.do()
			continue
		}
		if timer == nil {
			s.now = until
			return
		}
		s.now = max(s.now, next)
		timer.m.Tick(s.now, 800)
		timer.perform()
	}
}

var errDisconnected = errors.New("disconnected")

// publish publishes a message of a node.
func (s *sim) publish(from *node, msg Message) error {
	h := fnv.New64a()
	for _, x := range []uint64{s.trace, uint64(s.now), uint64(from.started), uint64(msg.Kind), uint64(msg.Shard)} {
		h.Write(binary.BigEndian.AppendUint64(nil, x))
	}
	h.Write(msg.Payload)
	s.trace = h.Sum64()
	if msg.Kind == SyncRequest {
		s.checkSyncRequest(from, msg)
	}
	if from.outage {
		return errDisconnected
	}
	for _, to := range s.nodes {
		if msg.Shard == ToAll || msg.Shard == to.m.cfg.ID.Shard() || msg.Shard == ToAggregators && to.role == Aggregator {
			s.send(from, to, msg)
		}
	}
	return nil
}

// send schedules the delivery of a message to one node.
func (s *sim) send(from, to *node, msg Message) {
	f, link := s.faults, [2]*node{from, to}
	if s.chance(f.loss) || !s.reaches(from, to, msg.Kind) {
		return
	}
	delay := time.Duration(0)
	if s.fate != nil && from != to {
		var lost bool
		if lost, delay = s.fate(from, to, msg); lost {
			return
		}
	}
	payload := msg.Payload
	if s.chance(f.garble) && len(payload) > 0 {
		payload = slices.Clone(payload)
		payload[s.rand.IntN(len(payload))] ^= byte(1 + s.rand.IntN(255))
	}
	for i := range 1 + toInt(s.chance(f.duplicate)) {
		due := s.now + s.between(f.minDelay, f.maxDelay)
		switch {
		case delay > 0:
			due += delay
		case s.chance(f.reorder):
			due += s.between(f.minDelay, f.maxDelay) + f.maxDelay
		case i == 0:
			due = max(due, s.earliest[link])
			s.earliest[link] = due
		}
		s.maxDelay = max(s.maxDelay, due-s.now)
		s.at(due, func() {
			if s.reaches(from, to, msg.Kind) {
				to.deliver(msg.Kind, payload)
			}
		})
	}
}

func (s *sim) reaches(from, to *node, kind Kind) bool {
	return !from.outage && !to.outage && !s.blocked[[2]*node{from, to}] &&
		!s.forbidden[permission{from, kind, false}] && !s.forbidden[permission{to, kind, true}]
}

// event is something that happens at a given time.
type event struct {
	at time.Duration
	n  int
	do func()
}

type eventQueue []event

func (q eventQueue) Len() int      { return len(q) }
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q eventQueue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].at, q[j].at), cmp.Compare(q[i].n, q[j].n)) < 0
}
func (q *eventQueue) Push(x any) { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// node is a simulated process: a state machine, and in place of an engine the counts of
// this process and one map for each peer.
type node struct {
	s       *sim
	name    string
	role    Role
	started int // the number of the node, in the order of the starts
	m       *Machine
	tables  map[*mapTable]struct{}
	counts  map[string]occupancy.Occupancy // of this process
	clients map[string]map[string]int      // the members of each client, by room
	ended   bool

	// The events of this process's counts. A room has at most one event in an interval. The
	// events are collected until the next flush.
	last    map[string]roomEvent
	pending map[string]occupancy.Occupancy
	users   map[string][]uint64 // the users that the machine knows
	flushAt time.Duration       // the next flush
	offset  time.Duration       // of the flushes

	outage   bool
	stalled  bool
	held     []Message // while stalled, the messages that are being published; otherwise nil
	inbox    []func()  // the inputs that have arrived since then
	overflow int       // this number of messages will be lost
	dropped  uint64    // the number of dropped peers when a fault began
	busy     *busyNode // receives the messages; nil if the node handles them at once

	known        map[Incarnation]time.Duration // the peers that this node has had, and when checkHealth saw them first
	healthySince time.Duration

	interest map[string]bool // the rooms with subscribers
	told     map[string]bool // those that the machine knows
}

// roomEvent is the last event of a room.
type roomEvent struct {
	occupancy.Occupancy
	at time.Duration
}

// input passes an input to the machine, after the inputs that wait.
func (n *node) input(do func()) {
	if n.ended {
		return
	}
	if n.held != nil {
		n.inbox = append(n.inbox, do)
		return
	}
	do()
	n.perform()
}

// perform performs the outputs of the machine. A stalled node stops at its first message.
func (n *node) perform() {
	messages, closed := n.m.Take()
	for _, t := range closed {
		_ = t.Close()
	}
	if n.stalled && len(messages) > 0 {
		n.held = messages
		return
	}
	n.publish(messages)
}

func (n *node) publish(messages []Message) {
	for _, msg := range messages {
		n.m.Sent(msg, n.s.publish(n, msg), n.s.now)
	}
}

// resume ends a stall.
func (n *node) resume() {
	n.stalled = false
	messages, inbox := n.held, n.inbox
	n.held, n.inbox = nil, nil
	if n.ended {
		return
	}
	n.publish(messages)
	for _, do := range inbox {
		n.input(do)
	}
}

func (n *node) deliver(kind Kind, payload []byte) {
	if n.ended {
		return
	}
	if n.busy != nil {
		n.busy.deliver(kind, payload)
		return
	}
	if n.overflow > 0 || len(n.inbox) >= 1024 {
		n.overflow = max(0, n.overflow-1)
		n.input(func() { n.m.SetLossy(n.s.now) })
		return
	}
	n.input(func() { n.m.Receive(kind, payload, n.s.now) })
}

// changed is called after a change of the process's counts of a room.
func (n *node) changed(room string) {
	s, e := n.s, n.last[room]
	switch now := n.counts[room]; {
	case n.ended || now == e.Occupancy && slices.Equal(n.users[room], n.hashes(room)) && n.told[room] == n.interest[room]:
	case s.now < e.at+s.interval:
		s.at(e.at+s.interval, func() { n.changed(room) })
	default:
		n.last[room] = roomEvent{now, s.now}
		n.pending[room] = now
		s.at(max(s.now, n.flushAt), n.flush)
	}
}

// flush publishes the collected events.
func (n *node) flush() {
	if n.ended || len(n.pending) == 0 || n.s.now < n.flushAt {
		return
	}
	n.flushAt = n.nextFlush(n.s.now)
	var changes []Change
	for _, room := range slices.Sorted(maps.Keys(n.pending)) {
		// The users can be newer than the counts.
		entered, exited := diffUsers(n.users[room], n.hashes(room))
		n.users[room], n.told[room] = n.hashes(room), n.interest[room]
		changes = append(changes, Change{occupancy.RoomEvent{Room: room, Event: occupancy.Event{Occupancy: n.pending[room]}}, entered, exited, n.told[room]})
	}
	clear(n.pending)
	n.input(func() { n.m.Change(changes, n.s.now) })
}

func (n *node) nextFlush(now time.Duration) time.Duration {
	const interval = 200 * time.Millisecond
	return (now + n.offset).Truncate(interval) + interval - n.offset
}

// simUsers is the number of users of a room that a simulated node publishes.
const simUsers = 12

// hashes returns the sorted hashes of this process's users in a room.
func (n *node) hashes(room string) (all []uint64) {
	for client := range n.clients[room] {
		all = append(all, mix(hashName(client)))
	}
	slices.Sort(all)
	return all
}

// totals returns the counts of all nodes, as this node knows them.
func (n *node) totals() map[string]occupancy.Occupancy {
	sum := totals{}
	sum.addNode(n)
	for t := range n.tables {
		for part := range t.All() {
			sum.add(part.Room, part.Occupancy, part.Users)
		}
	}
	return sum.occupancies()
}

// totals are the sums of counts, and the unions of users.
type totals map[string]*total

type total struct {
	occupancy.Occupancy
	users map[uint64]bool
}

func (t totals) add(room string, o occupancy.Occupancy, users []uint64) {
	if t[room] == nil {
		t[room] = &total{users: map[uint64]bool{}}
	}
	t[room].Connections += o.Connections
	t[room].PresenceMembers += o.PresenceMembers
	for _, h := range users {
		t[room].users[h] = true
	}
}

func (t totals) addNode(n *node) {
	for room, o := range n.counts {
		t.add(room, o, n.hashes(room))
	}
}

func (t totals) occupancies() map[string]occupancy.Occupancy {
	all := map[string]occupancy.Occupancy{}
	for room, sum := range t {
		sum.Users = len(sum.users)
		all[room] = sum.Occupancy
	}
	return all
}

// mapTable is a table whose counts are part of the totals until Close.
type mapTable struct {
	keptCounts
	node *node
}

func (n *node) newTable(string) Table {
	t := &mapTable{newKeptCounts(), n}
	n.tables[t] = struct{}{}
	return t
}

func (t *mapTable) Set(parts ...occupancy.Part) error {
	if s := t.node.s; s != nil && s.steady { // other tests have nodes without a simulation
		for _, part := range parts {
			t.checkUnchanged(part)
		}
	}
	return t.keptCounts.Set(parts...)
}

func (t *mapTable) Close() error {
	delete(t.node.tables, t)
	return nil
}
