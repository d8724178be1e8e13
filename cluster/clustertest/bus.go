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

// Bus is a [cluster.Bus] in memory. Create it with [Network.Bus].
type Bus struct {
	net    *Network
	name   string
	events *cluster.BusEvents

	// net.mu protects the following.
	connected  bool
	closed     bool
	muted      bool
	maxPayload int
	overflow   int           // this number of messages will be lost
	stalled    chan struct{} // nil unless Publish is stalled; closed to resume Publish
	subs       []*subscription
}

type subscription struct {
	bus      *Bus
	subjects []cluster.Subject
	out      chan<- cluster.Message
}

// errClosed is the error of Publish and Subscribe after Close.
var errClosed = fmt.Errorf("clustertest: bus is closed: %w", occupancy.ErrClosed)

// The errors of Publish while the bus is open.
var (
	ErrDisconnected = errors.New("clustertest: bus is disconnected")
	ErrTooLarge     = errors.New("clustertest: payload is too large")
)

// Name returns the name that was passed to [Network.Bus].
func (b *Bus) Name() string { return b.name }

// Publish implements [cluster.Bus].
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
	case !b.connected:
		return ErrDisconnected
	case len(payload) > b.maxPayload:
		return ErrTooLarge
	case ctx.Err() != nil:
		return ctx.Err()
	}
	b.net.send(b, subject, payload)
	return nil
}

// Subscribe implements [cluster.Bus].
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

// Close ends the subscription. It never fails.
func (s *subscription) Close() error {
	s.bus.net.mu.Lock()
	defer s.bus.net.mu.Unlock()
	s.bus.subs = slices.DeleteFunc(s.bus.subs, func(other *subscription) bool { return other == s })
	return nil
}

// subscribes reports whether the bus has a subscriber to the subject. The caller holds
// net.mu.
func (b *Bus) subscribes(subject cluster.Subject) bool {
	return slices.ContainsFunc(b.subs, func(s *subscription) bool { return slices.Contains(s.subjects, subject) })
}

// receive sends a message to the subscribers. The caller holds net.mu.
func (b *Bus) receive(m cluster.Message) {
	for _, s := range b.subs {
		if !slices.Contains(s.subjects, m.Subject) {
			continue
		}
		if b.overflow > 0 {
			b.overflow--
			b.events.Send(cluster.Lossy)
			continue
		}
		copied := m
		copied.Payload = slices.Clone(m.Payload)
		select {
		case s.out <- copied:
		default:
			b.events.Send(cluster.Lossy)
		}
	}
}

// Events implements [cluster.Bus].
func (b *Bus) Events() <-chan cluster.BusEvent { return b.events.C() }

// MaxPayload implements [cluster.Bus]. It returns 1 MiB, or the value of SetMaxPayload.
func (b *Bus) MaxPayload() int {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	return b.maxPayload
}

// Close implements [cluster.Bus]. Messages that the bus has published are still delivered.
// Close does not notify the other buses, like the crash of a process.
func (b *Bus) Close(context.Context) error {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed, b.connected, b.subs = true, false, nil
	b.net.buses = slices.DeleteFunc(b.net.buses, func(other *Bus) bool { return other == b })
	for _, other := range b.net.buses {
		delete(b.net.connections, [2]*Bus{b, other})
		delete(b.net.connections, [2]*Bus{other, b})
	}
	b.net.delayed.removeTo(b)
	b.events.Close()
	return nil
}

// Disconnect disconnects the bus: Events reports Disconnected, and Publish fails.
func (b *Bus) Disconnect() { b.setConnected(false, cluster.Disconnected) }

// Reconnect connects the bus again after Disconnect.
func (b *Bus) Reconnect() { b.setConnected(true, cluster.Connected) }

func (b *Bus) setConnected(connected bool, event cluster.BusEvent) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	if !b.closed && b.connected != connected {
		b.connected = connected
		b.events.Send(event)
	}
}

// Overflow drops the next n messages to subscribers of this bus, as if their channels were
// full. Events reports Lossy for each lost message.
func (b *Bus) Overflow(n int) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	b.overflow = n
}

// Mute drops all messages that the bus publishes from now on, although Publish returns nil,
// as if the broker denied the permission to publish. A call with false ends the fault.
func (b *Bus) Mute(muted bool) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	b.muted = muted
}

// SetMaxPayload sets the value that MaxPayload returns.
func (b *Bus) SetMaxPayload(n int) {
	b.net.mu.Lock()
	defer b.net.mu.Unlock()
	b.maxPayload = n
}

// Stall blocks every Publish of this bus until resume is called. It simulates a paused
// process: a node stops at its next Publish.
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
