package core

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/occupancy/occupancy"
)

var (
	exploreFaults = flag.Int("explore.faults", 2, "explore all schedules with up to this number of faults")
	exploreSlots  = flag.Int("explore.slots", 2, "explore all schedules with this number of slots")
)

// The limits of a schedule, and its times.
const (
	maxRestarts = 2
	maxLosses   = 2
	slotLength  = beat / 2
	longFault   = lease + 4*beat        // a peer that is silent for this time becomes Missing
	longOutage  = lease + hold + 2*beat // also after a mass loss
	longDelay   = beat * 3 / 2          // the next heartbeat overtakes a message with this delay
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
	t.Parallel()
	explore(t, explorer{}, *exploreFaults)
}

// The same is true for two clients and two aggregators. These exchange more messages, so that the
// schedules have one fault less.
func TestExplore_Aggregators_EverySchedule(t *testing.T) {
	t.Parallel()
	explore(t, explorer{service: true}, *exploreFaults-1)
}

// explore runs every schedule with up to the given number of faults.
func explore(t *testing.T, kind explorer, most int) {
	for faults := range most + 1 {
		x := kind
		x.faults = faults
		for more := true; more; more = x.nextSchedule() {
			if err := x.run(nil); err != nil {
				_ = x.run(t.Logf)
				t.Fatalf("shortest schedule: %d faults: %v", faults, err)
			}
		}
		t.Logf("%d faults: %d schedules", faults, x.schedules)
	}
}

// explorer runs schedules. It runs each schedule from the beginning, because a Machine
// cannot be copied. It does not recognize states of earlier schedules: few schedules lead to
// the same state, so comparing states took longer than it saved.
type explorer struct {
	*sim
	service   bool // with clients and aggregators
	faults    int  // the maximum number of faults in a schedule
	schedules int

	// path contains the choices of the current schedule. The first pos choices are made.
	path []choice
	pos  int

	slot         int
	open         bool // this slot has choices
	faultsLeft   int
	lossesLeft   int
	restartsLeft int
	byes         [][2]*node // the Byes that have arrived: from, to
}

// choice is an option of a schedule: 0 is no fault.
type choice struct{ option, options int }

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
	if x.path[x.pos].options != options {
		x.fail("a schedule does not repeat exactly")
	}
	option := x.path[x.pos].option
	x.pos++
	x.faultsLeft -= toInt(option > 0)
	return option
}

// run runs the current schedule.
func (x *explorer) run(logf func(string, ...any)) error {
	x.schedules++
	x.sim = newSim(1, logf)
	x.pos, x.slot, x.open, x.byes = 0, *exploreSlots, false, nil
	x.faultsLeft, x.lossesLeft, x.restartsLeft = x.faults, maxLosses, maxRestarts
	x.interval, x.slowest = 0, beat
	x.long = 10 // no node forgets a running node
	x.fate, x.lossy = x.chooseFate, true
	x.aggregators = x.service
	roles := []Role{Mesh, Mesh, Mesh}
	if x.service {
		roles = []Role{Client, Aggregator, Client, Aggregator}
	}
	for i, role := range roles {
		x.startNode(role, string(rune('a'+i)))
	}
	x.advance(beat * 5 / 4)
	for _, n := range x.processes() {
		x.change(n, "room0")
	}
	x.advance(beat * time.Duration(9+8*toInt(x.service)) / 4) // the clients wait until aggregators have greeted all nodes
	x.checkHealth()
	x.checkByes()
	faultEnded := false
	for x.slot = 0; x.slot < *exploreSlots || faultEnded || len(x.repairs) > 0; x.slot++ {
		if x.open = x.slot < *exploreSlots || faultEnded; x.open {
			x.chooseFault()
			if processes := x.processes(); len(processes) > 0 {
				x.change(processes[x.slot%len(processes)], fmt.Sprint("room", x.slot%2))
			}
		}
		faults := len(x.repairs)
		x.endSlot()
		faultEnded = len(x.repairs) < faults
	}
	x.open = false
	x.log("the faults have ended")
	x.long = 0 // no peer is Missing, so settle need not wait until peers are forgotten
	x.settle()
	return x.err
}

