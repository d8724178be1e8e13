package core

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/occupancy/occupancy"
)

// The times of a simulated node.
const (
	beat   = time.Second
	lease  = 5 * beat
	hold   = 15 * time.Second
	forget = 20 * time.Second
)

// sim is a simulation: nodes, faults, and the true counts of the rooms.
type sim struct {
	network
	rand     *rand.Rand
	logf     func(string, ...any)
	rooms    int
	nodes    []*node // running
	started  int
	interval time.Duration // the shortest time between two events of a room
	long     time.Duration // a factor for the lengths of the faults
	slowest  time.Duration // the longest heartbeat interval of a node
	err      error         // the first error

	lossy       bool     // messages were lost
	garbled     bool     // payloads were altered
	crashed     bool     // a node stopped, and possibly another node received no Bye
	parted      bool     // the network is partitioned
	undisturbed bool     // if true, no other fault can start
	repairs     []repair // the repairs of the current faults

	syncs   map[[2]Incarnation]time.Duration // the times of the last sync requests
	changed map[string]time.Duration         // the times of the last changes of the rooms

	ambiguousAt time.Duration // when two nodes had the same name

	aggregators bool                  // the service consists of clients and aggregators
	all         map[Incarnation]*node // all nodes, including those that have ended
	steady      bool                  // no client's counts of other nodes change
}

// repair ends a fault.
type repair struct {
	at time.Duration
	do func()
}

func newSim(seed uint64, logf func(string, ...any)) *sim {
	s := &sim{
		network: network{
			faults:    noFaults,
			blocked:   map[[2]*node]bool{},
			forbidden: map[permission]bool{},
			earliest:  map[[2]*node]time.Duration{},
		},
		rand:  rand.New(rand.NewPCG(seed, 0)),
		logf:  logf,
		syncs: map[[2]Incarnation]time.Duration{},

		changed: map[string]time.Duration{},
		all:     map[Incarnation]*node{},
	}
	s.long, s.slowest = 1, beat
	if s.chance(0.1) {
		s.long = 4
	}
	if s.chance(0.1) {
		s.slowest = 3 * beat
	}
	s.rooms = 3 + s.rand.IntN(30)
	if s.chance(0.25) {
		s.interval = 100 * time.Millisecond
	}
	return s
}

func (s *sim) log(format string, args ...any) {
	if s.logf != nil {
		s.logf("%v: "+format, append([]any{s.now}, args...)...)
	}
}

func (s *sim) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("after %v: "+format, append([]any{s.now}, args...)...)
		s.log("%v", s.err)
	}
}

// checkSyncRequest checks the time between two sync requests to one peer.
func (s *sim) checkSyncRequest(from *node, msg Message) {
	var r syncRequest
	if !r.decode(msg.Payload) {
		s.fail("%v publishes an invalid sync request", from)
	}
	pair := [2]Incarnation{r.from, r.to}
	if last, ok := s.syncs[pair]; ok && s.now-last < beat {
		s.fail("%v sends a sync request to the same peer again after %v", from, s.now-last)
	}
	s.syncs[pair] = s.now
}

// between returns a random time.
func (s *sim) between(least, most time.Duration) time.Duration {
	return least + time.Duration(s.rand.Int64N(int64(most-least)+1))
}

// step waits for a random time.
func (s *sim) step(least, most time.Duration) { s.advance(s.now + s.between(least, most)) }

func (s *sim) chance(p float64) bool { return p > 0 && s.rand.Float64() < p }

func (s *sim) randomNode() *node { return s.nodes[s.rand.IntN(len(s.nodes))] }

func (n *node) String() string { return fmt.Sprintf("%s.%d", n.name, n.started) }

