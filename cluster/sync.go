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

// want notes that a peer wants a sync, in place of one that still waits for its turn.
// One that is not known yet will ask again.
func (n *Node) want(r syncRequest, now time.Duration) {
	p := n.byID[r.from]
	if r.to != n.id || p == nil || now < p.served+syncEvery/2 {
		return
	}
	if i := slices.IndexFunc(n.wanted, func(other syncRequest) bool { return other.from == r.from }); i >= 0 {
		n.wanted[i] = r
		return
	}
	n.wanted = append(n.wanted, r)
}

// maxReply is how many bytes a reply's digests have at most, where the bus takes more: a
// receiver's queue may hold a thousand.
const maxReply = 256 << 10

// replyDue is when to reply to the next peer that asked for a sync.
func (n *Node) replyDue() time.Duration {
	if len(n.wanted) == 0 {
		return never
	}
	return n.rested
}

// reply sends the first who asked what it missed. That may be a million rooms, and many
// may have asked: so the loop has as long for all else before the next.
func (n *Node) reply() {
	began := n.now()
	r := n.wanted[0]
	n.wanted = slices.Delete(n.wanted, 0, 1)
	n.replyTo(r)
	end := n.now()
	n.rested = end + min(end-began, n.heartbeat)
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.byID[r.from]; p != nil {
		p.served = end
	}
}

func (n *Node) replyTo(r syncRequest) {
	if r.since == n.ledger.seq && r.since != 0 {
		return
	}
	n.served.Add(1)
	n.replies.limit = max(n.flushSize, min(n.bus.MaxPayload(), n.replySize))
	n.ledger.since(r.since, &n.replies, func(payload []byte) bool {
		return n.publish(n.ctx, Subject{KindSyncReply, r.from.shard()}, payload) == nil
	})
}
