package core

import (
	"encoding/binary"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/occupancy/occupancy"
)

// Receive handles a message. A malformed message changes nothing.
func (m *Machine) Receive(kind Kind, payload []byte, now time.Duration) {
	m.Received(payload, m.dispatch(kind, payload, now))
	m.aggregator.schedule(now)
}

// Received counts a message that was received.
func (m *Machine) Received(payload []byte, valid bool) {
	m.MessagesIn++
	m.BytesIn += uint64(len(payload))
	if !valid {
		m.Malformed++
	}
}

// dispatch decodes and handles a message. It reports whether the message is valid.
func (m *Machine) dispatch(kind Kind, payload []byte, now time.Duration) (ok bool) {
	switch kind {
	case Digest, SyncReply:
		var d digest
		if ok = d.decode(payload); ok {
			m.handleDigest(&d, now)
		}
	case Heartbeat:
		var h heartbeat
		if ok = h.decode(payload); ok {
			if h.from == m.cfg.ID {
				m.echo.returned(h.beat, now)
			} else {
				m.handleHeartbeat(&h, now)
			}
		}
	case Bye:
		var b bye
		if ok = b.decode(payload); ok {
			m.handleBye(b.from, now)
		}
	case SyncRequest:
		var r syncRequest
		if ok = r.decode(payload); ok {
			m.handleSyncRequest(r, now)
		}
	case Query:
		var q queryMessage
		if ok = q.decode(payload); ok && q.from != m.cfg.ID {
			m.handleQuery(&q, now)
		}
	case Answer:
		var a answer
		if ok = a.decode(payload); ok && a.to == m.cfg.ID {
			if t := m.queries.tops[a.id]; t != nil {
				t.add(m.members.byID[a.from], &a)
			} else {
				m.queries.answer(&a)
			}
		}
	}
	return ok
}

// peer returns the peer with this incarnation and adds it if necessary. It returns nil for
// this node itself, for a peer that has sent a Bye, and if there are too many peers.
func (m *Machine) peer(id Incarnation, name []byte, now time.Duration) *peer {
	if p := m.members.byID[id]; p != nil {
		return p
	}
	if id == m.cfg.ID || m.members.left(id, now) {
		return nil
	}
	if len(m.members.peers) >= m.cfg.MaxPeers {
		missing := m.members.longestMissing()
		if missing == nil {
			m.RejectedPeers++
			m.freshAt = max(m.freshAt, now+m.cfg.Lease)
			return nil
		}
		m.members.drop(missing, false, now)
		m.forget([]*peer{missing})
	}
	feedSeq := m.members.recentlyDropped[id].feedSeq
	p, dropped := m.members.add(id, string(name), now)
	m.forget(dropped)
	p.table = table{cfg: &m.cfg, batch: &m.batch, accepted: m.newTable(p)}
	if m.cfg.Role != Mesh {
		p.feed = m.newFeed(id, m.maxFeedUsers())
		p.feed.continueAfter(feedSeq)
	}
	m.greet(p, now)
	m.check(now) // the lease of the peer that p replaces may have expired
	return p
}

// newTable returns an empty table for the counts of a peer.
func (m *Machine) newTable(p *peer) Table {
	switch m.cfg.Role {
	case Client:
		return &view{c: m.client, from: p, rooms: map[string]occupancy.Part{}}
	case Aggregator:
		return &clientTable{g: m.aggregator, peer: p, all: map[string]*clientPart{}}
	default:
		return m.cfg.NewTable(p.name)
	}
}

// greet schedules an early heartbeat for a new or returned peer, so that the peer knows
// this node soon. Each node has a different delay, so that the heartbeats of many nodes do
// not arrive at the same time.
func (m *Machine) greet(p *peer, now time.Duration) {
	if !slices.Contains(m.greeting, p) {
		m.greeting = append(m.greeting, p)
	}
	delay := m.cfg.Heartbeat / 8
	ownDelay := delay * time.Duration(m.cfg.ID[0]) / 256
	m.greetAt = min(m.greetAt, max(now, m.lastBeat+delay)+ownDelay)
}

