package cluster

import "time"

// receive takes a message. One that is malformed changes nothing.
func (n *Node) receive(m Message) {
	n.messagesIn.Add(1)
	n.bytesIn.Add(uint64(len(m.Payload)))
	now := n.now()
	n.mu.Lock()
	ok := n.take(m, now)
	n.mu.Unlock()
	if !ok {
		n.malformed.Add(1)
	}
	n.send()
}

func (n *Node) take(m Message, now time.Duration) (ok bool) {
	switch m.Subject.Kind {
	case KindDigest, KindSyncReply:
		var d digest
		if ok = d.decode(m.Payload); ok {
			n.digest(&d, now)
		}
	case KindHeartbeat:
		var h heartbeat
		if ok = h.decode(m.Payload); ok {
			n.heard(&h, now)
		}
	case KindBye:
		var b bye
		if ok = b.decode(m.Payload); ok {
			n.bye(b.from, now)
		}
	case KindSyncRequest:
		var r syncRequest
		if ok = r.decode(m.Payload); ok {
			n.want(r, now)
		}
	case KindQuery:
		var q queryMessage
		if ok = q.decode(m.Payload); ok {
			n.answer(&q)
		}
	case KindAnswer:
		var a answer
		if ok = a.decode(m.Payload); ok {
			n.answered(&a)
		}
	}
	return ok
}

// digest applies what a peer said of its rooms: entirely, in order, once.
func (n *Node) digest(d *digest, now time.Duration) {
	p := n.peer(d.from, d.name, now)
	if p == nil {
		return
	}
	p.head = max(p.head, d.seq)
	switch {
	case p.reset && d.reset: // what was asked for
	case p.reset || p.has(d.span) && n.on(ruleDuplicate):
		n.duplicates.Add(1)
		return
	case d.base > p.last && n.on(ruleGap):
		n.gaps.Add(1)
		n.catchUp(p, now)
		return
	}
	if d.reset {
		p.begin(d.snapshot)
	}
	d.each(p.set)
	p.flush()
	p.last = d.seq
	if (d.reset || p.snapshot != 0) && p.last >= p.snapshot {
		p.complete()
	}
	if p.behind() {
		p.asked = max(p.asked, now) // more is on its way: give it as long again
	}
	n.catchUp(p, now)
}

// heard takes a heartbeat: the peer lives, and what it published is here or is not.
func (n *Node) heard(h *heartbeat, now time.Duration) {
	p := n.peer(h.from, h.name, now)
	if p == nil {
		return
	}
	if h.beat <= p.beat && (p.late == 0 || h.beat <= p.late) {
		p.late = h.beat // and says nothing; but if later ones are late as well, p.beat never was
		return
	}
	p.late = 0
	if p.state != Live {
		n.welcome(p, now)
	}
	p.beat, p.beatAt, p.flags = h.beat, now, h.flags
	p.heard, p.state = now, Live
	switch {
	case h.seq < max(p.last, p.snapshot):
		// What came was never published, or it overtook the heartbeat.
		if n.on(ruleHeartbeatSeq) {
			p.head, p.reset = h.seq, true
		}
	case h.seq > p.last:
		if n.on(ruleHeartbeatSeq) {
			p.head = h.seq
		}
	case p.over:
		// It has more than may be here, so the hash cannot tell; look again now and then.
		p.head, p.reset = h.seq, p.reset || now >= p.asked+n.hold
	case h.hash != p.hash && !p.reset && n.on(ruleHeartbeatHash):
		n.mismatches.Add(1)
		p.head, p.reset = h.seq, true
	default:
		p.head = h.seq
	}
	n.catchUp(p, now)
}
