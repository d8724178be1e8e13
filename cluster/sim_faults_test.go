package cluster_test

import (
	"slices"
	"time"

	"github.com/occupancy/occupancy/cluster/clustertest"
)

// faults chooses the kinds of faults of this simulation. It returns a function that starts
// a random fault.
func (s *sim) faults() func() {
	all := []func(){
		s.badNetwork, s.badNetwork, s.partition, s.partition,
		s.crashOrBye, s.restart, s.duplicateName, s.outage, s.stall, s.overflow,
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
	s.repairs = append(s.repairs, repair{s.now() + time.Duration(s.rand.Int64N(int64(most))), do})
}

func (s *sim) badNetwork() {
	f := clustertest.Faults{
		Loss:      s.rand.Float64() * 0.2,
		Duplicate: s.rand.Float64() * 0.1,
		Reorder:   s.rand.Float64() * 0.3,
		MinDelay:  time.Millisecond,
		MaxDelay:  time.Duration(1+s.rand.IntN(300)) * time.Millisecond,
	}
	s.logf("%v: the network: %+v", s.now(), f)
	s.lossy = true
	s.net.SetFaults(f)
}

func (s *sim) garble() {
	s.garbled, s.lossy = true, true
	s.logf("%v: payloads are altered", s.now())
	s.net.SetFaults(clustertest.Faults{Garble: 0.05, MinDelay: time.Millisecond, MaxDelay: 5 * time.Millisecond})
}

func (s *sim) partition() {
	if s.parted {
		return
	}
	var groups [2][]string
	for _, h := range s.hosts {
		side := s.rand.IntN(2)
		groups[side] = append(groups[side], h.bus.Name())
	}
	s.logf("%v: partition: %v", s.now(), groups)
	isolated := s.isolated(groups[:])
	s.parted = true
	s.net.Partition(groups[:]...)
	s.later(12*time.Second, func() {
		s.logf("%v: the partition heals", s.now())
		for _, h := range isolated {
			s.checkNoneDropped(h, "at a mass loss")
		}
		s.net.Partition()
		s.parted, s.undisturbed = false, false
	})
}

// isolated returns the nodes that lose more than half of three or more peers because of a
// partition. These nodes must not drop peers if there is no other fault, so the function
// prevents other faults during the partition. In half of the cases, at random, it allows
// other faults and returns nil.
func (s *sim) isolated(groups [][]string) (isolated []*simHost) {
	if !s.allBusesOK() || s.chance(0.5) {
		return nil
	}
	peers := len(s.hosts) - 1
	for _, h := range s.hosts {
		health := h.node.Health()
		healthy := !health.Degraded && len(health.Peers) == peers
		for i, p := range health.Peers {
			// A replaced peer does not count as lost. A peer without a recent heartbeat is lost
			// earlier than the other peers.
			healthy = healthy && p.SinceHeartbeat < 3*beat/2 && p.Name != health.Name && (i == 0 || p.Name != health.Peers[i-1].Name)
		}
		if !healthy {
			return nil
		}
		h.dropped = health.Dropped
		side := slices.IndexFunc(groups, func(g []string) bool { return slices.Contains(g, h.bus.Name()) })
		if lost := len(s.hosts) - len(groups[side]); peers >= 3 && 2*lost > peers {
			isolated = append(isolated, h)
		}
	}
	s.undisturbed = true
	return isolated
}

func (s *sim) crashOrBye() {
	if len(s.hosts) > 3 {
		s.end(s.randomHost(), s.chance(0.5))
		s.crashed = true
	}
}

func (s *sim) restart() {
	h := s.randomHost()
	s.end(h, s.chance(0.3))
	if s.chance(0.5) {
		s.step(0, 3*time.Second)
	}
	s.start(h.name)
}

func (s *sim) duplicateName() {
	if len(s.hosts) < 8 {
		s.start(s.randomHost().name)
	}
}

func (s *sim) overflow() {
	h := s.randomHost()
	n := 1 + s.rand.IntN(30)
	s.logf("%v: %s loses %d messages, as its channel is full", s.now(), h.bus.Name(), n)
	h.bus.Overflow(n)
	s.lossy = true
}

// outage disconnects a bus for some time. During this time, its node must not drop peers.
func (s *sim) outage() {
	h := s.randomHost()
	if h.outage || h.stalled {
		return
	}
	s.logf("%v: %s disconnects", s.now(), h.bus.Name())
	h.outage, h.dropped = true, h.node.Health().Dropped
	h.bus.Disconnect()
	s.later(12*time.Second, func() {
		s.logf("%v: %s reconnects", s.now(), h.bus.Name())
		h.outage = false
		s.checkNoneDropped(h, "while disconnected")
		h.bus.Reconnect()
	})
}

// stall pauses a process for some time. The process must not drop peers when it resumes.
func (s *sim) stall() {
	h := s.randomHost()
	if h.outage || h.stalled {
		return
	}
	s.logf("%v: %s is paused", s.now(), h.bus.Name())
	h.stalled = true
	resume := h.bus.Stall()
	s.step(beat, beat+1) // the node stops within this time, because it publishes a heartbeat
	h.dropped = h.node.Health().Dropped
	begun := s.now()
	s.later(12*time.Second, func() {
		s.logf("%v: %s resumes", s.now(), h.bus.Name())
		h.stalled = false
		resume()
		s.step(0, time.Millisecond)
		if s.now()-begun > 2*beat { // the pause was longer than a heartbeat interval
			s.checkNoneDropped(h, "after a pause")
		}
	})
}

func (s *sim) checkNoneDropped(h *simHost, when string) {
	if !slices.Contains(s.hosts, h) {
		return // the process was stopped during the fault
	}
	if now := h.node.Health().Dropped; now != h.dropped {
		s.fail("%s dropped %d peers %s", h.bus.Name(), now-h.dropped, when)
	}
}
