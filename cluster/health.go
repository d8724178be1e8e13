package cluster

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Health is how a node sees its service and itself, for operators and load balancers.
type Health struct {
	Name        string `json:"name"`
	Incarnation string `json:"incarnation"` // of this start of the node: 32 hexadecimal digits

	// Degraded: what the engine says of other nodes may not be fresh. The bus is down, or
	// the node has not been linked, or was not running, for a heartbeat and a half; or
	// something a peer published is not here yet, as far as its last heartbeat told, or that
	// is a lease ago; or the bus lost something of late; or limits keep something out.
	Degraded  bool `json:"degraded"`
	Connected bool `json:"connected"` // the bus is

	Rooms int          `json:"rooms"` // in which this node has somebody, as published
	Peers []PeerHealth `json:"peers"` // by name, and then incarnation

	// Since Start. Bytes are payloads, without what the bus adds.
	MessagesIn  uint64 `json:"messagesIn"`
	MessagesOut uint64 `json:"messagesOut"`
	BytesIn     uint64 `json:"bytesIn"`
	BytesOut    uint64 `json:"bytesOut"`
	Unsent      uint64 `json:"unsent"`     // messages that the bus did not take
	Malformed   uint64 `json:"malformed"`  // messages that were none, or of a version to come
	Duplicates  uint64 `json:"duplicates"` // digests that were known
	Gaps        uint64 `json:"gaps"`       // digests that came without those before
	Mismatches  uint64 `json:"mismatches"` // heartbeats that showed that what was here was wrong
	Resyncs     uint64 `json:"resyncs"`    // how often a peer was to be asked for what was missed
	Served      uint64 `json:"served"`     // how often a peer was sent what it missed
	Lossy       uint64 `json:"lossy"`      // how often the bus said that this node was too slow
	Doubts      uint64 `json:"doubts"`     // how often this node stood still for more than a heartbeat
	Dropped     uint64 `json:"dropped"`    // peers that left without a Bye
	TooMany     uint64 `json:"tooMany"`    // messages of peers beyond WithMaxPeers
}

// PeerHealth is how a node sees a peer.
type PeerHealth struct {
	Name        string        `json:"name"`
	Incarnation string        `json:"incarnation"`
	State       State         `json:"state"`
	Age         time.Duration `json:"age"`      // since its last heartbeat, in nanoseconds as JSON
	Rooms       int           `json:"rooms"`    // in which it has somebody, whether or not a limit keeps them out
	Behind      bool          `json:"behind"`   // something that it published is not here
	Refused     int           `json:"refused"`  // rooms that a limit keeps out of the engine, or at what they were
	Over        bool          `json:"over"`     // it has more rooms than WithMaxRooms; the rest do not count
	Degraded    bool          `json:"degraded"` // it says so of itself
}

// tally is what is counted as it happens.
type tally struct {
	rooms                                      atomic.Int64
	messagesIn, messagesOut, bytesIn, bytesOut atomic.Uint64
	unsent, malformed, duplicates, gaps        atomic.Uint64
	mismatches, syncs, served                  atomic.Uint64
	lossy, doubts, dropped, tooMany            atomic.Uint64
}

// Health tells how it is now. The fields are read one after another and are no
// snapshot. It does not wait for the bus. After Close there are no peers.
func (n *Node) Health() Health {
	h := Health{
		Name:        n.name,
		Incarnation: hex.EncodeToString(n.id[:]),
		Rooms:       int(n.rooms.Load()),
		MessagesIn:  n.messagesIn.Load(),
		MessagesOut: n.messagesOut.Load(),
		BytesIn:     n.bytesIn.Load(),
		BytesOut:    n.bytesOut.Load(),
		Unsent:      n.unsent.Load(),
		Malformed:   n.malformed.Load(),
		Duplicates:  n.duplicates.Load(),
		Gaps:        n.gaps.Load(),
		Mismatches:  n.mismatches.Load(),
		Resyncs:     n.syncs.Load(),
		Served:      n.served.Load(),
		Lossy:       n.lossy.Load(),
		Doubts:      n.doubts.Load(),
		Dropped:     n.dropped.Load(),
		TooMany:     n.tooMany.Load(),
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
			Age:         now - p.beatAt,
			Rooms:       p.rooms,
			Behind:      p.behind(),
			Refused:     len(p.refused),
			Over:        p.over,
			Degraded:    p.flags&flagDegraded != 0,
		})
	}
	slices.SortFunc(h.Peers, func(a, b PeerHealth) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Incarnation, b.Incarnation))
	})
	return h
}

// degraded reports whether what is known may not be fresh. The caller has mu.
func (n *Node) degraded(now time.Duration) bool {
	return !n.connected || now < n.settled || now > n.late || slices.ContainsFunc(n.peers, func(p *peer) bool {
		// After our own doubt a lease begins anew, but what we know is as old as it was.
		return p.state != Live || now >= p.beatAt+n.lease || p.behind() || len(p.refused) > 0 || p.over
	})
}
