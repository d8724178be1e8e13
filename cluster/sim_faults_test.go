package cluster_test

import (
	"slices"
	"time"

	"github.com/occupancy/occupancy/cluster/clustertest"
)

// weather chooses what this simulation suffers from, and returns what has some of it
// happen.
func (s *sim) weather() func() {
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

// later ends a fault after some time.
func (s *sim) later(most time.Duration, do func()) {
	s.mend = append(s.mend, repair{s.now() + time.Duration(s.rand.Int64N(int64(most))), do})
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
	s.rough = true
	s.net.SetFaults(f)
}

func (s *sim) garble() {
	s.garbled, s.rough = true, true
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
	lonely := s.lonely(groups[:])
	s.parted = true
	s.net.Partition(groups[:]...)
	s.later(12*time.Second, func() {
		s.logf("%v: the partition heals", s.now())
		for _, h := range lonely {
			s.nobodyDropped(h, "with most others")
		}
		s.net.Partition()
		s.parted, s.undisturbed = false, false
	})
}

// lonely is who loses most of three or more peers by a partition, if that is all that is
// wrong and, as chance has it, stays so while it lasts. They drop nobody.
func (s *sim) lonely(groups [][]string) (lonely []*simHost) {
	if !s.calm() || s.chance(0.5) {
		return nil
	}
	peers := len(s.hosts) - 1
	for _, h := range s.hosts {
		health := h.node.Health()
		well := !health.Degraded && len(health.Peers) == peers
		for i, p := range health.Peers {
			// Two of one name are missed less, and who was not heard of late is lost alone.
			well = well && p.Age < 3*beat/2 && p.Name != health.Name && (i == 0 || p.Name != health.Peers[i-1].Name)
		}
		if !well {
			return nil
		}
		h.dropped = health.Dropped
		side := slices.IndexFunc(groups, func(g []string) bool { return slices.Contains(g, h.bus.Name()) })
		if lost := len(s.hosts) - len(groups[side]); peers >= 3 && 2*lost > peers {
			lonely = append(lonely, h)
		}
	}
	s.undisturbed = true
	return lonely
}

func (s *sim) crashOrBye() {
	if len(s.hosts) > 3 {
		s.end(s.some(), s.chance(0.5))
		s.crashed = true
	}
}

func (s *sim) restart() {
	h := s.some()
	s.end(h, s.chance(0.3))
	if s.chance(0.5) {
		s.step(0, 3*time.Second)
	}
	s.start(h.name)
}

func (s *sim) duplicateName() {
	if len(s.hosts) < 8 {
		s.start(s.some().name)
	}
}

func (s *sim) overflow() {
	h := s.some()
	n := 1 + s.rand.IntN(30)
	s.logf("%v: %s is too slow for %d", s.now(), h.bus.Name(), n)
	h.bus.Overflow(n)
	s.rough = true
}

// outage has a bus lose its connection. Nobody is dropped for that meanwhile.
func (s *sim) outage() {
	h := s.some()
	if h.outage || h.stalled {
		return
	}
	s.logf("%v: %s has no connection", s.now(), h.bus.Name())
	h.outage, h.dropped = true, h.node.Health().Dropped
	h.bus.Disconnect()
	s.later(12*time.Second, func() {
		s.logf("%v: %s has a connection", s.now(), h.bus.Name())
		h.outage = false
		s.nobodyDropped(h, "without a connection")
		h.bus.Reconnect()
	})
}

// stall has a process stand still for a while. Nobody is dropped when it goes on.
func (s *sim) stall() {
	h := s.some()
	if h.outage || h.stalled {
		return
	}
	s.logf("%v: %s stands still", s.now(), h.bus.Name())
	h.stalled = true
	resume := h.bus.Stall()
	s.step(beat, beat+1) // by then it has had to publish a heartbeat
	h.dropped = h.node.Health().Dropped
	begun := s.now()
	s.later(12*time.Second, func() {
		s.logf("%v: %s goes on", s.now(), h.bus.Name())
		h.stalled = false
		resume()
		s.step(0, time.Millisecond)
		if s.now()-begun > 2*beat { // its heartbeat was late by more than one
			s.nobodyDropped(h, "because it stood still")
		}
	})
}

func (s *sim) nobodyDropped(h *simHost, when string) {
	if !slices.Contains(s.hosts, h) {
		return // it has ended meanwhile
	}
	if now := h.node.Health().Dropped; now != h.dropped {
		s.fail("%s dropped %d peers %s", h.bus.Name(), now-h.dropped, when)
	}
}
