package clustertest

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/occupancy/occupancy/cluster"
)

// TestBus tests that a Bus meets the guarantees of [cluster.Bus]. Each call of newBus must
// return a new Bus on the same network. This Bus is connected, or connects soon. TestBus
// closes the buses. It uses random shards, so other tests can use the network at the same
// time.
//
// TestBus waits for each expected message or event until a timeout. The timeouts are long,
// so only a faulty Bus exceeds them. The exception is the time until a Bus must report
// Disconnected: 5 s.
func TestBus(t *testing.T, newBus func(t testing.TB) cluster.Bus, opts ...Option) {
	var cfg config
	for _, o := range opts {
		o(&cfg)
	}
	for _, guarantee := range []struct {
		name string
		test func(*suite)
	}{
		{"the first event is the initial state", testFirstEvent},
		{"every subscriber receives each message", testEverySubscriberReceives},
		{"a Bus receives its own messages", testOwnMessages},
		{"subscribers receive no other subjects", testOnlySubscribedSubjects},
		{"Subscribe has taken effect when it returns", testSubscribeTakesEffect},
		{"messages of one publisher keep their order across subjects", testOrder},
		{"payloads are not shared", testPayloadOwnership},
		{"MaxPayload is the largest payload", testMaxPayload},
		{"Publish fails if the context is done", testDoneContext},
		{"a full channel is reported and does not delay other subscribers", testFullChannel},
		{"a closed subscription receives nothing", testClosedSubscription},
		{"concurrent use", testConcurrentUse},
		{"a closed Bus sends and receives nothing", testClosedBus},
		{"an outage is reported and subscriptions survive it", testOutage},
	} {
		t.Run(guarantee.name, func(t *testing.T) {
			guarantee.test(&suite{T: t, newBus: newBus, cfg: cfg})
		})
	}
}

// Option is a setting of [TestBus].
type Option func(*config)

type config struct {
	disconnect, reconnect func(cluster.Bus)
}

// WithOutage makes TestBus test an outage: disconnect interrupts the connection of the Bus,
// and reconnect restores it. Both can return before the Bus notices the change. A connection
// that remains open but transports nothing is the hardest test. Without this option, TestBus
// does not test outages.
func WithOutage(disconnect, reconnect func(cluster.Bus)) Option {
	return func(c *config) { c.disconnect, c.reconnect = disconnect, reconnect }
}

// timeout limits how long the tests wait. Only tests of TestBus change it.
var timeout = 20 * time.Second

// A Bus must report Disconnected within this time.
const outageTimeout = 5 * time.Second

type suite struct {
	*testing.T
	newBus func(t testing.TB) cluster.Bus
	cfg    config
}

// bus returns a new Bus that is connected.
func (s *suite) bus() cluster.Bus {
	s.Helper()
	b := s.newBus(s.T)
	s.Cleanup(func() { s.closeBus(b) })
	s.awaitEvent(b, cluster.Connected)
	return b
}

func (s *suite) closeBus(b cluster.Bus) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		s.Errorf("Close: %v", err)
	}
}

// awaitEvent waits until b reports e.
func (s *suite) awaitEvent(b cluster.Bus, e cluster.BusEvent) {
	s.Helper()
	s.awaitEventWithin(timeout, b, e)
}

func (s *suite) awaitEventWithin(limit time.Duration, b cluster.Bus, e cluster.BusEvent) {
	s.Helper()
	deadline := time.After(limit)
	for {
		select {
		case got, open := <-b.Events():
			if !open {
				s.Fatalf("Events was closed before it reported %v", e)
			}
			if got == e {
				return
			}
		case <-deadline:
			s.Fatalf("Events did not report %v within %v", e, limit)
		}
	}
}

// subject returns a random subject, which no other test uses.
func (s *suite) subject(k cluster.Kind) cluster.Subject {
	return cluster.Subject{Kind: k, Shard: 1 + rand.Uint32N(1<<32-1)}
}

func (s *suite) publish(b cluster.Bus, to cluster.Subject, payload []byte) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := b.Publish(ctx, to, payload); err != nil {
		s.Fatalf("Publish: %v", err)
	}
}

// inbox is a subscription and its channel.
type inbox struct {
	*suite
	bus  cluster.Bus
	sub  io.Closer
	msgs chan cluster.Message
}

func (s *suite) subscribe(b cluster.Bus, capacity int, subjects ...cluster.Subject) *inbox {
	s.Helper()
	msgs := make(chan cluster.Message, capacity)
	sub, err := b.Subscribe(context.Background(), subjects, msgs)
	if err != nil {
		s.Fatalf("Subscribe: %v", err)
	}
	s.Cleanup(func() {
		if err := sub.Close(); err != nil {
			s.Errorf("Close of the subscription: %v", err)
		}
	})
	return &inbox{s, b, sub, msgs}
}

// next waits for a message and returns it.
func (in *inbox) next() cluster.Message {
	in.Helper()
	select {
	case m := <-in.msgs:
		return m
	case <-time.After(timeout):
		in.Fatal("no message")
		panic("unreachable")
	}
}

// want waits for a message and checks its subject and payload.
func (in *inbox) want(subject cluster.Subject, payload []byte) {
	in.Helper()
	m := in.next()
	if m.Subject != subject {
		in.Fatalf("subject is %v, not %v", m.Subject, subject)
	}
	if !bytes.Equal(m.Payload, payload) {
		in.Fatalf("received a payload of %d bytes that differs from the published one of %d bytes", len(m.Payload), len(payload))
	}
}

// awaitDelivery publishes until the inbox receives a message, and empties the inbox.
func (in *inbox) awaitDelivery(from cluster.Bus, subject cluster.Subject) {
	in.Helper()
	deadline := time.Now().Add(timeout)
	for n := rand.Uint64(); ; n++ { // no earlier call has sent these numbers
		sent := encodeNumber(n)
		// Publish can fail until the Bus is connected.
		if from.Publish(context.Background(), subject, sent) == nil {
			for wait := time.After(50 * time.Millisecond); wait != nil; {
				select {
				case m := <-in.msgs:
					if bytes.Equal(m.Payload, sent) {
						return
					}
				case <-wait:
					wait = nil
				}
			}
		} else {
			time.Sleep(10 * time.Millisecond)
		}
		if time.Now().After(deadline) {
			in.Fatal("a subscriber does not receive the messages of another Bus")
		}
	}
}

func encodeNumber(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// concurrently calls f n times in parallel and waits until all calls have returned.
func concurrently(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}
