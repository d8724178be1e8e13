package core

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/occupancy/occupancy"
)

var (
	exploreFaults = flag.Int("explore.faults", 2, "explore all schedules with up to this number of faults")
	exploreSlots  = flag.Int("explore.slots", 3, "explore all schedules with this number of slots")
)

// The limits of a schedule, and its times.
const (
	maxRestarts = 2
	maxLosses   = 2
	slotLength  = beat / 2
	longFault   = lease + 4*beat // after this time, a silent peer has become Missing
	longDelay   = beat * 3 / 2   // the next heartbeat overtakes a message with this delay
)

// The counts are right after every schedule with up to explore.faults faults: each node is
// degraded while a count is wrong, and all counts become exact and remain exact. The test
// runs every schedule on real Machines, in the order of the number of faults. Therefore the
// first failure is one of the shortest.
//
// A schedule has three nodes and two rooms. After all nodes are synchronized, there are
// explore.slots slots of half a heartbeat, and one more slot after the end of each long
// fault. In each slot, one of the nodes changes a room. A schedule chooses:
//   - for each slot: no fault, or one of faultKinds on one node. At most two of the faults
//     are restarts.
//   - for each message between two nodes in a slot: it is delivered, lost, or delivered after
//     the next heartbeat. At most two messages are lost or late.
//
// The schedules do not include: changes and faults at other times, other orders of messages
// with the same delay, more nodes, damaged messages, an overloaded node, messages that a node
// sends to itself and that are lost alone, digests of more than one message, two running
// nodes with the same name, and peers that are forgotten. The simulations have most of
// these, at random.
func TestExplore_EverySchedule(t *testing.T) {
	for faults := range *exploreFaults + 1 {
		x := explorer{faults: faults, seen: map[uint64]bool{}}
		for more := true; more; more = x.nextSchedule() {
			if err := x.run(nil); err != nil {
				_ = x.run(t.Logf)
				t.Fatalf("%d faults, schedule %d: %v", faults, x.schedules, err)
			}
		}
		t.Logf("%d faults: %d schedules, %d states", faults, x.schedules, len(x.seen))
	}
}

// explorer runs schedules. It runs each schedule from the beginning, because a Machine
// cannot be copied.
type explorer struct {
	*sim
	faults    int // the number of faults in a schedule
	schedules int
	seen      map[uint64]bool // the hashes of the states at the slots

	// path contains the choices of the current schedule. The first pos choices are made.
	path []choice
	pos  int

	slot         int
	open         bool // this slot has choices
	faultsLeft   int
	lossesLeft   int
	restartsLeft int
	pending      []pendingEvent
}

// choice is an option of a schedule: 0 is no fault.
type choice struct{ option, options int }

// pendingEvent is an event that is part of the state.
type pendingEvent struct {
	at   time.Duration
	hash uint64
}

// nextSchedule changes the last choice that has another option. It returns false if there is
// no such choice.
func (x *explorer) nextSchedule() bool {
	for len(x.path) > 0 {
		last := &x.path[len(x.path)-1]
		if last.option++; last.option < last.options {
			return true
		}
		x.path = x.path[:len(x.path)-1]
	}
	return false
}

// choose returns the option of the current schedule. After the choices of path, it returns 0.
func (x *explorer) choose(options int) int {
	if x.faultsLeft == 0 || !x.open {
		return 0
	}
	if x.pos == len(x.path) {
		x.path = append(x.path, choice{0, options})
	}
	x.pos++
	option := x.path[x.pos-1].option
	x.faultsLeft -= toInt(option > 0)
	return option
}

// run runs the current schedule.
func (x *explorer) run(logf func(string, ...any)) error {
	x.schedules++
	x.sim = newSim(1, logf)
	x.pos, x.slot, x.open, x.pending = 0, *exploreSlots, false, nil
	x.faultsLeft, x.lossesLeft, x.restartsLeft = x.faults, maxLosses, maxRestarts
	x.interval, x.long, x.slowest = 0, 1, beat
	x.fate, x.lossy = x.chooseFate, true
	for _, name := range []string{"a", "b", "c"} {
		x.startNode(name)
	}
	x.advance(beat * 5 / 4)
	for _, n := range x.nodes {
		x.change(n, "room0")
	}
	x.advance(beat * 9 / 4)
	x.checkHealth()
	faultEnded := false
	for x.slot = 0; x.slot < *exploreSlots || faultEnded || len(x.repairs) > 0; x.slot++ {
		if x.known() {
			return x.err
		}
		if x.open = x.slot < *exploreSlots || faultEnded; x.open {
			x.chooseFault()
			x.change(x.nodes[x.slot%len(x.nodes)], fmt.Sprint("room", x.slot%2))
		}
		faults := len(x.repairs)
		x.endSlot()
		faultEnded = len(x.repairs) < faults
	}
	if x.open = false; !x.known() {
		x.log("the faults have ended")
		x.settle()
	}
	return x.err
}

func (x *explorer) startNode(name string) {
	x.rand = rand.New(rand.NewPCG(uint64(x.started), 0)) // the incarnation depends only on the state
	x.start(name)
	x.nodes[len(x.nodes)-1].m.ledger.slack = 0 // a sync request is often answered with a snapshot
}

