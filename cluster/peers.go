package cluster

import (
	"maps"
	"slices"
	"time"
)

// peer returns the peer with this incarnation and creates it if necessary. It returns nil
// for this node itself, for a peer that has sent a Bye, and if there are too many peers.
// The caller holds mu.
func (n *Node) peer(id incarnation, name []byte, now time.Duration) *peer {
	if p := n.byID[id]; p != nil {
		return p
	}
	if id == n.id {
		return nil
	}
	before, ok := n.recentlyDropped[id]
	if ok && before.bye && now < before.until {
		return nil
	}
	if len(n.peers) >= n.maxPeers {
		n.rejectedPeers.Add(1)
		n.freshAt = max(n.freshAt, now+n.lease)
		return nil
	}
	p := &peer{
		id:         id,
		name:       string(name),
		batch:      n.batch,
		config:     &n.config,
		leaseStart: now,
		beatAt:     now,
		syncSent:   -syncInterval,
		lastServed: -syncInterval,
	}
	if ok {
		p.syncSent = before.syncSent
		delete(n.recentlyDropped, id)
	}
	p.remote = n.link.Remote(p.name)
	for _, other := range n.peers {
		switch {
		case other.name != p.name || !n.enabled(ruleNewIncarnation):
		case before.replaced: // this message may be delayed
			p.replaced = true
		default:
			other.replaced = true
		}
	}
	n.peers = append(n.peers, p)
	n.byID[id] = p
	n.scheduleGreeting(p, now)
	n.checkPeers(now) // the lease of the peer that p replaces may have expired
	return p
}

// scheduleGreeting schedules an early heartbeat for a new or returned peer, so that the
// peer knows this node soon. Each node has a different delay, so that the heartbeats of
// many nodes do not arrive at the same time. The first sync request follows the greeting,
// because the peer answers only requests of nodes that it knows.
func (n *Node) scheduleGreeting(p *peer, now time.Duration) {
	delay := n.heartbeat / 8
	// The delay is at least 1 ns. The greeting is then due after now, and requestSync waits
	// until it is due.
	ownDelay := max(1, delay*time.Duration(n.id[0])/256)
	n.greetAt = min(n.greetAt, max(now, n.lastBeat+delay)+ownDelay)
	p.syncSent = max(p.syncSent, n.greetAt-syncInterval)
}

// drop removes a peer. Its counts are removed from the engine after mu is unlocked,
// because the removal of a million rooms takes a long time.
func (n *Node) drop(p *peer) {
	n.peers = slices.DeleteFunc(n.peers, func(other *peer) bool { return other == p })
	delete(n.byID, p.id)
	n.syncRequests = slices.DeleteFunc(n.syncRequests, func(r syncRequest) bool { return r.from == p.id })
	n.closing = append(n.closing, p.remote)
	p.dropped = true
	var same []*peer
	for _, other := range n.peers {
		if other.name == p.name {
			same = append(same, other)
		}
	}
	if len(same) == 1 {
		same[0].replaced = false
	}
	for _, q := range n.queries {
		if i := slices.Index(q.peers, p); i >= 0 {
			q.resolve(i, nil)
		}
	}
}

// droppedPeer is the information about a dropped peer that is kept for some time.
type droppedPeer struct {
	until    time.Duration // after this time, the information is not needed any more
	bye      bool          // the peer has sent a Bye, so a message that arrives now was delayed
	syncSent time.Duration // when the last sync request was sent to the peer

	replaced bool // another incarnation with the same name was live
}

// rememberDropped stores information about a dropped peer, for at most maxPeers peers.
func (n *Node) rememberDropped(id incarnation, d droppedPeer, now time.Duration) {
	if len(n.recentlyDropped) >= n.maxPeers {
		maps.DeleteFunc(n.recentlyDropped, func(_ incarnation, d droppedPeer) bool { return now >= d.until })
	}
	if len(n.recentlyDropped) < n.maxPeers {
		n.recentlyDropped[id] = d
	}
}

// handleBye drops the peer. The sender can be unknown, because its Bye
// can arrive before its other messages.
func (n *Node) handleBye(id incarnation, now time.Duration) {
	if !n.enabled(ruleBye) || id == n.id {
		return
	}
	if p := n.byID[id]; p != nil {
		n.drop(p)
	}
	n.rememberDropped(id, droppedPeer{until: now + n.lease, bye: true}, now)
}
