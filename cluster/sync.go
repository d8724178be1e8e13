package cluster

import (
	"slices"
	"time"
)

// syncInterval is the minimum time between two sync requests to one peer.
const syncInterval = time.Second

// requestSync requests the missing changes from the peer, if any are missing. It sends the
// request now, or schedules it for the end of syncInterval.
func (n *Node) requestSync(p *peer, now time.Duration) {
	if !p.behind() && !p.wantSync {
		return
	}
	if now >= p.syncSent+syncInterval || !n.enabled(ruleSyncLimit) {
		r := syncRequest{from: n.id, to: p.id, since: p.applied}
		if p.needsSnapshot {
			r.since = 0
		}
		n.outbox = append(n.outbox, outgoing{Subject{KindSyncRequest, p.id.shard()}, r.append(nil), p})
		n.syncs.Add(1)
		p.syncSent, p.wantSync = now, false
		if !p.behind() {
			return
		}
	}
	n.checkAt = min(n.checkAt, p.syncSent+syncInterval)
}

// handleSyncRequest queues the request of a peer. A new request replaces a queued request
// of the same peer. A request of an unknown node is dropped; the node will repeat it.
func (n *Node) handleSyncRequest(r syncRequest, now time.Duration) {
	p := n.byID[r.from]
	if r.to != n.id || p == nil || now < p.lastServed+syncInterval/2 {
		return
	}
	if i := slices.IndexFunc(n.syncRequests, func(other syncRequest) bool { return other.from == r.from }); i >= 0 {
		n.syncRequests[i] = r
		return
	}
	n.syncRequests = append(n.syncRequests, r)
}

// maxReply is the maximum size in bytes of a digest in a reply, even if MaxPayload is
// larger. It limits the receiver's memory, because an inbox holds up to 1024 messages.
const maxReply = 256 << 10

// replyAt returns when the node will answer the next sync request.
func (n *Node) replyAt() time.Duration {
	if len(n.syncRequests) == 0 {
		return never
	}
	return n.nextReply
}

// sendReply answers the first queued sync request. A reply can contain a million rooms, and
// many peers can send requests at the same time. After each reply, the node handles other
// events for as long as the reply took.
func (n *Node) sendReply() {
	began := n.now()
	r := n.syncRequests[0]
	n.syncRequests = slices.Delete(n.syncRequests, 0, 1)
	n.publishMissedChanges(r)
	end := n.now()
	n.nextReply = end + min(end-began, n.heartbeat)
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.byID[r.from]; p != nil {
		p.lastServed = end
	}
}

// publishMissedChanges publishes the changes that the peer requests.
func (n *Node) publishMissedChanges(r syncRequest) {
	if r.since == n.ledger.seq && r.since != 0 {
		return
	}
	n.served.Add(1)
	n.replyWriter.limit = max(n.flushSize, min(n.bus.MaxPayload(), n.replySize))
	n.ledger.encodeSince(r.since, &n.replyWriter, func(payload []byte) bool {
		return n.publish(n.ctx, Subject{KindSyncReply, r.from.shard()}, payload) == nil
	})
}
