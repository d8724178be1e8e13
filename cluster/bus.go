package cluster

import (
	"context"
	"fmt"
	"io"
)

// Bus moves bytes between the nodes of one service. A Bus publishes and subscribes like the
// client of a message broker. It can lose, repeat and delay messages. A Bus does not know
// the protocol, which [Node] implements. Package clustertest has a Bus in memory and the
// test TestBus, which every Bus must pass.
//
// All methods can be called from any goroutine. Only one node at a time can use a Bus,
// because the node reads the channel of Events. The caller closes the node first, and then
// the Bus.
type Bus interface {
	// Publish sends the payload to all subscribers of the subject, also to those of the same
	// Bus: a node checks that its own heartbeats return. A Bus must not deliver these messages
	// without the broker. Publish does not wait until the subscribers receive the message,
	// so a slow subscriber does not delay Publish. The caller can reuse the payload when
	// Publish returns.
	//
	// As long as nothing fails, each subscriber receives the messages of one Bus in the
	// order of the Publish calls, even if their subjects differ. A nil error does not mean
	// that the message was delivered, and an error does not mean that it was not. A Bus can
	// queue a limited number of messages.
	//
	// Publish returns an error if the payload is larger than MaxPayload, after Close, and if
	// ctx is done. While the Bus is disconnected, Publish returns an error, or drops or queues
	// the message. It must not wait for the connection.
	Publish(ctx context.Context, subject Subject, payload []byte) error

	// Subscribe sends the messages of the subjects to out, from the time it returns
	// until the Closer is closed. The subscription survives disconnections. One channel
	// receives the messages of all subjects, so that their order is kept.
	//
	// The Bus never blocks on out. If out is full, the message is lost for this
	// subscriber and Events reports Lossy. Nothing is sent to out after the Close of the
	// Closer or of the Bus has returned. The Bus never closes out. The Closer can be closed
	// more than once. The receiver owns the payload of a message.
	Subscribe(ctx context.Context, subjects []Subject, out chan<- Message) (io.Closer, error)

	// Events returns the channel that reports the state of the connection. It is always
	// the same channel. The first event is the initial state, Connected or Disconnected.
	// Close closes the channel.
	//
	// The Bus reports Disconnected at most 5 s after the connection is lost, also if the broker
	// or the network fails silently, and Connected as soon as it delivers messages again.
	//
	// The Bus does not wait until an event is read. It can merge the unread events, as
	// [BusEvents] does. The last event is always the newest state. A Lossy or Disconnected
	// remains in the channel until it is read.
	Events() <-chan BusEvent

	// MaxPayload returns the current maximum size of a payload in bytes: at least
	// [MinPayload].
	MaxPayload() int

	// Close waits until the published messages have been sent or ctx is done, and then
	// disconnects. It can be called more than once. After Close, Publish and Subscribe
	// return an error.
	Close(ctx context.Context) error
}

// MinPayload is the maximum payload in bytes that every Bus must support.
const MinPayload = 64 << 10

// Message is a message that a Bus delivers.
type Message struct {
	Subject Subject
	Payload []byte
}

// Subject is the address of a message. A Bus converts a Subject to a subject name or
// channel name of its broker, for example "occupancy.v1.digest.0". Different Subjects must
// have different names.
//
// Each node chooses a random shard number when it starts. A message to one node has the
// shard number of this node. A message to all nodes has the shard number 0, and a message to all
// aggregators 1. A node subscribes to at most nine subjects, and an aggregator to nine more, however
// many rooms and peers there are.
type Subject struct {
	Kind  Kind
	Shard uint32 // the receiver: the shard number of one node, 0 for all nodes, or 1 for all aggregators
}

// String returns the kind's name and the shard, for example "digest.0". It contains only
// lower case letters, digits and one dot.
func (s Subject) String() string { return fmt.Sprintf("%s.%d", s.Kind, s.Shard) }

// Kind is the type of a message.
type Kind uint8

// The kinds of messages; cluster.proto defines their contents. A digest is a list of the
// rooms that have changed, with their current counts.
const (
	KindDigest      Kind = iota + 1 // to all nodes or to one node: a digest of the sender's changes
	KindHeartbeat                   // to all nodes or to one node: the sender is alive; contains the number of its last digest
	KindBye                         // to all nodes: the sender stops
	KindQuery                       // to all nodes or to one aggregator: a request for the current counts of some rooms
	KindAnswer                      // to one node: the counts that this node has queried
	KindSyncRequest                 // to one node: a request for the changes that the sender has missed
	KindSyncReply                   // to one node: a digest of the requested changes
	KindTrends                      // to one node: a request for the history of the trending rooms, or a piece of it
)

var kindNames = [...]string{
	KindDigest:      "digest",
	KindHeartbeat:   "heartbeat",
	KindBye:         "bye",
	KindQuery:       "query",
	KindAnswer:      "answer",
	KindSyncRequest: "sync",
	KindSyncReply:   "reply",
	KindTrends:      "trends",
}

// String returns the kind's name, in lower case letters only.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind%d", uint8(k))
}

// BusEvent is an event of a [Bus]'s connection.
type BusEvent uint8

// The events of a Bus.
const (
	Connected    BusEvent = iota + 1 // the Bus is connected and delivers messages
	Disconnected                     // the Bus is disconnected; messages are lost until the next Connected
	Lossy                            // the channel of a subscriber was full, and messages to it were lost
)

func (e BusEvent) String() string {
	switch e {
	case Connected:
		return "connected"
	case Disconnected:
		return "disconnected"
	case Lossy:
		return "lossy"
	}
	return fmt.Sprintf("BusEvent(%d)", uint8(e))
}
