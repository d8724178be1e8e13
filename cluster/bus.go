package cluster

import (
	"context"
	"fmt"
	"io"
)

// Bus moves bytes between the nodes of one service, and nothing else: all protocol
// is in [Node]. It is publish and subscribe as message brokers have it, with at most
// one delivery. A Bus may lose, repeat and delay messages; what it must not do is
// said below. Package clustertest has one in memory, with faults on command, and
// TestBus, which every Bus must pass.
//
// All methods may be called from any goroutine. A Bus serves one node at a time, which
// reads its Events. Who makes a Bus closes it, after the node.
type Bus interface {
	// Publish hands the payload to the network, for everybody who subscribes to the
	// subject. It does not wait for them, and may not be slow for their sake. Whether a
	// Bus hears what it published itself does not matter.
	//
	// The messages of one Bus, whatever their subjects, reach each subscriber in the
	// order of the calls that published them, as long as nothing fails. Nil does not
	// mean that anybody got it. An error means that nobody will: what could not be
	// sent is never kept to be sent later, since the next message says it better. It
	// is an error to publish more than MaxPayload, after Close, while disconnected, or
	// when ctx has ended. The payload is the caller's again when Publish returns.
	Publish(ctx context.Context, subject Subject, payload []byte) error

	// Subscribe sends what is published to any of the subjects to out, from when it
	// returns until the Closer is closed, through every disconnection. All subjects
	// come by the one channel, so that their order is kept.
	//
	// The Bus never blocks on out: a message that finds it full is lost for this
	// subscriber, and Events tells Lossy. After the Closer's Close has returned, which
	// may be called more than once, and after the Bus's, nothing is sent to out. Out is
	// never closed. A message's payload is the receiver's.
	Subscribe(ctx context.Context, subjects []Subject, out chan<- Message) (io.Closer, error)

	// Events tells what becomes of the connection. It is always the same channel. The
	// first event says how it is at the beginning, Connected or Disconnected. The Bus
	// never waits for it to be read: events that were not may be folded, as
	// [BusEvents] does, but the newest state is always told, a loss always too, and
	// a Disconnected is not swallowed by the Connected after it. Close closes the
	// channel.
	Events() <-chan BusEvent

	// MaxPayload is how many bytes a payload may have now: at least [MinPayload].
	MaxPayload() int

	// Close leaves the network. It waits, until ctx ends, for what was published to
	// be on its way. It may be called more than once; nothing else works after it.
	Close(ctx context.Context) error
}

// MinPayload is the least that a Bus must be able to carry in one message.
const MinPayload = 32 << 10

// Message is what a Bus delivers.
type Message struct {
	Subject Subject
	Payload []byte
}

// Subject is what a message is addressed to. A Bus renders it as its broker has
// subjects, for example "occupancy.v1.digest.0"; two different ones must not become the
// same.
//
// What is for every node has shard 0. What is for one node goes to a shard of its own:
// a number that it drew at its start. So a node subscribes to seven subjects, however
// many rooms and peers there are.
type Subject struct {
	Kind  Kind
	Shard uint32
}

// String is the kind's name and the shard, for example "digest.0". It has only
// lower case letters, digits and one dot.
func (s Subject) String() string { return fmt.Sprintf("%s.%d", s.Kind, s.Shard) }

// Kind is which message of the protocol a payload is.
type Kind uint8

// The kinds of messages; cluster.proto says what is in each.
const (
	KindDigest      Kind = iota + 1 // to all: what changed in the sender's part of the rooms
	KindHeartbeat                   // to all: that the sender lives, and what it has published
	KindBye                         // to all: that the sender leaves
	KindQuery                       // to all: a question for everybody's part of some rooms
	KindAnswer                      // to one: the part that a Query asked for
	KindSyncRequest                 // to one: a request for what was missed
	KindSyncReply                   // to one: a Digest of it
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

// String is the kind's name: lower case letters only.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind%d", uint8(k))
}

// BusEvent is what a [Bus] tells of its connection.
type BusEvent uint8

// The events of a Bus.
const (
	Connected    BusEvent = iota + 1 // messages come and go again; those in between are lost
	Disconnected                     // nothing comes or goes until Connected
	Lossy                            // messages to a subscriber of this Bus were lost: it was too slow
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
