package cluster

import (
	"maps"
	"slices"
	"time"
)

// peer finds a peer or makes it. It is nil for this node itself, for one that has left,
// and where there are too many.
func (n *Node) peer(id incarnation, name []byte, now time.Duration) *peer {
	if p := n.byID[id]; p != nil {
		return p
	}
	if id == n.id {
		return nil
	}
	before, ok := n.gone[id]
	if ok && before.bye && now < before.until {
		return nil
	}
	if len(n.peers) >= n.maxPeers {
		n.tooMany.Add(1)
		n.settled = max(n.settled, now+n.lease)
		return nil
	}
	p := &peer{
		id:     id,
		name:   string(name),
		batch:  n.batch,
		config: &n.config,
		heard:  now,
		beatAt: now,
		asked:  -syncEvery,
		served: -syncEvery,
	}
	if ok {
		p.asked = before.asked
		delete(n.gone, id)
	}
	p.remote = n.link.Remote(p.name)
	for _, other := range n.peers {
		switch {
		case other.name != p.name || !n.on(ruleNewIncarnation):
		case before.replaced: // and what brings it back may be a late message
			p.replaced = true
		default:
			other.replaced = true
		}
	}
	n.peers = append(n.peers, p)
	n.byID[id] = p
	n.welcome(p, now)
	n.review(now) // the lease of another may be over by this
	return p
}

// welcome has a peer that appeared, or came back, hear of this node soon, and not at all
// nodes' next heartbeats. Each node has a delay of its own, so that they do not all speak
// at once. What the peer published is asked for then, as it answers only whom it knows.
func (n *Node) welcome(p *peer, now time.Duration) {
	soon := n.heartbeat / 8
	n.greet = min(n.greet, max(now, n.beaten+soon)+soon*time.Duration(n.id[0])/256)
	p.asked = max(p.asked, n.greet-syncEvery)
}

// drop ends a peer: its part leaves every total, as soon as mu is free. That of a million
// rooms takes a while.
func (n *Node) drop(p *peer) {
	n.peers = slices.DeleteFunc(n.peers, func(other *peer) bool { return other == p })
	delete(n.byID, p.id)
	n.wanted = slices.DeleteFunc(n.wanted, func(r syncRequest) bool { return r.from == p.id })
	n.unlinked = append(n.unlinked, p.remote)
	p.gone = true
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
			q.settle(i, nil)
		}
	}
}

// departed is what is remembered of a peer that was dropped.
type departed struct {
	until time.Duration // how long
	bye   bool          // it is not to come back: what is heard of it is late
	asked time.Duration // the last sync that we asked it for

	replaced bool // another incarnation lived under its name
}

// depart remembers a peer that was dropped, of as many as there may be peers.
func (n *Node) depart(id incarnation, d departed, now time.Duration) {
	if len(n.gone) >= n.maxPeers {
		maps.DeleteFunc(n.gone, func(_ incarnation, d departed) bool { return now >= d.until })
	}
	if len(n.gone) < n.maxPeers {
		n.gone[id] = d
	}
}

// bye drops a peer that leaves, whether or not it is known yet.
func (n *Node) bye(id incarnation, now time.Duration) {
	if !n.on(ruleBye) || id == n.id {
		return
	}
	if p := n.byID[id]; p != nil {
		n.drop(p)
	}
	n.depart(id, departed{until: now + n.lease, bye: true}, now)
}
