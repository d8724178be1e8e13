package cluster

import (
	"slices"
	"time"
)

// syncEvery is how often a peer is asked for what was missed, at most.
const syncEvery = time.Second

// catchUp asks the peer for what is not here, or sees to it that it is asked in time.
func (n *Node) catchUp(p *peer, now time.Duration) {
	if !p.behind() && !p.sync {
		return
	}
	if now >= p.asked+syncEvery || !n.on(ruleSyncLimit) {
		r := syncRequest{from: n.id, to: p.id, since: p.last}
		if p.reset {
			r.since = 0
		}
		n.outbox = append(n.outbox, outgoing{Subject{KindSyncRequest, p.id.shard()}, r.append(nil), p})
		n.syncs.Add(1)
		p.asked, p.sync = now, false
		if !p.behind() {
			return
		}
	}
	n.due = min(n.due, p.asked+syncEvery)
}

// asked notes that a peer wants a sync. One that is not known yet will ask again.
func (n *Node) asked(r syncRequest, now time.Duration) {
	p := n.byID[r.from]
	if r.to != n.id || p == nil || now < p.served+syncEvery/2 {
		return
	}
	p.served = now
	n.replying = append(n.replying, r)
}

// maxReply is how many bytes a reply's digests have at most, where the bus takes more: a
// receiver's queue may hold a thousand.
const maxReply = 256 << 10

// reply sends a peer what it missed.
func (n *Node) reply(r syncRequest) {
	if r.since == n.ledger.seq && r.since != 0 {
		return
	}
	n.served.Add(1)
	n.replies.limit = max(n.flushSize, min(n.bus.MaxPayload(), n.replySize))
	n.ledger.since(r.since, &n.replies, func(payload []byte) bool {
		return n.publish(n.ctx, Subject{KindSyncReply, r.from.shard()}, payload) == nil
	})
}

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
		table:  newTable(),
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
	p.remote = n.eng.Remote(p.name)
	for _, other := range n.peers {
		if other.name == p.name && n.on(ruleNewIncarnation) {
			other.replaced = true
		}
	}
	n.peers = append(n.peers, p)
	n.byID[id] = p
	n.review(now) // the lease of another may be over by this
	return p
}

// drop ends a peer: its part leaves every total.
func (n *Node) drop(p *peer) {
	n.peers = slices.DeleteFunc(n.peers, func(other *peer) bool { return other == p })
	delete(n.byID, p.id)
	p.remote.Close()
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
