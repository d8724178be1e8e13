package cluster

import (
	"context"
	"fmt"
	"io"
)

// Bus moves bytes between the nodes of one service. It knows nothing of the protocol,
// which is in [Node]. It publishes and subscribes like the client of a message broker, and
// may lose, repeat and delay messages. Package clustertest has a Bus in memory and the
// test TestBus, which every Bus must pass.
//
// All methods may be called from any goroutine. A Bus is used by one node at a time,
// which reads its Events. The caller that creates a Bus closes it, after the node.
type Bus interface {
	// Publish sends the payload to all subscribers of the subject, without waiting for
	// them. Slow subscribers do not delay it. It may or may not deliver to the
	// subscribers of the same Bus. The caller may reuse the payload when Publish returns.
	//
	// As long as nothing fails, each subscriber receives the messages of one Bus in the
	// order of the Publish calls, whatever their subjects. A nil error does not mean
	// that a message was delivered. An error means that it is not delivered: a message
	// that cannot be sent now is not kept and sent later, as later messages replace it.
	// Publish returns an error if the payload is larger than MaxPayload, after Close,
	// while the Bus is disconnected, and if ctx is done.
	Publish(ctx context.Context, subject Subject, payload []byte) error

	// Subscribe sends the messages of the subjects to out, from the time it returns
	// until the Closer is closed. The subscription survives disconnections. The
	// messages of all subjects are sent to the one channel, so that their order is kept.
	//
	// The Bus never blocks on out. If out is full, the message is lost for this
	// subscriber and Events reports Lossy. Nothing is sent to out after the Close of the
	// Closer or of the Bus has returned. Out is never closed. The Closer may be closed
	// more than once. The receiver owns the payload of a message.
	Subscribe(ctx context.Context, subjects []Subject, out chan<- Message) (io.Closer, error)

	// Events reports the state of the connection. It always returns the same channel.
	// The first event is the initial state, Connected or Disconnected. The Bus never
	// waits for a reader: it may fold unread events, as [BusEvents] does, but the newest
	// state and a Lossy are always reported, and a Disconnected is reported even if a
	// Connected follows it. Close closes the channel.
	Events() <-chan BusEvent

	// MaxPayload returns the current maximum size of a payload in bytes: at least
	// [MinPayload].
	MaxPayload() int

	// Close disconnects. It waits until the published messages have been sent or ctx is
	// done. It may be called more than once. After it, Publish and Subscribe return an error.
	Close(ctx context.Context) error
}

// MinPayload is the maximum payload in bytes that every Bus must support.
const MinPayload = 32 << 10

// Message is a message that a Bus delivers.
type Message struct {
	Subject Subject
	Payload []byte
}

// Subject is the address of a message. A Bus translates it into a subject or channel
// name of its broker, for example "occupancy.v1.digest.0". Different Subjects must have
// different names.
//
// A message to all nodes has shard 0. A message to one node has the shard of that node, a
// random number that the node draws when it starts. So a node subscribes to seven
// subjects, however many rooms and peers there are.
type Subject struct {
	Kind  Kind
	Shard uint32
}

// String returns the kind's name and the shard, for example "digest.0". It contains only
// lower case letters, digits and one dot.
func (s Subject) String() string { return fmt.Sprintf("%s.%d", s.Kind, s.Shard) }

// Kind is the type of a message.
type Kind uint8

// The kinds of messages; cluster.proto defines their contents.
const (
	KindDigest      Kind = iota + 1 // to all nodes: changed counts of the sender's rooms
	KindHeartbeat                   // to all nodes: the sender is alive, and its last seq
	KindBye                         // to all nodes: the sender leaves
	KindQuery                       // to all nodes: a request for their current counts of some rooms
	KindAnswer                      // to one node: the counts that it queried
	KindSyncRequest                 // to one node: a request for missed changes
	KindSyncReply                   // to one node: a Digest of these changes
)

var kindNames = [...]string{
	KindDigest:      "digest",
	KindHeartbeat:   "heartbeat",
	KindBye:         "bye",
	KindQuery:       "query",
	KindAnswer:      "answer",
	KindSyncRequest: "sync",
	KindSyncReply:   "reply",
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
	Connected    BusEvent = iota + 1 // messages are delivered again; those published meanwhile are lost
	Disconnected                     // no messages are delivered until Connected
	Lossy                            // messages to a subscriber of this Bus were lost, as its channel was full
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