// sendGreetings sends a heartbeat to the peers that wait for it. It sends one heartbeat to
// all peers if many are waiting, and otherwise one to each of them.
func (m *Machine) sendGreetings(now time.Duration) {
	if m.cfg.Role == Mesh && 8*len(m.greeting) > len(m.members.peers) {
		m.sendHeartbeat(now)
		return
	}
	h := m.newHeartbeat(now)
	for _, p := range m.greeting {
		m.sendHeartbeatTo(p, h)
	}
	m.greeting, m.greetAt = nil, Never
}

// handleDigest applies a digest if no changes are missing before it. A digest is applied
// entirely or not at all.
func (m *Machine) handleDigest(d *digest, now time.Duration) {
	p := m.sender(d, now)
	if p == nil {
		return
	}
	switch p.stream.receive(d.span) {
	case duplicate:
		m.Duplicates++
		return
	case gap:
		m.Gaps++
		m.requestSync(p, now)
		return
	}
	if d.reset {
		p.table.beginSnapshot()
	}
	accepted := p.table.accepted
	if m.cfg.Role == Mesh && p.isFirstSnapshot(d.span) {
		p.table.accepted = m.expecting(accepted, 0)
	}
	d.forEach(p.table.set)
	p.table.applyBatch()
	p.table.accepted = accepted
	requested := p.stream.requested
	if p.stream.apply(d.span, now) {
		p.table.endSnapshot()
	}
	p.known = p.known || p.stream.snapshotEnd == 0
	if p.stream.behind() || !requested {
		m.requestSync(p, now)
		return
	}
	for _, other := range m.members.peers { // another request can be sent
		m.requestSync(other, now)
	}
}

// sender returns the peer that has sent a digest to this node, or nil.
func (m *Machine) sender(d *digest, now time.Duration) *peer {
	switch {
	case m.cfg.Role == Mesh && d.to == (Incarnation{}):
		return m.peer(d.from, d.name, now)
	case m.cfg.Role != Mesh && d.to == m.cfg.ID:
		return m.members.byID[d.from]
	}
	return nil
}

// handleHeartbeat renews the peer's lease and compares its seq and hash with the received
// counts.
func (m *Machine) handleHeartbeat(h *heartbeat, now time.Duration) {
	role, toAll := h.role(), h.to == (Incarnation{})
	switch {
	case !toAll && h.to != m.cfg.ID:
		return
	case (role == Mesh) != (m.cfg.Role == Mesh):
		m.otherRole.heartbeat(string(h.name), now, now+m.cfg.Lease)
		return
	case role != Mesh && role == m.cfg.Role:
		return // clients do not communicate with each other, nor do aggregators
	}
	p := m.peer(h.from, h.name, now)
	if p == nil {
		return
	}
	if p.unsupported = h.unsupported; p.unsupported {
		p.flags = h.flags
		m.members.renewLease(p, now)
		return
	}
	if role != Mesh && toAll {
		return // it only announces the peer: it does not show that the peer receives messages from this node
	}
	p.maxRooms, p.otherSecret = h.maxRooms, h.userKey != 0 && h.userKey != m.cfg.UserKey
	wasMissing := p.state == Missing
	accepted, returned := m.members.heartbeat(p, h, now)
	if !accepted {
		return
	}
	if wasMissing && m.client == nil {
		restored := m.newTable(p)
		p.table.moveTo(m.expecting(restored, now-p.lostAt)) // adds the kept counts to the totals again
		p.table.accepted = restored
		m.aggregator.returned(p)
	}
	if returned {
		p.stream.attempts = 0
		m.greet(p, now)
	}
	p.collect, p.want, p.nodes, p.missing = h.collect, h.want, h.nodes, nil
	for _, name := range h.missing {
		p.missing = append(p.missing, string(name))
	}
	if m.overloaded {
		return // the digests before this heartbeat wait in the inbox
	}
	if p.stream.heartbeat(h.seq) {
		p.known = true
		switch {
		case p.table.overLimit:
			// The hash differs because rooms were ignored. Request a snapshot when all rooms fit.
			p.stream.needsSnapshot = h.rooms <= uint64(m.cfg.MaxRooms)
			p.setCover(h)
		case p.table.hash != h.hash:
			m.Mismatches++
			p.stream.needsSnapshot = true
		default:
			p.setCover(h)
		}
	}
	m.requestSync(p, now)
	m.client.heartbeat(p, now)
	m.aggregator.heartbeat(p, now)
}

