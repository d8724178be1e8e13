package cluster

import "time"

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
