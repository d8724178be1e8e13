package core

import (
	"slices"
	"time"
)

// peer is another node.
type peer struct {
	id     Incarnation
	name   string
	table  table
	stream stream
	feed   *feed // the feed to this peer; nil with the role Mesh

	state             State
	leaseStart        time.Duration // when the last heartbeat arrived, or renew was called
	lostAt            time.Duration // when the peer became Missing
	interval          time.Duration // the peer's heartbeat interval, or 0 if it is not known
	replaced          bool          // a new incarnation with the same name was added
	beatsSince        int           // the number of heartbeats since then
	beatAt            time.Duration // when the last heartbeat arrived
	lastBeatNumber    uint64        // the number of the last heartbeat
	ignoredBeatNumber uint64        // the number of the last heartbeat if it was ignored, and otherwise 0
	flags             uint64        // the flags of the last heartbeat
	maxRooms          uint64        // the peer stores at most this number of rooms, or 0 if it is not known
	otherSecret       bool          // the peer's hashes of users have another key
	unsupported       bool          // this node cannot read the peer's messages
	known             bool          // all counts that the peer had when it was added were received
	dropped           bool

	// With a role other than Mesh, from the last heartbeat to this node:
	collect shardSet // an aggregator collects the counts of these shards; a client requests it
	want    shardSet // a client wants to receive these shards
	cover   shardSet // the shards that the counts received from the peer contain
	nodes   uint64   // see heartbeat
	missing []string // see heartbeat

	request     shardRequest  // what a client requests from the aggregator
	sent        shardRequest  // what the last heartbeat to the peer has requested
	requestBeat uint64        // the number of the heartbeat in which the shards to be covered last changed
	fewerSince  time.Duration // since when the aggregator knows fewer nodes than another one, or 0
	coveredAt   time.Duration // when a client last had published all collected shards
	covered     bool          // a client has published all collected shards at least once
}

// maxInterval limits the heartbeat interval of a peer, which determines its lease.
const maxInterval = time.Minute

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
	feedSeq  uint64        // the seq of the feed to the peer
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

// add adds a new peer. The new incarnation of a Missing peer takes its place: the Missing
// peers that are dropped are returned.
func (s *members) add(id Incarnation, name string, now time.Duration) (p *peer, dropped []*peer) {
	p = &peer{id: id, name: name, leaseStart: now, beatAt: now, coveredAt: now}
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
		case other.state == Missing:
			other.replaced = true
			dropped = append(dropped, other)
		default:
			other.replaced, other.beatsSince = true, 0
		}
	}
	s.peers = append(s.peers, p)
	s.byID[id] = p
	for _, other := range dropped {
		s.drop(other, false, now)
	}
	return p, dropped
}

// drop removes a peer and remembers it for some time, because its messages can be late.
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
	d := droppedPeer{
		until:    now + s.memory(),
		bye:      bye,
		replaced: p.replaced,
		syncSent: p.stream.syncSent,
	}
	if p.feed != nil {
		d.feedSeq = p.feed.seq
	}
	s.remember(p.id, d)
}

// heardSince reports whether a heartbeat has arrived after the given time. If the bus is
// disconnected, heartbeats can still arrive: the clients of an embedded server that has lost
// the other servers are connected to this node.
func (s *members) heardSince(t time.Duration) bool {
	return slices.ContainsFunc(s.peers, func(p *peer) bool { return p.beatAt > t })
}

// memory returns how long a dropped peer is remembered.
func (s *members) memory() time.Duration { return max(s.cfg.Lease, s.cfg.Forget, syncInterval) }

// remember stores information about a dropped peer, for at most MaxPeers peers. If there
// are more, it forgets the oldest information.
func (s *members) remember(id Incarnation, d droppedPeer) {
	if _, ok := s.recentlyDropped[id]; !ok && len(s.recentlyDropped) >= s.cfg.MaxPeers {
		oldest := id
		for other, o := range s.recentlyDropped {
			if oldest == id || o.until < s.recentlyDropped[oldest].until {
				oldest = other
			}
		}
		delete(s.recentlyDropped, oldest)
	}
	s.recentlyDropped[id] = d
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
	p.interval = min(time.Duration(min(h.intervalMS, 1<<40))*time.Millisecond, max(maxInterval, s.cfg.Heartbeat))
	// The first heartbeat of a replaced peer can be late. After the second one, the peer is
	// known to be running: two nodes have the same name.
	if p.beatsSince++; p.beatsSince > 1 {
		p.replaced = false
	}
	p.lastBeatNumber, p.ignoredBeatNumber, p.flags = h.beat, 0, h.flags
	s.renewLease(p, now)
	return true, returned
}