// change makes an empty room not empty, and another room empty. No two processes and slots
// have the same counts.
func (x *explorer) change(n *node, room string) {
	if n.counts[room].Connections > 0 {
		n.counts[room] = occupancy.Occupancy{}
	} else {
		n.counts[room] = occupancy.Occupancy{Connections: 100*n.started + 10*x.slot + 1}
	}
	x.log("%v has %d connections in %s", n, n.counts[room].Connections, room)
	x.changed[room] = x.now
	n.changed(room)
}

// endSlot waits until the next slot.
func (x *explorer) endSlot() {
	x.advance(x.now + slotLength)
	x.repair(x.now)
	if x.logf == nil {
		return
	}
	for _, n := range x.nodes {
		x.log("%v: %v, degraded: %v", n, n.totals(), n.m.Reasons(x.now))
	}
}

// chooseFate chooses whether a message is lost or late.
func (x *explorer) chooseFate(from, to *node, msg Message) (lost bool, delay time.Duration) {
	option := 0
	if x.lossesLeft > 0 {
		option = x.choose(3)
	}
	x.lossesLeft -= toInt(option > 0)
	lost = option == 1
	if option == 2 {
		delay = longDelay
	}
	x.log("%v to %v: %s%s", from, to, kindNames[msg.Kind], []string{"", " is lost", " is late"}[option])
	if !lost {
		at := x.now + noFaults.maxDelay + delay
		x.remember(at, uint64(to.started), uint64(msg.Kind), hashName(msg.Payload))
	}
	return lost, delay
}

var kindNames = []string{"", "Digest", "Heartbeat", "Bye", "Query", "Answer", "SyncRequest", "SyncReply"}

// remember adds a pending event to the state.
func (x *explorer) remember(at time.Duration, about ...uint64) {
	hash := uint64(at)
	for _, part := range about {
		hash = mix(hash*31 + part)
	}
	x.pending = append(x.pending, pendingEvent{at, hash})
}

// faultKind is a fault of a node. The function begin returns a function that ends the fault
// after the time longFault, or nil.
type faultKind struct {
	does    string
	restart bool
	begin   func(x *explorer, n *node) (end func())
}

var faultKinds = []faultKind{
	{"crashes and restarts", true, func(x *explorer, n *node) func() {
		x.end(n, false)
		x.startNode(n.name)
		return nil
	}},
	{"sends Bye and restarts", true, func(x *explorer, n *node) func() {
		x.end(n, true)
		x.startNode(n.name)
		return nil
	}},
	{"crashes and restarts later", true, func(x *explorer, n *node) func() {
		x.end(n, false)
		return func() { x.startNode(n.name) }
	}},
	{"does not reach the next node", false, func(x *explorer, n *node) func() {
		return x.cut([2]*node{n, x.after(n, 1)})
	}},
	{"does not reach the node after the next", false, func(x *explorer, n *node) func() {
		return x.cut([2]*node{n, x.after(n, 2)})
	}},
	{"is isolated", false, func(x *explorer, n *node) func() {
		var links [][2]*node
		for _, other := range x.nodes {
			links = append(links, [2]*node{n, other}, [2]*node{other, n})
		}
		return x.cut(links...)
	}},
	{"is disconnected", false, func(x *explorer, n *node) func() {
		n.outage = true
		n.input(func() { n.m.SetConnected(false, x.now) })
		return func() {
			n.outage = false
			n.input(func() { n.m.SetConnected(true, x.now) })
		}
	}},
	{"is paused", false, func(_ *explorer, n *node) func() {
		n.stalled = true
		return n.resume
	}},
}

// after returns a node after n, in the order of their starts.
func (x *explorer) after(n *node, i int) *node {
	return x.nodes[(slices.Index(x.nodes, n)+i)%len(x.nodes)]
}

// cut stops the delivery on the links until the returned function is called.
func (x *explorer) cut(links ...[2]*node) func() {
	for _, link := range links {
		x.blocked[link] = true
	}
	return func() {
		for _, link := range links {
			delete(x.blocked, link)
		}
	}
}

// chooseFault chooses at most one fault for this slot.
func (x *explorer) chooseFault() {
	type fault struct {
		*node
		faultKind
	}
	faults := []fault{{}}
	for _, n := range x.nodes {
		for _, kind := range faultKinds {
			if (x.restartsLeft > 0 || !kind.restart) && !n.outage && !n.stalled {
				faults = append(faults, fault{n, kind})
			}
		}
	}
	option := x.choose(len(faults))
	if option == 0 {
		return
	}
	f := faults[option]
	x.log("%v %s", f.node, f.does)
	x.restartsLeft -= toInt(f.restart)
	x.crashed = true // leases can expire
	if end := f.begin(x, f.node); end != nil {
		at := x.now + longFault
		x.repairs = append(x.repairs, repair{at, func() {
			x.log("%v: the fault ends", f.node)
			end()
		}})
		x.remember(at, hashName(f.does), uint64(f.started))
	}
}
