// Package core is the protocol of package cluster as a state machine. It has no goroutines,
// no clock, no locks and no I/O. The inputs are method calls, and each of them has the
// current time as a parameter where it matters. The outputs are messages to publish, tables
// to close, and the time of the next call of Tick. Package cluster connects a Machine to an
// engine and to a Bus.
//
//	 inputs                       Machine                              outputs
//	          +--------------------------------------------------+
//	Receive   |  members   the peers and their leases            |  Take: messages,
//	Change    |  stream    which changes of a peer have arrived  |        tables to close
//	Tick      |  table     the counts of a peer                  |  Deadline
//	SetBus... |  ledger    the published counts of this node     |  Degraded, Peers
//	Sent      |  feed      publishes a ledger in digests         |  Table.Set
//	Ask       |  replies   the sync requests to answer           |  Call results
//	          |  queries   calls of Get                          |
//	          |  client    the aggregators that a client uses    |
//	          |  aggregator  the sums of the clients' counts     |
//	          +--------------------------------------------------+
package core

import (
	"iter"
	"time"

	"github.com/occupancy/occupancy"
)

// Config contains the settings of a Machine. All fields are required, unless their comments say
// otherwise.
type Config struct {
	ID   Incarnation
	Name string
	Role Role

	Heartbeat, Lease, Hold, Forget              time.Duration
	ExpectedNodes, MaxPeers, MaxRooms, MaxCount int

	MaxUsers int    // see the constant MaxUsers; simulations use less
	UserKey  uint64 // identifies the secret key of the hashes of users

	FlushSize      int // maximum size in bytes of a digest in a flush
	ReplySize      int // maximum size in bytes of a digest in a reply
	TombstoneSlack int // number of tombstones that are always kept

	// Local returns the current counts of this process.
	Local func(room string) occupancy.Occupancy

	// Yield is called after every 64 rooms of a large update. During the call, Ask, Result and
	// the methods without changes can be called.
	Yield func()

	// NewTable returns an empty table for the counts of a peer. With the role Client, it is
	// called once, for the counts of all other nodes. An Aggregator does not call it.
	NewTable func(name string) Table

	// Everything makes a Client receive the counts of all rooms.
	Everything bool

	// NextFlush returns the time at which an Aggregator publishes the changes of now. It can be nil
	// with another role.
	NextFlush func(now time.Duration) time.Duration

	// Expect is called before the given parts are added to a table, if these are not
	// arrivals: see Board.Expect of package trending. It can be nil.
	Expect func(parts []occupancy.Part, away time.Duration)
}

// Role is the part of a node in the exchange of counts.
type Role uint8

// The roles.
const (
	Mesh       Role = iota // exchanges counts with every other node
	Client                 // exchanges counts with the aggregators only
	Aggregator             // collects the counts of all clients, and publishes to each client the sums of the others
)

// Table stores the counts of a peer that are part of the totals. It is an
// [occupancy.Remote], whose documentation describes the methods, or a map in simulations.
type Table interface {
	Get(room string) occupancy.Part
	Set(parts ...occupancy.Part) error
	All() iter.Seq[occupancy.Part]
	Close() error
}

// Kind is the type of a message.
type Kind uint8

// The kinds of messages, with the same values as in package cluster.
const (
	Digest Kind = iota + 1
	Heartbeat
	Bye
	Query
	Answer
	SyncRequest
	SyncReply
)

// Message is a message to publish.
type Message struct {
	Kind    Kind
	Shard   uint32 // the receiver, or ToAll, or ToAggregators
	Payload []byte

	peer  *peer  // the receiver of a sync request
	beat  uint64 // the number of a heartbeat that returns to this node, or 0
	query *query // the query in the message
}

// The shards of messages to many nodes.
const (
	ToAll         = 0
	ToAggregators = 1
)

// State is the state of a peer.
type State uint8

// The states of a peer, with the same values as in package cluster.
const (
	Live State = iota
	Suspect
	Held
	Missing
)

// Never is a time that is never reached.
const Never = time.Duration(1<<63 - 1)

// Counters count events since the creation of a Machine.
type Counters struct {
	MessagesIn, MessagesOut, BytesIn, BytesOut uint64
	Unsent, Malformed, Duplicates, Gaps        uint64
	Mismatches, Resyncs, Served                uint64
	Lossy, Pauses, Dropped, RejectedPeers      uint64
}

// PeerStatus is the state of a peer, for operators.
type PeerStatus struct {
	ID             Incarnation
	Name           string
	State          State
	Rooms          int
	Behind         bool
	Refused        int
	OverLimit      bool
	Estimated      int
	OtherSecret    bool
	Degraded       bool
	Backlog        bool
	IgnoresRooms   bool
	SameName       bool
	Unsupported    bool
	SinceHeartbeat time.Duration
}
