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
	//   - the node has sent no heartbeat for two heartbeat intervals, because it was paused;
	//   - within the last one and a half heartbeat intervals, the node has started or
	//     resumed, or the bus was connected or lost messages;
	//   - a peer is not Live, or no heartbeat of a peer has arrived within its lease;
	//   - a peer has published a change that this node has not received yet;
	//   - an option or the engine's room limit refuses some counts of a peer;
	//   - there are more peers than WithMaxPeers allows.
	Degraded  bool `json:"degraded"`
	Connected bool `json:"connected"` // whether the bus is connected

	Rooms int          `json:"rooms"` // occupied rooms that this node has published
	Peers []PeerHealth `json:"peers"` // sorted by name and incarnation

	// The following are counters since Start. BytesIn and BytesOut count the bytes of
	// payloads, without the overhead of the bus.
	MessagesIn  uint64 `json:"messagesIn"`
	MessagesOut uint64 `json:"messagesOut"`
	BytesIn     uint64 `json:"bytesIn"`
	BytesOut    uint64 `json:"bytesOut"`
	Unsent      uint64 `json:"unsent"`     // messages for which the bus returned an error
	Malformed   uint64 `json:"malformed"`  // received messages that are invalid or of an unsupported version
	Duplicates  uint64 `json:"duplicates"` // digests that were received again or were not needed
	Gaps        uint64 `json:"gaps"`       // digests that arrived while an earlier digest was missing
	Mismatches  uint64 `json:"mismatches"` // heartbeats whose hash differed from the hash of the received counts
	Resyncs     uint64 `json:"resyncs"`    // sync requests to peers
	Served      uint64 `json:"served"`     // sync requests of peers that this node has answered
	Lossy       uint64 `json:"lossy"`      // Lossy events of the bus
	Pauses      uint64 `json:"pauses"`     // pauses of this node that were longer than a heartbeat interval
	Dropped     uint64 `json:"dropped"`    // peers that were dropped without a Bye

	// RejectedPeers is the number of times that a node was rejected as a peer, because there
	// were already as many peers as WithMaxPeers allows. Each message of such a node counts.
	RejectedPeers uint64 `json:"rejectedPeers"`
}

// PeerHealth is the state of a peer.
type PeerHealth struct {
	Name        string `json:"name"`
	Incarnation string `json:"incarnation"`
	State       State  `json:"state"`
	Rooms       int    `json:"rooms"`     // the peer's occupied rooms, including refused rooms
	Behind      bool   `json:"behind"`    // the peer has published a change that this node has not received yet
	Refused     int    `json:"refused"`   // rooms that the engine has refused, or whose counts exceed the limit of WithMaxCount
	OverLimit   bool   `json:"overLimit"` // the peer has more rooms than WithMaxRooms allows; this node ignores the rest
	Degraded    bool   `json:"degraded"`  // the peer reports that it is Degraded

	// SinceHeartbeat is the time since the last heartbeat of the peer, in JSON as
	// nanoseconds.
	SinceHeartbeat time.Duration `json:"sinceHeartbeat"`
}

// tally contains the counters of Health.
type tally struct {
	rooms                                      atomic.Int64
	messagesIn, messagesOut, bytesIn, bytesOut atomic.Uint64
	unsent, malformed, duplicates, gaps        atomic.Uint64
	mismatches, syncs, served                  atomic.Uint64
	lossy, pauses, dropped, rejectedPeers      atomic.Uint64
}

// Health returns the current state. It does not wait for the bus. It reads the counters
// one after another, so they can be of slightly different times. After Close, Peers is
// empty.
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
			Name:        p.name,
			Incarnation: hex.EncodeToString(p.id[:]),
			State:       p.state,
			Rooms:       p.rooms,
			Behind:      p.behind(),
			Refused:     len(p.refused),
			OverLimit:   p.overLimit,
			Degraded:    p.flags&flagDegraded != 0,

			SinceHeartbeat: now - p.beatAt,
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
		// Use beatAt, because renewLeases changes leaseStart without a heartbeat.
		return p.state != Live || now >= p.beatAt+n.lease || p.behind() || len(p.refused) > 0 || p.overLimit
	})
}
