package cluster

import (
	"fmt"
	"slices"
	"time"
)

// State is the state of a peer.
type State uint8

// The states of a peer. A dropped peer is not listed in Health.
const (
	Live    State = iota // a heartbeat was received within the lease
	Suspect              // the lease has expired; the peer is dropped one heartbeat interval later
	Held                 // most peers were lost together; the peer's last counts are kept for the hold time
)

func (s State) String() string {
	switch s {
	case Live:
		return "live"
	case Suspect:
		return "suspect"
	case Held:
		return "held"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText returns the same as String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (s *State) UnmarshalText(text []byte) error {
	for _, known := range []State{Live, Suspect, Held} {
		if known.String() == string(text) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("cluster: unknown peer state %q: want live, suspect or held", text)
}

// renewLeases starts the lease of every peer again, because this node itself could not
// receive heartbeats. The node is Degraded for one and a half heartbeat intervals: within
// this time, every live peer sends a heartbeat.
func (n *Node) renewLeases(now time.Duration) {
	if n.enabled(ruleOwnOutage) {
		for _, p := range n.peers {
			p.leaseStart, p.state = now, Live
		}
	}
	n.freshAt = now + n.heartbeat*3/2
	n.checkAt, n.nextBeat = now, now
}

// checkPeers updates the states of the peers, drops the lost peers, repeats sync requests,
// and sets checkAt to the time of the next check. The caller holds mu.
func (n *Node) checkPeers(now time.Duration) {
	if now > n.nextBeat+n.heartbeat {
		// This node was paused. It may have missed heartbeats during the pause.
		n.pauses.Add(1)
		n.renewLeases(now)
	}
	n.checkAt = never
	if n.connected || !n.enabled(ruleOwnOutage) {
		for _, p := range n.peers {
			if p.state == Live && now >= n.leaseEnd(p) {
				p.state = Suspect
			}
		}
		for _, p := range slices.Clone(n.peers) {
			n.expire(p, now)
		}
	}
	for _, p := range n.peers {
		n.requestSync(p, now)
	}
}

// leaseEnd returns the time at which the peer's lease expires if no heartbeat arrives.
func (n *Node) leaseEnd(p *peer) time.Duration {
	if p.replaced {
		return p.leaseStart + n.heartbeat*3/2
	}
	return p.leaseStart + n.lease
}

// expire drops the peer if its lease and the following delay have ended. Otherwise it
// schedules the next check.
func (n *Node) expire(p *peer, now time.Duration) {
	if !n.enabled(ruleLease) {
		return
	}
	end := n.leaseEnd(p)
	if p.state != Live && !p.replaced {
		// Before massLoss is called, wait for one heartbeat interval after the lease. During
		// this wait, the other peers that were lost at the same time become Suspect.
		if now >= end+n.heartbeat && n.massLoss(now) {
			p.state = Held
		}
		if p.state == Held {
			end += max(n.hold, n.heartbeat)
		} else {
			end += n.heartbeat
		}
	}
	if p.state == Live || now < end {
		n.checkAt = min(n.checkAt, end)
		return
	}
	if !p.replaced {
		n.recentLosses = append(n.recentLosses, now)
	}
	n.dropped.Add(1)
	n.drop(p)
	n.rememberDropped(p.id, droppedPeer{until: now + max(n.lease, syncInterval), syncSent: p.syncSent, replaced: p.replaced}, now)
}

// massLoss reports whether most peers were lost within the time of one lease. It returns
// false if there were fewer than three peers. Replaced peers are not included.
func (n *Node) massLoss(now time.Duration) bool {
	n.recentLosses = slices.DeleteFunc(n.recentLosses, func(at time.Duration) bool { return at < now-n.lease })
	lost := len(n.recentLosses)
	total := lost
	for _, p := range n.peers {
		if !p.replaced {
			total++
			lost += toInt(p.state != Live)
		}
	}
	return total >= 3 && 2*lost > total && n.enabled(ruleMassLoss)
}
