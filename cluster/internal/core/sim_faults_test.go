package core

import (
	"slices"
	"time"
)

// chooseFaults chooses the kinds of faults of this simulation. It returns a function that
// starts a random fault.
func (s *sim) chooseFaults() func() {
	all := []func(){
		s.badNetwork, s.badNetwork, s.partition, s.partition,
		s.crashOrBye, s.restart, s.duplicateName, s.disconnect, s.stall, s.lose,
		s.mute, s.mute, s.slowNetwork, s.forbid, s.forbid,
	}
	if s.aggregators {
		all = append(all, s.endAggregators, s.endAggregators, s.restartAggregator, s.restartAggregator,
			s.addAggregator, s.separate, s.separate)
	}
	if s.chance(0.2) {
		all = append(all, s.garble, s.garble)
	}
	s.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all = all[:1+s.rand.IntN(len(all))]
	return func() {
		if !s.undisturbed {
			all[s.rand.IntN(len(all))]()
		}
	}
}

// later schedules the end of a fault.
func (s *sim) later(most time.Duration, do func()) {
	s.repairs = append(s.repairs, repair{s.now + s.between(0, most*s.long), do})
}

func (s *sim) badNetwork() {
	s.faults = faults{
		loss:      s.rand.Float64() * 0.2,
		duplicate: s.rand.Float64() * 0.1,
		reorder:   s.rand.Float64() * 0.3,
		minDelay:  time.Millisecond,
		maxDelay:  s.between(time.Millisecond, 300*time.Millisecond),
	}
	s.log("the network: %+v", s.faults)
	s.lossy = true
}

// slowNetwork delays all messages for longer than the lease allows, and then for less.
func (s *sim) slowNetwork() {
	f := s.faults
	s.faults = faults{minDelay: time.Second, maxDelay: s.between(time.Second, 9*time.Second)}
	s.log("the network: %+v", s.faults)
	s.lossy, s.crashed = true, true // leases expire
	s.later(12*time.Second, func() { s.faults = f })
}

// mute loses all messages to or from one bus, although the bus is connected.
func (s *sim) mute() {
	if s.parted {
		return
	}
	n, receives := s.randomNode(), s.chance(0.5)
	s.log("%v is mute, and receives: %v", n, receives)
	s.parted = true
	for _, other := range s.nodes {
		s.blocked[[2]*node{n, other}] = receives
		s.blocked[[2]*node{other, n}] = !receives
	}
	s.blocked[[2]*node{n, n}] = true
	s.later(12*time.Second, func() {
		s.log("%v is no longer mute", n)
		clear(s.blocked)
		s.parted = false
	})
}

// forbid takes a node's permission to publish, or to receive, one kind of messages.
func (s *sim) forbid() {
	p := permission{s.randomNode(), 1 + Kind(s.rand.IntN(int(SyncReply))), s.chance(0.5)}
	s.log("%v is not allowed to publish or receive %+v", p.node, p)
	s.forbidden[p] = true
	s.lossy, s.crashed = true, true // leases expire
	s.later(12*time.Second, func() { delete(s.forbidden, p) })
}

func (s *sim) garble() {
	s.garbled, s.lossy = true, true
	s.log("payloads are altered")
	s.faults = faults{garble: 0.05, minDelay: time.Millisecond, maxDelay: 5 * time.Millisecond}
}

func (s *sim) partition() {
	if s.parted {
		return
	}
	side := map[*node]int{}
	for _, n := range s.nodes {
		side[n] = s.rand.IntN(2)
	}
	oneWay := s.chance(0.3)
	s.log("partition: %v, only from 0 to 1: %v", side, oneWay)
	var isolated []*node
	if !oneWay {
		isolated = s.isolated(side)
	}
	s.parted = true
	began := s.now
	for _, from := range s.nodes {
		for _, to := range s.nodes {
			s.blocked[[2]*node{from, to}] = side[from] < side[to] || !oneWay && side[from] > side[to]
		}
	}
	s.later(12*time.Second, func() {
		s.log("the partition heals")
		for _, n := range isolated {
			if s.now < began+lease+hold {
				s.checkNoneDropped(n, "at a mass loss")
			}
		}
		clear(s.blocked)
		s.parted, s.undisturbed = false, false
	})
}