// start starts a process.
func (s *sim) start(role Role, name string) {
	s.started++
	n := &node{
		s:       s,
		name:    name,
		role:    role,
		started: s.started,
		tables:  map[*mapTable]struct{}{},
		known:   map[Incarnation]time.Duration{},
		counts:  map[string]occupancy.Occupancy{},
		last:    map[string]roomEvent{},
		pending: map[string]occupancy.Occupancy{},
		clients: map[string]map[string]int{},
		users:   map[string][]uint64{},
		offset:  s.between(0, time.Second),

		interest: map[string]bool{},
		told:     map[string]bool{},
	}
	cfg := Config{
		Name:           name,
		Role:           role,
		Heartbeat:      beat,
		Lease:          lease,
		Hold:           hold,
		Forget:         forget * s.long, // longer than all faults: a node forgets no running node
		ExpectedNodes:  1,
		MaxPeers:       100,
		MaxRooms:       1000,
		MaxCount:       1 << 30,
		MaxUsers:       simUsers,
		FlushSize:      700, // about 25 rooms
		ReplySize:      800,
		TombstoneSlack: s.rand.IntN(4),
		Local:          func(room string) occupancy.Occupancy { return n.counts[room] },
		NewTable:       n.newTable,
		NextFlush:      n.nextFlush,
		Yield:          func() {},
	}
	if role == Client {
		cfg.Everything = s.chance(0.2)
	}
	if s.chance(0.4) {
		cfg.Heartbeat, cfg.Lease = s.slowest, 5*s.slowest
	}
	for i := range cfg.ID {
		cfg.ID[i] = byte(s.rand.Uint32())
	}
	n.m = New(cfg)
	n.m.Start(s.now)
	n.m.SetConnected(true, s.now)
	s.log("%v starts", n)
	s.nodes = append(s.nodes, n)
	s.all[cfg.ID] = n
	s.step(0, time.Millisecond)
}

// end stops a process: with a Bye, or without a Bye like a crash.
func (s *sim) end(n *node, bye bool) {
	s.log("%v ends, bye: %v", n, bye)
	received := bye && s.allBusesOK()
	if bye && n.held == nil {
		n.m.Stop()
		n.perform()
	}
	s.nodes = slices.DeleteFunc(s.nodes, func(other *node) bool { return other == n })
	n.ended = true
	for room := range n.counts {
		s.changed[room] = s.now
	}
	s.step(2*time.Millisecond, 3*time.Millisecond) // the Bye is delivered
	if !received {
		return
	}
	s.advance(s.now + s.faults.maxDelay)
	for _, other := range s.nodes {
		if other.m.members.byID[n.m.cfg.ID] != nil {
			s.fail("%v still has the peer %v, which has sent a Bye", other, n)
		}
	}
}

// allBusesOK reports whether no bus has a fault.
func (s *sim) allBusesOK() bool {
	return !s.lossy && !s.parted && !slices.ContainsFunc(s.nodes, func(n *node) bool { return n.outage || n.stalled })
}

// checkHealth checks that no node was healthy and wrong for longer than the longest lease. A fault
// has an effect when the last message has arrived, and is detected up to a heartbeat later.
// A node cannot detect that it or its aggregator does not know a node, unless it knew it before.
// If a second node of the same name starts, a lost node may be dropped as its previous
// incarnation.
func (s *sim) checkHealth() {
	s.at(s.now+beat/2, s.checkHealth)
	since, known := s.now-s.detection(), truths{}
	names := map[string]bool{}
	for _, n := range s.nodes {
		if names[n.name] {
			s.ambiguousAt = s.now
		}
		names[n.name] = true
		for id := range n.m.members.byID {
			if _, known := n.known[id]; !known {
				n.known[id] = s.now
			}
		}
	}
	for _, n := range s.nodes {
		if len(n.m.Reasons(s.now)) > 0 || n.held != nil {
			n.healthySince = s.now
		}
		if max(n.healthySince, s.ambiguousAt) > since || s.garbled {
			continue
		}
		has := n.totals()
		for room, at := range s.changed {
			if at > since || !n.sees(room) {
				continue
			}
			if sum := known.truth(n, room, since); sum != nil && !s.same(room, has[room], sum[room]) {
				s.fail("%v is healthy since %v, but has %+v in %q, not %+v", n, n.healthySince, has[room], room, sum[room])
			}
		}
	}
}

// detection returns the time within which a node is degraded after a fault: the longest lease and
// a heartbeat, after the arrival of the last message. An aggregator informs its clients with its next heartbeat.
func (s *sim) detection() time.Duration {
	if s.aggregators {
		return 7*s.slowest + 2*s.maxDelay
	}
	return 6*s.slowest + s.maxDelay
}

// truths are the true counts of the nodes that a node knows, by this node; nil if it knows one of
// them too recently to have its counts.
type truths map[*node]map[string]occupancy.Occupancy

