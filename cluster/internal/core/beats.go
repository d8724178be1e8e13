package core

import "time"

func (m *Machine) sendHeartbeat(now time.Duration) {
	m.lastBeat = now
	m.beatDeadline = m.nextBeat + m.cfg.Heartbeat
	m.rounds++
	m.client.place(now)
	h := m.newHeartbeat(now)
	if m.cfg.Role == Client && m.rounds == 1 {
		m.send(Message{Kind: Heartbeat, Shard: ToAggregators, Payload: m.encode(h, m.feed)})
	}
	own := Message{Kind: Heartbeat, Payload: m.encode(h, m.feed)} // returns to this node: see echo
	own.beat = m.beats
	if m.cfg.Role == Client {
		own.Shard = m.cfg.ID.Shard()
	}
	m.send(own)
	if m.cfg.Role != Mesh {
		for _, p := range m.members.peers {
			m.sendHeartbeatTo(p, h)
		}
	}
	m.greeting, m.greetAt = nil, Never
}

// sendHeartbeatTo sends a heartbeat to one peer, about the feed to this peer.
func (m *Machine) sendHeartbeatTo(p *peer, h heartbeat) {
	f := m.feedTo(p)
	covered, before := h.collect, p.sent.collect // what the peer is requested to publish to this node
	if m.client != nil {
		h.collect, h.want = p.request.collect, p.request.want
		covered, before = h.want, p.sent.want
	}
	if m.cfg.Role != Mesh {
		h.to, h.cover, h.heard = p.id, f.shards, p.lastBeatNumber
	}
	m.send(Message{Kind: Heartbeat, Shard: p.id.Shard(), Payload: m.encode(h, f)})
	p.sent = shardRequest{h.collect, h.want}
	if covered != before {
		p.requestBeat = m.beats
		p.cover &= covered
	}
}

// encode numbers and encodes a heartbeat about a feed.
func (m *Machine) encode(h heartbeat, f *feed) []byte {
	m.beats++
	h.seq, h.hash, h.rooms, h.beat = f.seq, f.hash, uint64(f.live()), m.beats
	return h.encode()
}

// newHeartbeat returns a heartbeat without the fields that depend on the receiver.
func (m *Machine) newHeartbeat(now time.Duration) heartbeat {
	h := heartbeat{from: m.cfg.ID, name: []byte(m.cfg.Name), minVersion: version, maxVersion: version,
		intervalMS: uint64(m.cfg.Heartbeat.Milliseconds()), maxRooms: uint64(m.cfg.MaxRooms), userKey: m.cfg.UserKey}
	if len(m.Reasons(now)) > 0 {
		h.flags |= flagDegraded
	}
	if m.overloaded || len(m.replies.queue) > maxSyncs {
		h.flags |= flagBacklog
	}
	switch m.cfg.Role {
	case Client:
		h.flags |= flagClient
		if m.cfg.Everything {
			h.flags |= flagEverything
		}
	case Aggregator:
		h.flags |= flagAggregator
		m.aggregator.describe(&h, now)
	}
	return h
}
