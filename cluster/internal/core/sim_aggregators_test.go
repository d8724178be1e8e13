package core

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/occupancy/occupancy"
)

// newAggregatorSim returns a simulation of a service with aggregators.
func newAggregatorSim(seed uint64, logf func(string, ...any)) *sim {
	s := newSim(seed, logf)
	s.aggregators = true
	return s
}

// startService starts clients and aggregators, in a random order.
func (s *sim) startService() {
	var all []func()
	for i := range 2 + s.rand.IntN(5) {
		all = append(all, func() { s.start(Client, fmt.Sprint("n", i)) })
	}
	for i := range 2 + s.rand.IntN(4) {
		all = append(all, func() { s.start(Aggregator, fmt.Sprint("a", i)) })
	}
	s.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, start := range all {
		start()
	}
}

// running returns the running nodes with a role.
func (s *sim) running(role Role) (all []*node) {
	for _, n := range s.nodes {
		if n.role == role {
			all = append(all, n)
		}
	}
	return all
}

// peersOf returns the running nodes with which a node exchanges counts.
func (s *sim) peersOf(n *node) (all []*node) {
	for _, other := range s.nodes {
		if other != n && (n.role == Mesh || other.role != n.role) {
			all = append(all, other)
		}
	}
	return all
}

// randomProcess returns a node with counts.
func (s *sim) randomProcess() *node {
	all := s.processes()
	return all[s.rand.IntN(len(all))]
}

// processes returns the running nodes with counts.
func (s *sim) processes() []*node { return slices.Concat(s.running(Mesh), s.running(Client)) }

// source returns the node that must know all nodes, so that the counts of a room are right: the
// node itself, or its aggregator of this room, or nil.
func (n *node) source(room string) *node {
	if n.m.client == nil {
		return n
	}
	if p := n.m.client.sources[shardOf(room)]; p != nil {
		return n.s.all[p.id]
	}
	return nil
}

// sees reports whether the node must have the counts of other nodes in a room.
func (n *node) sees(room string) bool {
	switch n.role {
	case Client:
		return n.m.cfg.Everything || n.interest[room] || n.counts[room] != occupancy.Occupancy{}
	case Aggregator:
		return false
	}
	return true
}

// readRooms changes the interest of a client in a room, and calls Get, at random.
func (s *sim) readRooms() {
	if s.chance(0.2) {
		n, room := s.randomProcess(), fmt.Sprint("room", s.rand.IntN(s.rooms))
		n.interest[room] = !n.interest[room]
		s.changed[room] = s.now
		n.changed(room)
	}
	if s.chance(0.2) {
		s.get(s.randomProcess(), fmt.Sprint("room", s.rand.IntN(s.rooms)))
	}
}

// get calls Get, like Node.Get with the deadline of 250 ms.
func (s *sim) get(n *node, room string) {
	n.input(func() {
		asked, source, ended := s.now, n.source(room), false
		var call *Call
		end := func(err error) {
			n.input(func() {
				if !ended {
					ended = true
					s.checkGet(n, call, asked, source, err)
				}
			})
		}
		call = n.m.Ask(room, func() { s.at(s.now, func() { end(nil) }) })
		s.at(s.now+250*time.Millisecond, func() { end(context.DeadlineExceeded) })
	})
}

// checkGet checks the result of a call of Get. A result without an error is right, unless the
// aggregator has not detected a fault yet.
func (s *sim) checkGet(n *node, call *Call, asked time.Duration, source *node, ended error) {
	sum, missing, err := n.m.Result(call, ended, s.now)
	if s.steady && !s.lossy && source != nil && !source.ended && err != nil {
		s.fail("%v: Get of %q fails: %v, missing: %v", n, call.room, err, missing)
	}
	if err != nil && (!s.steady || !n.sees(call.room)) {
		return // in a steady service, the result is right even if an aggregator does not answer
	}
	since := asked - s.detection()
	want := truths{}.truth(n, call.room, since)
	if s.garbled || s.changed[call.room] > since || want == nil || n.source(call.room) != source {
		return
	}
	others := want[call.room]
	others.Connections -= n.counts[call.room].Connections
	others.PresenceMembers -= n.counts[call.room].PresenceMembers
	if sum.Users > sum.PresenceMembers {
		s.fail("%v: Get of %q returns more users than members: %+v", n, call.room, sum)
	}
	others.Users, sum.Users = 0, 0 // an aggregator estimates them if nodes publish a part
	if sum != others {
		s.fail("%v: Get of %q returns %+v, not %+v", n, call.room, sum, others)
	}
}

// relay returns the time within which an aggregator publishes the counts that it has received.
func (s *sim) relay() time.Duration {
	if !s.aggregators {
		return 0
	}
	return 200*time.Millisecond + s.faults.maxDelay
}

// startAggregators starts aggregators if there are none.
func (s *sim) startAggregators() {
	if s.aggregators && len(s.running(Aggregator)) == 0 {
		for i := range 1 + s.rand.IntN(2) {
			s.start(Aggregator, fmt.Sprint("last", i))
		}
	}
}

// endAggregators ends some or all aggregators. Some of them start again later.
func (s *sim) endAggregators() {
	bye := s.chance(0.3)
	for _, n := range s.running(Aggregator) {
		if s.chance(0.4) {
			continue
		}
		s.end(n, bye)
		s.crashed = true
		if s.chance(0.7) {
			s.later(12*time.Second, func() { s.start(Aggregator, n.name) })
		}
	}
}

