package cluster

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/occupancy/occupancy/cluster/internal/core"
)

// Health is the state of a node and its peers, for operators and load balancers.
type Health struct {
	Name        string `json:"name"`
	Incarnation string `json:"incarnation"` // identifies this start of the node: 32 hexadecimal digits

	// Degraded reports whether the counts of other nodes may be incomplete or out of date.
	// Reasons contains the reasons; it is empty if Degraded is false.
	Degraded  bool     `json:"degraded"`
	Reasons   []Reason `json:"reasons"`
	Connected bool     `json:"connected"` // whether the bus is connected

	// BusDelay is the time that the last heartbeat of this node needed to return to it, or
	// the time since a heartbeat that has not returned. In JSON as nanoseconds.
	BusDelay time.Duration `json:"busDelay"`

	// Nodes is the number of nodes that are counted, including this one. With [WithSharding], it is
	// the number of nodes of which an aggregator has received a heartbeat within two and a half
	// heartbeat intervals.
	Nodes int `json:"nodes"`

	Rooms int `json:"rooms"` // occupied rooms that this node has published

	// Waiting is the number of rooms whose changes are due to be published, but wait
	// because the node or the bus is slow. At most about 4096 rooms are counted.
	Waiting int `json:"waiting"`

	// Sharded reports whether the node exchanges counts through aggregators: see [WithSharding]. Then
	// Peers are the aggregators.
	Sharded bool `json:"sharded"`

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
	Dropped     uint64 `json:"dropped"`    // peers whose counts were removed although they sent no Bye

	// RejectedPeers is the number of times that a node was rejected as a peer, because there
	// were already as many peers as WithMaxPeers allows. Each message of such a node counts.
	RejectedPeers uint64 `json:"rejectedPeers"`
}

// Reason is a reason for Degraded:
//   - the bus is disconnected;
//   - the node has just started or resumed, or the bus has lost messages: within one and a
//     half heartbeat intervals, the peers' heartbeats show which changes are missing;
//   - the node is overloaded: many received messages wait to be handled;
//   - the node was paused: it has sent no heartbeat for two heartbeat intervals;
//   - own heartbeats are not delivered: for two heartbeat intervals, none has returned;
//   - the delay of the bus is longer than half a lease;
//   - fewer nodes are known than WithExpectedNodes requires;
//   - a peer has another secret, see [WithSecret];
//   - the version of a peer is not supported;
//   - a peer is not Live, or no heartbeat of a peer has arrived within its lease;
//   - a peer has published a change that this node has not received yet;
//   - an option or the engine's room limit refuses some counts of a peer;
//   - there are more peers than WithMaxPeers allows.
//
// With [WithSharding], the reasons about peers are those of the aggregators whose counts the node
// uses. In addition:
//   - no aggregator has the counts of all nodes, for some rooms: for example, none is running;
//   - an aggregator has stopped, and the node has not changed to another one yet;
//   - an aggregator is Degraded: if nodes are missing, the reasons contain their names;
//   - an aggregator does not know all nodes: another one knows more;
//   - not all nodes use WithSharding: the reason contains the name of one that differs from this one.
type Reason struct {
	Text  string    `json:"text"`  // for people; contains the name of the peer, if it is about a peer
	Since time.Time `json:"since"` // accurate to one heartbeat interval
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
	Estimated   int    `json:"estimated"` // rooms with more than 4096 users of the peer: this node estimates the users of these rooms
	Degraded    bool   `json:"degraded"`  // the peer reports that it is Degraded
	Backlog     bool   `json:"backlog"`   // the peer reports that it is overloaded: messages or sync requests wait to be handled

	// IgnoresRooms reports that this node has more rooms than the option WithMaxRooms of the
	// peer allows: the peer ignores the rest, and its counts are too small.
	IgnoresRooms bool `json:"ignoresRooms"`

	// SameName reports that another running node has the same name. Both are counted, but
	// Reasons and PartialError cannot distinguish them.
	SameName bool `json:"sameName"`

	// OtherSecret reports that the peer has another secret, see [WithSecret]: a user on both nodes
	// counts more than once.
	OtherSecret bool `json:"otherSecret"`

	// Unsupported reports that this version of the package cannot read the messages of the
	// peer. The counts of the peer are not part of the totals.
	Unsupported bool `json:"unsupported"`

	// SinceHeartbeat is the time since the last heartbeat of the peer, in JSON as
	// nanoseconds.
	SinceHeartbeat time.Duration `json:"sinceHeartbeat"`
}

// Health returns the current state. It does not wait for the bus. After Close, Peers is
// empty.
func (n *Node) Health() Health {
	h := n.health()
	h.Waiting = int(n.waiting.Load())
	return h
}

// health can be called from any goroutine.
func (d *driver) health() Health {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, c := d.now(), d.core
	h := Health{
		Name:          d.Name,
		Incarnation:   hex.EncodeToString(d.ID[:]),
		Reasons:       []Reason{},
		BusDelay:      c.BusDelay(now),
		Connected:     c.Connected(),
		Rooms:         c.Rooms(),
		Nodes:         c.Nodes(),
		Sharded:       d.Role != core.Mesh,
		Peers:         []PeerHealth{},
		MessagesIn:    c.MessagesIn,
		MessagesOut:   c.MessagesOut,
		BytesIn:       c.BytesIn,
		BytesOut:      c.BytesOut,
		Unsent:        c.Unsent,
		Malformed:     c.Malformed,
		Duplicates:    c.Duplicates,
		Gaps:          c.Gaps,
		Mismatches:    c.Mismatches,
		Resyncs:       c.Resyncs,
		Served:        c.Served,
		Lossy:         c.Lossy,
		Pauses:        c.Pauses,
		Dropped:       c.Dropped,
		RejectedPeers: c.RejectedPeers,
	}
	for _, r := range c.Reasons(now) {
		h.Reasons = append(h.Reasons, Reason{r.Text, d.start.Add(r.Since)})
	}
	h.Degraded = len(h.Reasons) > 0
	for _, p := range c.Peers(now) {
		h.Peers = append(h.Peers, PeerHealth{
			Name:           p.Name,
			Incarnation:    hex.EncodeToString(p.ID[:]),
			State:          State(p.State),
			Rooms:          p.Rooms,
			Behind:         p.Behind,
			Refused:        p.Refused,
			OverLimit:      p.OverLimit,
			Estimated:      p.Estimated,
			OtherSecret:    p.OtherSecret,
			Degraded:       p.Degraded,
			Backlog:        p.Backlog,
			IgnoresRooms:   p.IgnoresRooms,
			SameName:       p.SameName,
			Unsupported:    p.Unsupported,
			SinceHeartbeat: p.SinceHeartbeat,
		})
	}
	slices.SortFunc(h.Peers, func(a, b PeerHealth) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Incarnation, b.Incarnation))
	})
	return h
}

// State is the state of a peer.
type State uint8

// The states of a peer.
const (
	Live    State = iota // a heartbeat was received within the lease
	Suspect              // the lease has expired; the counts are removed one heartbeat interval later
	Held                 // most peers were lost together; the peer's last counts are kept for the hold time
	Missing              // the peer was lost; its counts are not part of the totals
)

func (s State) String() string {
	switch s {
	case Live:
		return "live"
	case Suspect:
		return "suspect"
	case Held:
		return "held"
	case Missing:
		return "missing"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// MarshalText returns the same as String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (s *State) UnmarshalText(text []byte) error {
	for _, known := range []State{Live, Suspect, Held, Missing} {
		if known.String() == string(text) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("cluster: unknown peer state %q: want live, suspect, held or missing", text)
}