// truth returns the counts that the node n must have in a room, and others: the sum of the nodes
// that n, or its aggregator of this room, knows.
func (t truths) truth(n *node, room string, since time.Duration) map[string]occupancy.Occupancy {
	knows := n.source(room)
	if sum, ok := t[knows]; ok || knows == nil {
		return sum
	}
	unknown := false
	sum := n.s.truth(func(other *node) bool {
		at, known := knows.known[other.m.cfg.ID]
		unknown = unknown || known && at > since
		return other == knows || known
	})
	if at, known := knows.known[n.m.cfg.ID]; n != knows && (!known || at > since) || unknown {
		sum = nil
	}
	t[knows] = sum
	return sum
}

// callHook changes the counts of a random room.
func (s *sim) callHook(n *node) {
	room := fmt.Sprint("room", s.rand.IntN(s.rooms))
	o := n.counts[room]
	switch k := s.rand.IntN(6); {
	case k < 2:
		o.Connections++
	case k < 3:
		client := fmt.Sprint("client", s.rand.IntN(20))
		if n.clients[room] == nil {
			n.clients[room] = map[string]int{}
		}
		n.clients[room][client]++
		o.PresenceMembers++
	case k < 5 && o.Connections > 0:
		o.Connections--
	case k == 5 && o.PresenceMembers > 0:
		clients := slices.Sorted(maps.Keys(n.clients[room]))
		client := clients[s.rand.IntN(len(clients))]
		if n.clients[room][client]--; n.clients[room][client] == 0 {
			delete(n.clients[room], client)
		}
		o.PresenceMembers--
		if s.chance(0.3) { // another client enters at the same time: the counts do not change
			n.clients[room][fmt.Sprint("client", s.rand.IntN(20))]++
			o.PresenceMembers++
		}
	}
	o.Users = len(n.clients[room])
	n.counts[room] = o
	s.changed[room] = s.now
	n.changed(room)
}

// startNodes starts the first nodes.
func (s *sim) startNodes() {
	if s.aggregators {
		s.startService()
		return
	}
	for i := range 3 + s.rand.IntN(6) {
		s.start(Mesh, fmt.Sprint("n", i))
	}
}

// run runs the simulation and returns the first error.
func (s *sim) run() error {
	s.startNodes()
	end := s.now + s.between(4*time.Second, 18*time.Second)*s.long
	startFault := s.chooseFaults()
	s.checkHealth()
	for s.err == nil && s.now < end {
		s.step(0, 60*time.Millisecond)
		s.repair(s.now)
		if s.chance(0.05) {
			startFault()
		}
		for range s.rand.IntN(3) {
			if s.long == 1 || s.chance(0.05) { // checkHealth needs rooms that do not change for some time
				s.callHook(s.randomProcess())
			}
		}
		if s.chance(0.004) {
			n := s.randomProcess()
			for range 60 {
				s.callHook(n)
			}
		}
		if s.aggregators {
			s.readRooms()
		}
	}
	s.repair(Never)
	s.startAggregators()
	clear(s.blocked)
	s.faults = noFaults
	for _, n := range s.nodes {
		n.overflow = 0
	}
	s.log("the faults stop")
	s.settle()
	if s.aggregators && s.err == nil {
		s.checkChangesOfAggregators()
	}
	return s.err
}

// settle checks that all counts become exact after the faults have ended, and that they
// remain exact.
func (s *sim) settle() {
	backoff, timeout, degradedAt := s.backoff(), time.Duration(0), s.now
	for stop := s.now; s.err == nil; s.step(0, 200*time.Millisecond) {
		n, wrong := s.mismatch()
		if wrong == nil {
			s.log("exact after %v", s.now-stop)
			s.checkStable()
			break
		}
		timeout = max(timeout, s.timeout()+backoff) // the state Held has ended before the aggregator publishes its end
		// If messages were only lost, each node detects this after two heartbeat intervals.
		mustDetect := !s.crashed && !s.garbled && s.now-stop > 2*s.slowest+s.maxDelay
		if len(n.m.Reasons(s.now)) > 0 || s.aggregators && !mustDetect {
			degradedAt = s.now
		}
		switch {
		case s.now-stop > timeout:
			s.fail("not exact after %v: %v", timeout, wrong)
		case mustDetect && len(n.m.Reasons(s.now)) == 0 && s.now-degradedAt >= s.relay():
			s.fail("not exact, and not degraded: %v", wrong)
		}
	}
}