// renewLease starts the lease of a peer again, because a heartbeat has arrived.
func (s *members) renewLease(p *peer, now time.Duration) {
	p.beatAt, p.leaseStart, p.state = now, now, Live
	s.checkAt = min(s.checkAt, s.leaseEnd(p)) // after Held or Missing, checkAt can be later
}

// renew starts the lease of every peer again, because this node itself could not receive
// heartbeats.
func (s *members) renew(now time.Duration) {
	for _, p := range s.peers {
		if p.state != Missing {
			p.leaseStart, p.state = now, Live
		}
	}
	s.checkAt = now
}

// expire updates the states of the peers and sets checkAt to the time of the next call. It
// returns the peers that have become Missing, and the peers that are dropped.
func (s *members) expire(now time.Duration) (lost, dropped []*peer) {
	for _, p := range s.peers {
		if p.state == Live && now >= s.leaseEnd(p) {
			// The only heartbeat of this peer was probably late, if a node with its name is running.
			p.replaced = p.replaced || p.beatsSince <= 1 && s.sameName(p, s.liveNames())
			p.state = Suspect
		}
	}
	for _, p := range slices.Clone(s.peers) {
		end := s.leaseEnd(p)
		if p.state == Missing {
			end = p.lostAt + s.cfg.Forget
		} else if p.state != Live && !p.replaced {
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
		if p.state == Missing || p.replaced {
			s.drop(p, false, now)
			dropped = append(dropped, p)
			continue
		}
		s.recentLosses = append(s.recentLosses, now)
		p.state, p.lostAt = Missing, now
		s.checkAt = min(s.checkAt, now+s.cfg.Forget)
		lost = append(lost, p)
	}
	return lost, dropped
}

// longestMissing returns the peer that has been Missing for the longest time, or nil.
func (s *members) longestMissing() (longest *peer) {
	for _, p := range s.peers {
		if p.state == Missing && (longest == nil || p.lostAt < longest.lostAt) {
			longest = p
		}
	}
	return longest
}

// known returns the number of nodes that are counted, including this one.
func (s *members) known() int {
	n := 1
	for _, p := range s.peers {
		n += toInt(p.state != Missing && !p.replaced)
	}
	return n
}

// lease returns the length of a peer's lease: the local lease, or five heartbeat intervals
// of the peer if they are longer.
func (s *members) lease(p *peer) time.Duration {
	if p.replaced {
		return max(s.cfg.Heartbeat, p.interval) * 3 / 2
	}
	return max(s.cfg.Lease, 5*p.interval)
}

// leaseEnd returns the time at which the peer's lease expires if no heartbeat arrives.
func (s *members) leaseEnd(p *peer) time.Duration { return p.leaseStart + s.lease(p) }

// lateAt returns the time until which the peer is running if no heartbeat arrives.
func (s *members) lateAt(p *peer) time.Duration {
	return p.leaseStart + max(p.interval, s.cfg.Heartbeat)*5/2
}

// running reports whether a heartbeat of the peer has arrived within two and a half heartbeat
// intervals.
func (s *members) running(p *peer, now time.Duration) bool {
	return !p.dropped && !p.replaced && !p.unsupported && p.state == Live && p.lastBeatNumber > 0 && now < s.lateAt(p)
}

// liveNames returns the number of Live peers with each name, without replaced peers.
func (s *members) liveNames() map[string]int {
	names := map[string]int{}
	for _, p := range s.peers {
		names[p.name] += toInt(p.state == Live && !p.replaced)
	}
	return names
}

// sameName reports whether another node has the peer's name. The parameter live is the result of
// liveNames.
func (s *members) sameName(p *peer, live map[string]int) bool {
	return p.name == s.cfg.Name || p.state == Live && !p.replaced && live[p.name] > 1
}

// massLoss reports whether both of two peers, or more than half of three or more, were lost
// within the time of one lease. Replaced peers are not included, nor are the peers that were
// lost earlier.
func (s *members) massLoss(now time.Duration) bool {
	s.recentLosses = slices.DeleteFunc(s.recentLosses, func(at time.Duration) bool { return at < now-s.cfg.Lease })
	lost := len(s.recentLosses)
	total := lost
	for _, p := range s.peers {
		if !p.replaced && p.state != Missing {
			total++
			lost += toInt(p.state != Live)
		}
	}
	return total == 2 && lost == 2 || total >= 3 && 2*lost > total
}