// restartAggregator restarts an aggregator within a short time.
func (s *sim) restartAggregator() {
	all := s.running(Aggregator)
	if len(all) == 0 {
		return
	}
	n := all[s.rand.IntN(len(all))]
	s.end(n, s.chance(0.3))
	s.crashed = true
	s.step(0, 3*time.Second)
	s.start(Aggregator, n.name)
}

func (s *sim) addAggregator() {
	if len(s.running(Aggregator)) < 6 {
		s.start(Aggregator, fmt.Sprint("new", s.started))
	}
}

// separate cuts connections between some clients and some aggregators, in one direction or in
// both. So clients choose different aggregators.
func (s *sim) separate() {
	if s.parted {
		return
	}
	direction := s.rand.IntN(3)
	s.log("clients and aggregators are separated, direction %d", direction)
	s.parted = true
	for _, n := range s.running(Client) {
		for _, a := range s.running(Aggregator) {
			if s.chance(0.4) {
				s.blocked[[2]*node{n, a}] = direction != 1
				s.blocked[[2]*node{a, n}] = direction != 2
			}
		}
	}
	s.later(12*time.Second, func() {
		s.log("clients and aggregators are no longer separated")
		clear(s.blocked)
		s.parted = false
	})
}

// checkChangesOfAggregators checks that no count of a client changes if an aggregator starts or
// ends and another one has all counts.
func (s *sim) checkChangesOfAggregators() {
	s.log("only aggregators start and end")
	s.faults.maxDelay = s.between(time.Millisecond, 30*time.Millisecond)
	s.steady, s.lossy = true, s.chance(0.3)
	if s.lossy {
		// Clients also move between running aggregators. No aggregator restarts: its successor would
		// be preferred to the backup, and can lack the counts of a node whose messages are lost.
		s.faults.loss, s.faults.reorder = 0.05, 0.2
	}
	for range 1 + s.rand.IntN(4) {
		degradedUntil := s.now
		all := s.running(Aggregator)
		switch n := all[s.rand.IntN(len(all))]; {
		case len(all) == 1 || len(all) < 5 && s.chance(0.4):
			s.start(Aggregator, fmt.Sprint("new", s.started))
		default:
			bye := s.chance(0.5)
			failover := s.failover(bye)
			if !s.lossy {
				s.at(s.now+failover, func() { s.checkFailover(n, failover) })
			}
			if bye {
				degradedUntil += failover // the clients know at once that the aggregator has left
			}
			s.end(n, bye)
			sameName := func(other *node) bool { return other.name == n.name }
			if s.chance(0.5) && !s.lossy && !slices.ContainsFunc(s.nodes, sameName) {
				s.start(Aggregator, n.name)
			}
		}
		for end := s.now + 20*beat; s.now < end; s.step(0, beat) {
			s.get(s.randomProcess(), fmt.Sprint("room", s.rand.IntN(s.rooms)))
			for _, n := range s.running(Client) {
				if reasons := n.m.Reasons(s.now); len(reasons) > 0 && s.now > degradedUntil && !s.lossy {
					s.fail("%v is degraded: %v", n, reasons)
				}
			}
		}
	}
	s.faults = noFaults
	s.advance(s.now + 20*beat)
	s.steady = false
	if !s.garbled { // names can be wrong
		s.checkPlacement()
	}
}

// failover returns the time within which the clients replace an aggregator that has ended. After a
// crash, they notice this after two and a half heartbeat intervals. They request its shards from the
// backup within a quarter of an interval; the backup, which has all counts, publishes them with its
// next flush. There is one message for each step.
func (s *sim) failover(bye bool) time.Duration {
	wait := s.slowest/4 + s.relay() + 3*s.faults.maxDelay
	if !bye {
		wait += s.slowest * 5 / 2
	}
	return wait
}

// checkFailover checks that no client uses an aggregator that has ended.
func (s *sim) checkFailover(ended *node, within time.Duration) {
	for _, n := range s.running(Client) {
		for p := range n.m.client.inUse() {
			if p.id == ended.m.cfg.ID {
				s.fail("%v uses %v, which has ended before %v", n, ended, within)
			}
		}
	}
}

// checkPlacement checks that all clients use the same aggregators.
func (s *sim) checkPlacement() {
	var first *node
	for _, n := range s.running(Client) {
		if first == nil {
			first = n
		}
		for shard, p := range n.m.client.sources {
			if p == nil || p != n.m.client.placed[shard].primary || p.name != first.m.client.sources[shard].name {
				s.fail("%v has another aggregator of shard %d than %v", n, shard, first)
				return
			}
		}
	}
}

// checkUnchanged checks that a part does not change the counts of other nodes.
func (t *mapTable) checkUnchanged(now occupancy.Part) {
	before := t.Get(now.Room)
	if t.node.s.garbled && !t.node.sees(now.Room) {
		return // an aggregator has published a room to a wrong client
	}
	if toRoomCounts(before.Occupancy) != toRoomCounts(now.Occupancy) || !slices.Equal(before.Users, now.Users) {
		t.node.s.fail("the counts of %v in %q change from %+v to %+v", t.node, now.Room, before, now)
	}
}
