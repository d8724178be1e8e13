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

// TestBus tests that a Bus keeps what [cluster.Bus] promises. Each call of newBus
// makes another one on the same network, connected or about to be; TestBus closes it.
// The tests use shards of their own, and so may share the network with others.
//
// Waiting is by condition, with deadlines that only a broken Bus meets.
func TestBus(t *testing.T, newBus func(t testing.TB) cluster.Bus, opts ...Option) {
	var cfg config
	for _, o := range opts {
		o(&cfg)
	}
	for _, promise := range []struct {
		name string
		test func(*suite)
	}{
		{"the first event is the state", theFirstEventIsTheState},
		{"every subscriber gets what is published", everySubscriberGetsIt},
		{"and only what it subscribed to", onlyWhatItSubscribedTo},
		{"subscribing is in force when it returns", subscribingIsInForce},
		{"one publisher's messages keep their order, across subjects", orderIsKept},
		{"payloads have one owner", payloadsHaveOneOwner},
		{"payloads up to the largest pass, larger ones are refused", theLargestPasses},
		{"an ended context publishes nothing", anEndedContextPublishesNothing},
		{"a full channel delays nobody and is told", aFullChannelIsTold},
		{"an ended subscription is silent", anEndedSubscriptionIsSilent},
		{"all at once", allAtOnce},
		{"a closed bus is silent", aClosedBusIsSilent},
		{"what could not be sent is not sent later", anOutage},
	} {
		t.Run(promise.name, func(t *testing.T) {
			promise.test(&suite{T: t, newBus: newBus, cfg: cfg})
		})
	}
}

// Option is a setting of [TestBus].
type Option func(*config)

type config struct {
	cut, mend func(cluster.Bus)
}

// WithOutage lets TestBus see what a Bus does while it is cut off: cut has it lose
// its connection, and mend lets it have one again. Both may return before the Bus
// knows. Without this option that is not tested.
func WithOutage(cut, mend func(cluster.Bus)) Option {
	return func(c *config) { c.cut, c.mend = cut, mend }
}

// patience is how long something that must happen may take. Only tests of the tests set it.
var patience = 20 * time.Second

type suite struct {
	*testing.T
	newBus func(t testing.TB) cluster.Bus
	cfg    config
}

// bus is another bus, connected.
func (s *suite) bus() cluster.Bus {
	s.Helper()
	b := s.newBus(s.T)
	s.Cleanup(func() { s.closeBus(b) })
	s.event(b, cluster.Connected)
	return b
}

func (s *suite) closeBus(b cluster.Bus) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		s.Errorf("Close: %v", err)
	}
}

// event waits until b told e.
func (s *suite) event(b cluster.Bus, e cluster.BusEvent) {
	s.Helper()
	deadline := time.After(patience)
	for {
		select {
		case got, open := <-b.Events():
			if !open {
				s.Fatalf("Events is closed, without %v", e)
			}
			if got == e {
				return
			}
		case <-deadline:
			s.Fatalf("not told: %v", e)
		}
	}
}

// subject is one that no other test uses.
func (s *suite) subject(k cluster.Kind) cluster.Subject {
	return cluster.Subject{Kind: k, Shard: 1 + rand.Uint32N(1<<32-1)}
}

func (s *suite) publish(b cluster.Bus, to cluster.Subject, payload []byte) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Publish(ctx, to, payload); err != nil {
		s.Fatalf("Publish: %v", err)
	}
}

// inbox is a subscription. What it gets is numbered by its publishers.
type inbox struct {
	*suite
	bus  cluster.Bus
	sub  io.Closer
	msgs chan cluster.Message
}

func (s *suite) subscribe(b cluster.Bus, room int, subjects ...cluster.Subject) *inbox {
	s.Helper()
	msgs := make(chan cluster.Message, room)
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

// next waits for a message.
func (in *inbox) next() cluster.Message {
	in.Helper()
	select {
	case m := <-in.msgs:
		return m
	case <-time.After(patience):
		in.Fatal("no message")
		panic("unreachable")
	}
}

// want waits for a message, which must be this.
func (in *inbox) want(subject cluster.Subject, payload []byte) {
	in.Helper()
	m := in.next()
	if m.Subject != subject {
		in.Fatalf("subject is %v, not %v", m.Subject, subject)
	}
	if !bytes.Equal(m.Payload, payload) {
		in.Fatalf("payload of %d bytes is not the one of %d that was published", len(m.Payload), len(payload))
	}
}

// reached publishes until the inbox hears it: then the way is open. It empties the inbox.
func (in *inbox) reached(from cluster.Bus, by cluster.Subject) {
	in.Helper()
	deadline := time.Now().Add(patience)
	for n := uint64(1); ; n++ {
		sent := number(n)
		// While the way is not open an error is all right, too.
		if from.Publish(context.Background(), by, sent) == nil {
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
			in.Fatal("a subscriber does not get what another bus publishes")
		}
	}
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// together runs f for each, at once, and waits.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}