// isolated returns the nodes that lose more than half of three or more peers because of a
// partition. These nodes must not drop peers if there is no other fault, so the function
// prevents other faults during the partition. In half of the cases, at random, it allows
// other faults and returns nil.
func (s *sim) isolated(side map[*node]int) (isolated []*node) {
	if !s.allBusesOK() || s.chance(0.5) {
		return nil
	}
	for _, n := range s.nodes {
		peers := s.peersOf(n)
		status, names := n.m.Peers(s.now), map[string]bool{n.name: true}
		healthy := len(n.m.Reasons(s.now)) == 0 && len(status) == len(peers)
		for _, p := range status {
			// A replaced peer does not count as lost. A peer without a recent heartbeat is lost
			// earlier than the other peers.
			healthy = healthy && p.SinceHeartbeat < 3*beat/2 && !names[p.Name]
			names[p.Name] = true
		}
		if !healthy {
			return nil
		}
		n.dropped = n.m.Dropped
		lost := 0
		for _, other := range peers {
			lost += toInt(side[other] != side[n])
		}
		if len(peers) >= 3 && 2*lost > len(peers) {
			isolated = append(isolated, n)
		}
	}
	s.undisturbed = true
	return isolated
}

func (s *sim) crashOrBye() {
	least := 3
	if s.aggregators {
		least = 1
	}
	if n := s.randomNode(); len(s.running(n.role)) > least {
		s.end(n, s.chance(0.5))
		s.crashed = true
	}
}

func (s *sim) restart() {
	n := s.randomNode()
	s.end(n, s.chance(0.3))
	if s.faults != noFaults {
		s.crashed = true // a late heartbeat of n, after those of its successor, restores the lease of n
	}
	if s.chance(0.5) {
		s.step(0, 3*time.Second)
	}
	s.start(n.role, n.name)
}

func (s *sim) duplicateName() {
	if len(s.nodes) < 8 && s.long == 1 { // checkHealth does not check nodes with the same name
		n := s.randomNode()
		s.start(n.role, n.name)
	}
}

func (s *sim) lose() {
	n := s.randomNode()
	n.overflow = 1 + s.rand.IntN(30)
	s.log("%v loses %d messages, as its channel is full", n, n.overflow)
	s.lossy = true
}

// disconnect disconnects a bus for some time. During this time, its node must not drop
// peers.
func (s *sim) disconnect() {
	n := s.randomNode()
	if n.outage || n.stalled {
		return
	}
	s.log("%v disconnects", n)
	n.outage, n.dropped = true, n.m.Dropped
	n.input(func() { n.m.SetConnected(false, s.now) })
	s.later(12*time.Second, func() {
		s.log("%v reconnects", n)
		n.outage = false
		s.checkNoneDropped(n, "while disconnected")
		n.input(func() { n.m.SetConnected(true, s.now) })
	})
}

// stall pauses a process for some time. The process must not drop peers when it resumes.
func (s *sim) stall() {
	n := s.randomNode()
	if n.outage || n.stalled {
		return
	}
	s.log("%v is paused", n)
	n.stalled = true
	s.step(n.m.cfg.Heartbeat, n.m.cfg.Heartbeat+1) // the node stops within this time, because it publishes a heartbeat
	n.dropped = n.m.Dropped
	begun := s.now
	s.later(12*time.Second, func() {
		s.log("%v resumes", n)
		n.resume()
		s.step(0, time.Millisecond)
		if s.now-begun > 2*n.m.cfg.Heartbeat { // the pause was longer than a heartbeat interval
			s.checkNoneDropped(n, "after a pause")
		}
	})
}

func (s *sim) checkNoneDropped(n *node, when string) {
	if slices.Contains(s.nodes, n) && n.m.Dropped != n.dropped {
		s.fail("%v dropped %d peers %s", n, n.m.Dropped-n.dropped, when)
	}
}
