package core

import (
	"maps"
	"slices"
	"time"
)

// peer is another node.
type peer struct {
	id     Incarnation
	name   string
	table  table
	stream stream

	state             State
	leaseStart        time.Duration // when the last heartbeat arrived, or renew was called
	replaced          bool          // another incarnation with the same name is live
	beatAt            time.Duration // when the last heartbeat arrived
	lastBeatNumber    uint64        // the number of the last heartbeat
	ignoredBeatNumber uint64        // the number of the last heartbeat if it was ignored, and otherwise 0
	flags             uint64        // the flags of the last heartbeat
	lastServed        time.Duration // when the last sync request of the peer was answered
	dropped           bool
}

// members is the set of peers, with their leases. It does not use the peers' counts.
type members struct {
	cfg             *Config
	peers           []*peer // in the order of their first messages
	byID            map[Incarnation]*peer
	recentlyDropped map[Incarnation]droppedPeer
	recentLosses    []time.Duration // the times at which peers were dropped, not longer ago than the length of a lease
	checkAt         time.Duration   // when expire is due
}

// droppedPeer is the information about a dropped peer that is kept for some time.
type droppedPeer struct {
	until    time.Duration // after this time, the information is not needed any more
	bye      bool          // the peer has sent a Bye, so a message that arrives now was delayed
	replaced bool          // another incarnation with the same name was live
	syncSent time.Duration // when the last sync request was sent to the peer
}

func newMembers(cfg *Config) members {
	return members{
		cfg:             cfg,
		byID:            map[Incarnation]*peer{},
		recentlyDropped: map[Incarnation]droppedPeer{},
		checkAt:         Never,
	}
}

// left reports whether the node has sent a Bye, so that its messages were delayed.
func (s *members) left(id Incarnation, now time.Duration) bool {
	d, ok := s.recentlyDropped[id]
	return ok && d.bye && now < d.until
}

// add adds a new peer.
func (s *members) add(id Incarnation, name string, now time.Duration) *peer {
	p := &peer{id: id, name: name, leaseStart: now, beatAt: now, lastServed: -syncInterval}
	p.stream.syncSent = -syncInterval
	before, ok := s.recentlyDropped[id]
	if ok {
		p.stream.syncSent = before.syncSent
		delete(s.recentlyDropped, id)
	}
	for _, other := range s.peers {
		switch {
		case other.name != name:
		case before.replaced: // this message may be delayed
			p.replaced = true
		default:
			other.replaced = true
		}
	}
	s.peers = append(s.peers, p)
	s.byID[id] = p
	return p
}

// drop removes a peer and remembers it until the given time.
func (s *members) drop(p *peer, bye bool, now time.Duration) {
	s.peers = slices.DeleteFunc(s.peers, func(other *peer) bool { return other == p })
	delete(s.byID, p.id)
	p.dropped = true
	var same []*peer
	for _, other := range s.peers {
		if other.name == p.name {
			same = append(same, other)
		}
	}
	if len(same) == 1 {
		same[0].replaced = false
	}
	s.remember(p.id, droppedPeer{
		until:    now + max(s.cfg.Lease, syncInterval),
		bye:      bye,
		replaced: p.replaced,
		syncSent: p.stream.syncSent,
	}, now)
}

// remember stores information about a dropped peer, for at most MaxPeers peers.
func (s *members) remember(id Incarnation, d droppedPeer, now time.Duration) {
	if len(s.recentlyDropped) >= s.cfg.MaxPeers {
		maps.DeleteFunc(s.recentlyDropped, func(_ Incarnation, d droppedPeer) bool { return now >= d.until })
	}
	if len(s.recentlyDropped) < s.cfg.MaxPeers {
		s.recentlyDropped[id] = d
	}
}

// heartbeat renews the lease of a peer. It reports whether the heartbeat is accepted, and
// whether the peer has returned after its lease had expired.
//
// If the number is not greater than lastBeatNumber, this heartbeat was delayed, or
// lastBeatNumber is the number of a forged heartbeat. The first heartbeat of this kind is
// ignored. The next one is accepted if its number is greater than that of the ignored
// heartbeat.
func (s *members) heartbeat(p *peer, h *heartbeat, now time.Duration) (accepted, returned bool) {
	if h.beat <= p.lastBeatNumber && (p.ignoredBeatNumber == 0 || h.beat <= p.ignoredBeatNumber) {
		p.ignoredBeatNumber = h.beat
		return false, false
	}
	returned = p.state != Live
	p.lastBeatNumber, p.ignoredBeatNumber, p.flags = h.beat, 0, h.flags
	p.beatAt, p.leaseStart, p.state = now, now, Live
	return true, returned
}

// renew starts the lease of every peer again, because this node itself could not receive
// heartbeats.
func (s *members) renew(now time.Duration) {
	for _, p := range s.peers {
		p.leaseStart, p.state = now, Live
	}
	s.checkAt = now
}

// expire updates the states of the peers, drops and returns the lost peers, and sets
// checkAt to the time of the next call.
func (s *members) expire(now time.Duration) (lost []*peer) {
	for _, p := range s.peers {
		if p.state == Live && now >= s.leaseEnd(p) {
			p.state = Suspect
		}
	}
	for _, p := range slices.Clone(s.peers) {
		end := s.leaseEnd(p)
		if p.state != Live && !p.replaced {
			// Before massLoss is called, wait for one heartbeat interval after the lease. During
			// this wait, the other peers that were lost at the same time become Suspect.
			if now >= end+s.cfg.Heartbeat && s.massLoss(now) {
				p.state = Held
			}
			if p.state == Held {
				end += max(s.cfg.Hold, s.cfg.Heartbeat)
			} else {
				end += s.cfg.Heartbeat
			}
		}
		if p.state == Live || now < end {
			s.checkAt = min(s.checkAt, end)
			continue
		}
		if !p.replaced {
			s.recentLosses = append(s.recentLosses, now)
		}
		s.drop(p, false, now)
		lost = append(lost, p)
	}
	return lost
}

// leaseEnd returns the time at which the peer's lease expires if no heartbeat arrives.
func (s *members) leaseEnd(p *peer) time.Duration {
	if p.replaced {
		return p.leaseStart + s.cfg.Heartbeat*3/2
	}
	return p.leaseStart + s.cfg.Lease
}

// massLoss reports whether most peers were lost within the time of one lease. It returns
// false if there were fewer than three peers. Replaced peers are not included.
func (s *members) massLoss(now time.Duration) bool {
	s.recentLosses = slices.DeleteFunc(s.recentLosses, func(at time.Duration) bool { return at < now-s.cfg.Lease })
	lost := len(s.recentLosses)
	total := lost
	for _, p := range s.peers {
		if !p.replaced {
			total++
			lost += toInt(p.state != Live)
		}
	}
	return total >= 3 && 2*lost > total
}
