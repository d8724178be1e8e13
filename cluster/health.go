package cluster

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Health is the state of a node and its peers, for operators and load balancers.
type Health struct {
	Name        string `json:"name"`
	Incarnation string `json:"incarnation"` // identifies this start of the node: 32 hexadecimal digits

	// Degraded reports whether the counts of other nodes may be incomplete or out of date:
	//   - the bus is disconnected;
	//   - the node has sent no heartbeat for two heartbeat intervals, as after a pause;
	//   - within the last one and a half heartbeat intervals, the node was started or
	//     resumed, or the bus was connected or lost messages;
	//   - a peer is not Live, or has sent no heartbeat for a lease;
	//   - a change that a peer has published was not received yet;
	//   - an option or the engine's room limit refuses some counts of a peer, or there are
	//     more peers than WithMaxPeers.
	Degraded  bool `json:"degraded"`
	Connected bool `json:"connected"` // the bus is connected

	Rooms int          `json:"rooms"` // rooms of this process that are not empty, as published
	Peers []PeerHealth `json:"peers"` // sorted by name, then incarnation

	// The following are counted since Start. Bytes are those of payloads, without the
	// overhead of the bus.
	MessagesIn    uint64 `json:"messagesIn"`
	MessagesOut   uint64 `json:"messagesOut"`
	BytesIn       uint64 `json:"bytesIn"`
	BytesOut      uint64 `json:"bytesOut"`
	Unsent        uint64 `json:"unsent"`        // messages for which the bus returned an error
	Malformed     uint64 `json:"malformed"`     // received messages that are invalid or of an unsupported version
	Duplicates    uint64 `json:"duplicates"`    // digests received again, or not needed
	Gaps          uint64 `json:"gaps"`          // digests received without an earlier one
	Mismatches    uint64 `json:"mismatches"`    // heartbeats with another hash than that of the received counts
	Resyncs       uint64 `json:"resyncs"`       // sync requests to peers
	Served        uint64 `json:"served"`        // sync requests of peers that were served
	Lossy         uint64 `json:"lossy"`         // times that the bus reported Lossy
	Pauses        uint64 `json:"pauses"`        // times that this node was paused for more than a heartbeat
	Dropped       uint64 `json:"dropped"`       // peers that were dropped without a Bye
	RejectedPeers uint64 `json:"rejectedPeers"` // messages dropped because there are WithMaxPeers peers
}

// PeerHealth is the state of a peer.
type PeerHealth struct {
	Name           string        `json:"name"`
	Incarnation    string        `json:"incarnation"`
	State          State         `json:"state"`
	SinceHeartbeat time.Duration `json:"sinceHeartbeat"` // time since its last heartbeat, in JSON as nanoseconds
	Rooms          int           `json:"rooms"`          // its rooms that are not empty, including refused ones
	Behind         bool          `json:"behind"`         // a change that it has published was not received yet
	Refused        int           `json:"refused"`        // rooms whose counts exceed WithMaxCount or were refused by the engine
	OverLimit      bool          `json:"overLimit"`      // it has more rooms than WithMaxRooms; the rest is ignored
	Degraded       bool          `json:"degraded"`       // its own Health reports Degraded
}

// tally contains the counters of Health.
type tally struct {
	rooms                                      atomic.Int64
	messagesIn, messagesOut, bytesIn, bytesOut atomic.Uint64
	unsent, malformed, duplicates, gaps        atomic.Uint64
	mismatches, syncs, served                  atomic.Uint64
	lossy, pauses, dropped, rejectedPeers      atomic.Uint64
}

// Health returns the current state. It does not wait for the bus. The counters are read
// one after another and are not a snapshot. After Close there are no peers.
func (n *Node) Health() Health {
	h := Health{
		Name:          n.name,
		Incarnation:   hex.EncodeToString(n.id[:]),
		Rooms:         int(n.rooms.Load()),
		MessagesIn:    n.messagesIn.Load(),
		MessagesOut:   n.messagesOut.Load(),
		BytesIn:       n.bytesIn.Load(),
		BytesOut:      n.bytesOut.Load(),
		Unsent:        n.unsent.Load(),
		Malformed:     n.malformed.Load(),
		Duplicates:    n.duplicates.Load(),
		Gaps:          n.gaps.Load(),
		Mismatches:    n.mismatches.Load(),
		Resyncs:       n.syncs.Load(),
		Served:        n.served.Load(),
		Lossy:         n.lossy.Load(),
		Pauses:        n.pauses.Load(),
		Dropped:       n.dropped.Load(),
		RejectedPeers: n.rejectedPeers.Load(),
	}
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	h.Peers = make([]PeerHealth, 0, len(n.peers))
	h.Connected, h.Degraded = n.connected, n.degraded(now)
	for _, p := range n.peers {
		h.Peers = append(h.Peers, PeerHealth{
			Name:           p.name,
			Incarnation:    hex.EncodeToString(p.id[:]),
			State:          p.state,
			SinceHeartbeat: now - p.beatAt,
			Rooms:          p.rooms,
			Behind:         p.behind(),
			Refused:        len(p.refused),
			OverLimit:      p.overLimit,
			Degraded:       p.flags&flagDegraded != 0,
		})
	}
	slices.SortFunc(h.Peers, func(a, b PeerHealth) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Incarnation, b.Incarnation))
	})
	return h
}

// degraded computes Health.Degraded. The caller holds mu.
func (n *Node) degraded(now time.Duration) bool {
	return !n.connected || now < n.freshAt || now > n.beatDeadline || slices.ContainsFunc(n.peers, func(p *peer) bool {
		// Not leaseStart, as renewLeases changes it without a heartbeat.
		return p.state != Live || now >= p.beatAt+n.lease || p.behind() || len(p.refused) > 0 || p.overLimit
	})
}
