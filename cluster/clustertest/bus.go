package clustertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
)

// Bus is a [cluster.Bus] in memory. Make it with [Network.Bus].
type Bus struct {
	net    *Network
	name   string
	events *cluster.BusEvents

	// net.mu protects the following.
	up       bool
	closed   bool
	max      int
	overflow int           // how many messages to lose
	stalled  chan struct{} // closed when publishing goes on; nil: it does
	subs     []*subscription
}

type subscription struct {
	bus      *Bus
	subjects []cluster.Subject
	out      chan<- cluster.Message
}

// errClosed is the error of Publish and Subscribe after Close.
var errClosed = fmt.Errorf("clustertest: bus is closed: %w", occupancy.ErrClosed)

// The other errors of Publish and Subscribe.
var (
	ErrDisconnected = errors.New("clustertest: bus is disconnected")
	ErrTooLarge     = errors.New("clustertest: payload is too large")
)

// Name is the name that the bus was attached with.
func (b *Bus) Name() string { return b.name }

// Publish is a Bus's.
func (b *Bus) Publish(ctx context.Context, subject cluster.Subject, payload []byte) error {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	for b.stalled != nil {
		stalled := b.stalled
		b.net.mu.Unlock()
		select {
		case <-stalled:
		case <-ctx.Done():
		}
		b.net.mu.Lock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	switch {
	case b.closed:
		return errClosed
	case !b.up:
		return ErrDisconnected
	case len(payload) > b.max:
		return ErrTooLarge
	case ctx.Err() != nil:
		return ctx.Err()
	}
	b.net.send(b, subject, payload)
	return nil
}

// Subscribe is a Bus's.
func (b *Bus) Subscribe(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	switch {
	case b.closed:
		return nil, errClosed
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	s := &subscription{b, slices.Clone(subjects), out}
	b.subs = append(b.subs, s)
	return s, nil
}

// Close ends the subscription.
func (s *subscription) Close() error {
	s.bus.net.mu.Lock()
	defer s.bus.net.mu.Unlock()
	s.bus.subs = slices.DeleteFunc(s.bus.subs, func(other *subscription) bool { return other == s })
	return nil
}

// wants reports whether the bus has a subscriber to the subject.
func (b *Bus) wants(subject cluster.Subject) bool {
	return slices.ContainsFunc(b.subs, func(s *subscription) bool { return slices.Contains(s.subjects, subject) })
}

// receive hands a message to the subscribers. The caller has net.mu.
func (b *Bus) receive(m cluster.Message) {
	for _, s := range b.subs {
		if !slices.Contains(s.subjects, m.Subject) {
			continue
		}
		if b.overflow > 0 {
			b.overflow--
			b.events.Tell(cluster.Lossy)
			continue
		}
		mine := m
		mine.Payload = slices.Clone(m.Payload)
		select {
		case s.out <- mine:
		default:
			b.events.Tell(cluster.Lossy)
		}
	}
}

// Events is a Bus's.
func (b *Bus) Events() <-chan cluster.BusEvent { return b.events.C() }

// MaxPayload is a Bus's: 1 MiB, until it is set.
func (b *Bus) MaxPayload() int {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	return b.max
}

// Close is a Bus's. Nobody is told that it left, and what it published still arrives: what a
// crash looks like to others.
func (b *Bus) Close(context.Context) error {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed, b.up, b.subs = true, false, nil
	b.net.buses = slices.DeleteFunc(b.net.buses, func(other *Bus) bool { return other == b })
	for _, other := range b.net.buses {
		delete(b.net.links, [2]*Bus{b, other})
		delete(b.net.links, [2]*Bus{other, b})
	}
	b.net.late.forget(b)
	b.events.Close()
	return nil
}

// Disconnect cuts the bus off, and it knows: it tells Disconnected and Publish fails.
func (b *Bus) Disconnect() { b.connect(false, cluster.Disconnected) }

// Reconnect ends what Disconnect began.
func (b *Bus) Reconnect() { b.connect(true, cluster.Connected) }

func (b *Bus) connect(up bool, event cluster.BusEvent) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	if !b.closed && b.up != up {
		b.up = up
		b.events.Tell(event)
	}
}

// Overflow loses the next n messages that would reach a subscriber, and tells Lossy for
// each, as if it had been too slow for them.
func (b *Bus) Overflow(n int) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	b.overflow = n
}

// SetMaxPayload sets what MaxPayload is from now on.
func (b *Bus) SetMaxPayload(n int) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	b.max = n
}

// Stall blocks everybody who publishes by this bus until the function that it returns
// is called. A node that publishes stands still meanwhile, as a process that is not
// scheduled does.
func (b *Bus) Stall() (resume func()) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	if b.stalled == nil {
		b.stalled = make(chan struct{})
	}
	stalled := b.stalled
	return func() {
		b.net.mu.Lock()
		defer b.net.mu.Unlock()
		if b.stalled == stalled {
			b.stalled = nil
			close(stalled)
		}
	}
}
