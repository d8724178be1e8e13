package cluster

import (
	"fmt"
	"slices"
	"time"
)

// State is what a node thinks of a peer. What is dropped is a peer no more.
type State uint8

// The states of a peer.
const (
	Live    State = iota // heard of within its lease
	Suspect              // its lease passed; a heartbeat later it is dropped
	Held                 // it vanished with most others: its last values count for the hold time
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

// MarshalText is String, for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote, for those who watch a service by its JSON.
func (s *State) UnmarshalText(text []byte) error {
	for _, known := range []State{Live, Suspect, Held} {
		if known.String() == string(text) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("cluster: no state of a peer: %q", text)
}

// doubt is self-doubt: nothing was heard because of ourselves, so every lease begins
// anew. Until all who live have been heard, what is known may not be fresh.
func (n *Node) doubt(now time.Duration) {
	if n.on(ruleSelfDoubt) {
		for _, p := range n.peers {
			p.heard, p.state = now, Live
		}
	}
	n.settled = now + n.heartbeat*3/2
	n.due, n.beatDue = now, now // nor shall the peers wait for us
}

// review looks after the peers: whose lease ended, and who is to be asked again. Then
// it sets when that is to be done next.
func (n *Node) review(now time.Duration) {
	if now > n.beatDue+n.heartbeat {
		// We stood still, and what we did not hear meanwhile says nothing of the peers.
		n.doubts.Add(1)
		n.doubt(now)
	}
	n.due = never
	if n.connected || !n.on(ruleSelfDoubt) {
		for _, p := range n.peers {
			if p.state == Live && now >= n.leaseEnd(p) {
				p.state = Suspect
			}
		}
		for _, p := range slices.Clone(n.peers) {
			n.judge(p, now)
		}
	}
	for _, p := range n.peers {
		n.catchUp(p, now)
	}
}

// leaseEnd is when a peer that is not heard again is Suspect.
func (n *Node) leaseEnd(p *peer) time.Duration {
	if p.replaced {
		return p.heard + n.heartbeat*3/2
	}
	return p.heard + n.lease
}

// judge drops a peer whose time is over, or sees to it that it is looked at when that is.
func (n *Node) judge(p *peer, now time.Duration) {
	if !n.on(ruleLease) {
		return
	}
	end := n.leaseEnd(p)
	if p.state != Live && !p.replaced {
		// Judged a heartbeat later, when those that vanished with it are Suspect, too.
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
		n.due = min(n.due, end)
		return
	}
	if !p.replaced {
		n.lost = append(n.lost, now)
	}
	n.dropped.Add(1)
	n.drop(p)
	n.depart(p.id, departed{until: now + max(n.lease, syncEvery), asked: p.asked, replaced: p.replaced}, now)
}

// massLoss reports whether more than half of three or more peers are gone within a
// lease. Those that were replaced are not missed.
func (n *Node) massLoss(now time.Duration) bool {
	n.lost = slices.DeleteFunc(n.lost, func(at time.Duration) bool { return at < now-n.lease })
	gone := len(n.lost)
	total := gone
	for _, p := range n.peers {
		if !p.replaced {
			total++
			gone += count(p.state != Live)
		}
	}
	return total >= 3 && 2*gone > total && n.on(ruleMassLoss)
}