// timeout returns the time within which all counts must be exact after the end of the
// faults, if no node backs off. Lost messages are detected at the next heartbeat, and
// requested at most one second after the last sync request. A crashed node, and a node that a garbled message
// seems to describe, is dropped one heartbeat interval after its lease, or after the hold
// time.
func (s *sim) timeout() time.Duration {
	delay := s.slowest + s.maxDelay // the longest delay of the last heartbeat
	if !s.crashed && !s.garbled {
		return delay + exact - beat + s.relay()
	}
	after := s.slowest
	for _, n := range s.nodes {
		if slices.ContainsFunc(n.m.members.peers, func(p *peer) bool { return p.state == Held }) {
			after = hold
		}
	}
	return delay + s.longestLease() + after + s.relay()
}

// longestLease returns the longest lease of a peer. A garbled heartbeat can contain a long
// heartbeat interval.
func (s *sim) longestLease() (longest time.Duration) {
	for _, n := range s.nodes {
		for _, p := range n.m.members.peers {
			longest = max(longest, n.m.members.lease(p))
		}
	}
	return longest
}

// backoff returns the additional time until the last node repeats a sync request.
func (s *sim) backoff() (longest time.Duration) {
	for _, n := range s.nodes {
		for _, p := range n.m.members.peers {
			if p.stream.behind() {
				next := p.stream.nextSync(p.flags&flagBacklog != 0, 0, 2*n.m.echo.delay)
				longest = max(longest, next-s.now-syncInterval)
			}
		}
	}
	return longest
}

// exact is the timeout if no lease has to expire, and no node backs off.
const exact = 2500 * time.Millisecond

// repair ends the faults that are due to end.
func (s *sim) repair(now time.Duration) {
	for _, r := range slices.Clone(s.repairs) {
		if now >= r.at {
			r.do()
		}
	}
	s.repairs = slices.DeleteFunc(s.repairs, func(r repair) bool { return now >= r.at })
}

// checkStable checks that the counts remain exact and that the nodes become healthy.
func (s *sim) checkStable() {
	s.advance(s.now + s.maxDelay + s.longestLease() + hold + forget*s.long + 2*s.slowest)
	if _, wrong := s.mismatch(); wrong != nil {
		s.fail("no longer exact: %v", wrong)
	}
	for _, n := range s.nodes {
		if len(n.m.Reasons(s.now)) > 0 || len(n.m.members.peers) != len(s.peersOf(n)) {
			s.fail("%v is not healthy: %+v", n, n.m.Peers(s.now))
		}
		if n.m.Mismatches > 0 && !s.garbled {
			s.fail("%v had a hash mismatch: %+v", n, n.m.Counters)
		}
	}
}

// truth returns the counts of all nodes that are included.
func (s *sim) truth(included func(*node) bool) map[string]occupancy.Occupancy {
	sum := totals{}
	for _, n := range s.nodes {
		if included(n) {
			sum.addNode(n)
		}
	}
	return sum.occupancies()
}

// same reports whether the counts of a room are right. The number of users is exact if every node,
// and every aggregator, publishes all users of the room.
func (s *sim) same(room string, has, want occupancy.Occupancy) bool {
	estimated := func(n *node) bool { return len(n.clients[room]) > simUsers }
	if slices.ContainsFunc(s.nodes, estimated) || s.aggregators && want.Users > simUsers {
		has.Users = want.Users
	}
	return has == want
}

// mismatch returns a node with a wrong count, and an error that describes this count.
func (s *sim) mismatch() (*node, error) {
	sum := s.truth(func(*node) bool { return true })
	for _, n := range s.nodes {
		has := n.totals()
		rooms := maps.Clone(has)
		maps.Copy(rooms, sum)
		for _, room := range slices.Sorted(maps.Keys(rooms)) {
			want := sum[room]
			if !n.sees(room) {
				want = occupancy.Occupancy{}
			}
			if !s.same(room, has[room], want) {
				return n, fmt.Errorf("%v has %+v in %q, not %+v", n, has[room], room, want)
			}
		}
	}
	return nil, nil
}