// setCover stores which shards the received counts contain. A heartbeat that the peer sent before it
// received the last request adds no shards: the peer may be removing them.
func (p *peer) setCover(h *heartbeat) {
	if h.heard < p.requestBeat {
		p.cover &= h.cover
	} else {
		p.cover = h.cover
	}
}

// handleBye drops the peer. The sender can be unknown, because its Bye can arrive before
// its other messages.
func (m *Machine) handleBye(id Incarnation, now time.Duration) {
	if id == m.cfg.ID {
		return
	}
	if p := m.members.byID[id]; p != nil {
		m.members.drop(p, true, now)
		m.forget([]*peer{p})
		m.client.place(now)
		return
	}
	m.members.remember(id, droppedPeer{until: now + m.members.memory(), bye: true})
}

// requestSync requests the missing changes from the peer, if any are missing. It sends the
// request now, or schedules it. A peer without a heartbeat within its lease cannot reply.
func (m *Machine) requestSync(p *peer, now time.Duration) {
	if p.state != Live || !p.stream.behind() {
		return
	}
	random := mix(binary.BigEndian.Uint64(m.cfg.ID[:]) ^ uint64(p.stream.syncSent))
	next := p.stream.nextSync(p.flags&flagBacklog != 0, uint8(random), 2*m.echo.delay)
	if now < next {
		m.members.checkAt = min(m.members.checkAt, next)
		return
	}
	m.members.checkAt = min(m.members.checkAt, now+syncInterval/2) // to send or repeat the request
	waiting := 0
	for _, other := range m.members.peers {
		waiting += toInt(other.stream.awaiting(now))
	}
	if waiting < maxSyncs {
		r := syncRequest{from: m.cfg.ID, to: p.id, since: p.stream.request(now)}
		m.Resyncs++
		m.send(Message{Kind: SyncRequest, Shard: p.id.Shard(), Payload: r.encode(), peer: p})
	}
}

// feedTo returns the feed to a peer. With the role Mesh, all peers have the same feed. Otherwise, a
// peer that is nil has none.
func (m *Machine) feedTo(p *peer) *feed {
	switch {
	case m.cfg.Role == Mesh:
		return m.feed
	case p == nil:
		return nil
	}
	return p.feed
}

// handleSyncRequest queues the request of another node. The node can be unknown, because
// its request can arrive before its first heartbeat.
func (m *Machine) handleSyncRequest(r syncRequest, now time.Duration) {
	if r.to == m.cfg.ID && !m.members.left(r.from, now) {
		if f := m.feedTo(m.members.byID[r.from]); f != nil {
			m.replies.add(request{r, f})
		}
	}
}

// reply sends the next digest that answers a sync request.
func (m *Machine) reply(now time.Duration, size int) {
	to, payload := m.replies.encode(max(m.cfg.FlushSize, min(size, m.cfg.ReplySize)), now)
	if payload != nil {
		m.send(Message{Kind: SyncReply, Shard: to.Shard(), Payload: payload})
	}
}

// handleQuery answers another node's query.
func (m *Machine) handleQuery(q *queryMessage, now time.Duration) {
	a := answer{from: m.cfg.ID, to: q.from, id: q.id}
	if m.aggregator != nil && q.top > 0 {
		m.aggregator.answerTop(q, &a, now)
	}
	for _, room := range q.rooms {
		if m.aggregator != nil {
			counts, users := m.aggregator.answer(q.from, string(room))
			a.parts = append(a.parts, counts)
			a.users = protowire.AppendVarint(a.users, users)
		} else {
			a.parts = append(a.parts, toRoomCounts(m.cfg.Local(string(room))))
		}
	}
	m.send(Message{Kind: Answer, Shard: q.from.Shard(), Payload: a.encode()})
}