func (x *explorer) startNode(role Role, name string) {
	x.start(role, name)
	x.nodes[len(x.nodes)-1].m.slack = 0 // a sync request is often answered with a snapshot
}

// change makes an empty room not empty, and another room empty. No two processes and slots
// have the same counts.
func (x *explorer) change(n *node, room string) {
	if n.counts[room].Connections > 0 {
		n.counts[room], n.clients[room] = occupancy.Occupancy{}, nil
	} else {
		connections := 100*n.started + 10*x.slot + 1
		n.counts[room] = occupancy.Occupancy{Connections: connections, PresenceMembers: 1, Users: 1}
		n.clients[room] = map[string]int{fmt.Sprint(connections): 1}
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

// checkByes checks that no node has a peer again whose Bye has arrived.
func (x *explorer) checkByes() {
	x.at(x.now+slotLength, x.checkByes)
	for _, pair := range x.byes {
		if from, to := pair[0], pair[1]; !to.ended && to.held == nil && to.m.members.byID[from.m.cfg.ID] != nil {
			x.fail("%v has the peer %v again, which has sent a Bye", to, from)
		}
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
	if option > 0 || msg.Kind != Heartbeat {
		x.log("%v to %v: %s%s", from, to, kindNames[msg.Kind], []string{"", " is lost", " is late"}[option])
	}
	if msg.Kind == Bye && option == 0 {
		x.byes = append(x.byes, [2]*node{from, to})
	}
	return lost, delay
}

var kindNames = []string{"", "Digest", "Heartbeat", "Bye", "Query", "Answer", "SyncRequest", "SyncReply"}

// faultKind is a fault of a node. The function begin returns a function that ends the fault
// after some time, or nil.
type faultKind struct {
	does    string
	restart bool
	lasts   time.Duration
	begin   func(x *explorer, n *node) (end func())
}

var faultKinds = []faultKind{
	{"crashes and restarts", true, 0, func(x *explorer, n *node) func() {
		x.end(n, false)
		x.startNode(n.role, n.name)
		return nil
	}},
	{"sends Bye and restarts", true, 0, func(x *explorer, n *node) func() {
		x.end(n, true)
		x.startNode(n.role, n.name)
		return nil
	}},
	{"crashes and restarts later", true, longFault, func(x *explorer, n *node) func() {
		x.end(n, false)
		return func() { x.startNode(n.role, n.name) }
	}},
	{"does not reach the next node", false, longFault, func(x *explorer, n *node) func() {
		return x.cut([2]*node{n, x.after(n, 1)})
	}},
	{"does not reach the node after the next", false, longFault, func(x *explorer, n *node) func() {
		return x.cut([2]*node{n, x.after(n, 2)})
	}},
	{"is isolated", false, longFault, func(x *explorer, n *node) func() {
		var links [][2]*node
		for _, other := range x.nodes {
			links = append(links, [2]*node{n, other}, [2]*node{other, n})
		}
		n.dropped = n.m.Dropped
		repair := x.cut(links...)
		return func() {
			x.checkOneFault(n, "at a mass loss")
			repair()
		}
	}},
	{"is disconnected", false, longOutage, func(x *explorer, n *node) func() {
		n.outage, n.dropped = true, n.m.Dropped
		n.input(func() { n.m.SetConnected(false, x.now) })
		return func() {
			n.outage = false
			x.checkNoneDropped(n, "while disconnected")
			n.input(func() { n.m.SetConnected(true, x.now) })
			x.at(x.now+noFaults.maxDelay, func() { x.checkOneFault(n, "after an outage") })
		}
	}},
	{"is paused", false, longFault, func(x *explorer, n *node) func() {
		n.stalled, n.dropped = true, n.m.Dropped
		return func() {
			n.resume()
			x.at(x.now+noFaults.maxDelay, func() { x.checkOneFault(n, "after a pause") })
		}
	}},
}

// checkOneFault checks that a node has dropped no peer, if this is the only fault.
func (x *explorer) checkOneFault(n *node, when string) {
	if x.faults == 1 {
		x.checkNoneDropped(n, when)
	}
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
	if end := f.begin(x, f.node); end != nil {
		x.repairs = append(x.repairs, repair{x.now + f.lasts, func() {
			x.log("%v: the fault ends", f.node)
			end()
		}})
	}
}
