package cluster

import "time"

// receive handles a message. A malformed message changes nothing.
func (n *Node) receive(m Message) {
	n.messagesIn.Add(1)
	n.bytesIn.Add(uint64(len(m.Payload)))
	now := n.now()
	n.mu.Lock()
	ok := n.dispatch(m, now)
	n.mu.Unlock()
	if !ok {
		n.malformed.Add(1)
	}
	n.sendOutbox()
}

// dispatch decodes and handles a message. It reports whether the message is valid.
func (n *Node) dispatch(m Message, now time.Duration) (ok bool) {
	switch m.Subject.Kind {
	case KindDigest, KindSyncReply:
		var d digest
		if ok = d.decode(m.Payload); ok {
			n.handleDigest(&d, now)
		}
	case KindHeartbeat:
		var h heartbeat
		if ok = h.decode(m.Payload); ok {
			n.handleHeartbeat(&h, now)
		}
	case KindBye:
		var b bye
		if ok = b.decode(m.Payload); ok {
			n.handleBye(b.from, now)
		}
	case KindSyncRequest:
		var r syncRequest
		if ok = r.decode(m.Payload); ok {
			n.handleSyncRequest(r, now)
		}
	case KindQuery:
		var q queryMessage
		if ok = q.decode(m.Payload); ok {
			n.handleQuery(&q)
		}
	case KindAnswer:
		var a answer
		if ok = a.decode(m.Payload); ok {
			n.handleAnswer(&a)
		}
	}
	return ok
}

// handleDigest applies a digest if no changes are missing before it. A digest is applied
// entirely or not at all.
func (n *Node) handleDigest(d *digest, now time.Duration) {
	p := n.peer(d.from, d.name, now)
	if p == nil {
		return
	}
	p.published = max(p.published, d.seq)
	switch {
	case p.needsSnapshot && d.reset: // the requested snapshot
	case p.needsSnapshot || p.isDuplicate(d.span) && n.enabled(ruleDuplicate):
		n.duplicates.Add(1)
		return
	case d.base > p.applied && n.enabled(ruleGap):
		n.gaps.Add(1)
		n.requestSync(p, now)
		return
	}
	if d.reset {
		p.beginSnapshot(d.snapshotEnd)
	}
	d.forEach(p.set)
	p.applyBatch()
	p.applied = d.seq
	if (d.reset || p.snapshotEnd != 0) && p.applied >= p.snapshotEnd {
		p.endSnapshot()
	}
	if p.behind() {
		p.syncSent = max(p.syncSent, now) // the peer is sending the rest: wait before the next request
	}
	n.requestSync(p, now)
}

// handleHeartbeat renews the peer's lease and compares its seq and hash with the received
// counts.
func (n *Node) handleHeartbeat(h *heartbeat, now time.Duration) {
	p := n.peer(h.from, h.name, now)
	if p == nil {
		return
	}
	// If the number is not greater than lastBeatNumber, this heartbeat was delayed, or
	// lastBeatNumber is the number of a forged heartbeat. Ignore the first heartbeat of this
	// kind. Accept the next one if its number is greater than that of the ignored heartbeat.
	if h.beat <= p.lastBeatNumber && (p.ignoredBeatNumber == 0 || h.beat <= p.ignoredBeatNumber) {
		p.ignoredBeatNumber = h.beat
		return
	}
	p.ignoredBeatNumber = 0
	if p.state != Live {
		n.scheduleGreeting(p, now)
	}
	p.lastBeatNumber, p.beatAt, p.flags = h.beat, now, h.flags
	p.leaseStart, p.state = now, Live
	switch {
	case h.seq < max(p.applied, p.snapshotEnd):
		// A received digest was forged, or the digest has overtaken the heartbeat.
		if n.enabled(ruleHeartbeatSeq) {
			p.published, p.needsSnapshot = h.seq, true
		}
	case h.seq > p.applied:
		if n.enabled(ruleHeartbeatSeq) {
			p.published = h.seq
		}
	case p.overLimit:
		// The hash differs because rooms were ignored. Wait for the hold time between two
		// requests for a snapshot.
		p.published, p.needsSnapshot = h.seq, p.needsSnapshot || now >= p.syncSent+n.hold
	case h.hash != p.hash && !p.needsSnapshot && n.enabled(ruleHeartbeatHash):
		n.mismatches.Add(1)
		p.published, p.needsSnapshot = h.seq, true
	default:
		p.published = h.seq
	}
	n.requestSync(p, now)
}
