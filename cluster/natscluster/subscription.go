package natscluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster"
)

// subscription delivers messages of any number of subjects from the NATS client to a
// subscriber's channel. One queue for all subjects keeps their order.
type subscription struct {
	bus       *Bus
	subjects  map[string]cluster.Subject
	queue     chan *nats.Msg // when deliver receives a nil message, it sends to delivered
	out       chan<- cluster.Message
	delivered chan struct{}
	stop      chan struct{}
	delivery  sync.WaitGroup
	closeOnce sync.Once

	natsSubs []*nats.Subscription // one for each subject; bus.mu protects the slice
}

// queueSize is larger than the number of messages that [socket.Read] reads between two
// calls of awaitDelivery: a message has at least 22 bytes.
const queueSize = 4096

// Subscribe delivers messages of the subjects to out. It implements [cluster.Bus].
//
// Subscribe returns when the connected server has registered the subscription. The other
// servers of a NATS cluster register it a moment later. Until then, the subscription does
// not receive messages that are published on the other servers.
//
// If the Bus is disconnected, Subscribe does not wait for a connection: the subscription
// becomes active when Events reports Connected. Nevertheless Subscribe can block for some
// seconds, until the current attempt to connect has ended or ctx ends.
func (b *Bus) Subscribe(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := b.newSubscription(subjects, out)
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (b *Bus) newSubscription(subjects []cluster.Subject, out chan<- cluster.Message) *subscription {
	s := &subscription{
		bus:       b,
		subjects:  make(map[string]cluster.Subject, len(subjects)),
		queue:     make(chan *nats.Msg, queueSize),
		out:       out,
		delivered: make(chan struct{}),
		stop:      make(chan struct{}),
	}
	for _, subject := range subjects {
		s.subjects[b.natsSubject(subject)] = subject
	}
	return s
}

// start returns when the subscription is active. If it returns an error, it has closed the
// subscription.
func (s *subscription) start(ctx context.Context) error {
	resume := s.bus.dialer.interruptAfter(ctx) // the NATS client holds its lock while it dials
	conn, previousErr, err := s.bus.add(s)
	resume()
	if err == nil {
		err = s.awaitServer(ctx, conn, previousErr)
	}
	if err != nil {
		_ = s.Close()
	}
	return err
}

// add adds the subscription to the current connection. It returns the connection and the
// last error of the connection before the call.
func (b *Bus) add(s *subscription) (conn *nats.Conn, previousErr, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing.Load() {
		return nil, nil, errClosed
	}
	b.subs.Store(s, nil)
	s.delivery.Go(s.deliver)
	conn = b.conn.Load()
	previousErr = conn.LastError()
	// If conn is permanently closed, setConn adds the subscription to the next connection.
	if err := s.subscribeOn(conn); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return nil, nil, fmt.Errorf("natscluster: subscribe: %w", err)
	}
	return conn, previousErr, nil
}

// subscribeOn subscribes on a new connection. The caller must hold bus.mu.
func (s *subscription) subscribeOn(conn *nats.Conn) error {
	s.natsSubs = s.natsSubs[:0]
	for subject := range s.subjects {
		sub, err := conn.ChanSubscribe(subject, s.queue)
		if err != nil {
			return err
		}
		s.natsSubs = append(s.natsSubs, sub)
	}
	return nil
}

// awaitServer waits until the server has registered the subscription. If the Bus is
// disconnected, awaitServer returns at once: the NATS client subscribes again when it
// reconnects.
func (s *subscription) awaitServer(ctx context.Context, conn *nats.Conn, previousErr error) error {
	if !s.bus.connected.Load() {
		return nil
	}
	if err := flush(ctx, conn); err != nil {
		switch {
		case s.bus.closing.Load():
			return errClosed
		case ctx.Err() != nil:
			return ctx.Err()
		}
		return nil // disconnected
	}
	// If the server denies the subscription, it sends this error before it answers the flush.
	if err := conn.LastError(); !errors.Is(err, previousErr) && errors.Is(err, nats.ErrPermissionViolation) {
		for subject := range s.subjects {
			if strings.Contains(err.Error(), `Subscription to "`+subject+`"`) {
				return fmt.Errorf("natscluster: subscribe: %w", explain(err))
			}
		}
	}
	return nil
}

// deliver sends the queued messages to out until the subscription is closed.
func (s *subscription) deliver() {
	for {
		select {
		case <-s.stop:
			return
		case m := <-s.queue:
			if m == nil {
				select {
				case s.delivered <- struct{}{}:
					continue
				case <-s.stop:
					return
				}
			}
			select {
			case s.out <- cluster.Message{Subject: s.subjects[m.Subject], Payload: m.Data}:
			default:
				s.bus.lost.Add(1)
				s.bus.events.Send(cluster.Lossy)
			}
		}
	}
}

// awaitDelivery waits until deliver has sent or dropped all currently queued messages.
func (s *subscription) awaitDelivery() {
	select {
	case s.queue <- nil:
	case <-s.stop:
		return
	}
	select {
	case <-s.delivered:
	case <-s.stop:
	}
}

func (b *Bus) awaitDelivery() {
	for s := range b.subscriptions() {
		s.awaitDelivery()
	}
}

func (b *Bus) subscriptions() iter.Seq[*subscription] {
	return func(yield func(*subscription) bool) {
		b.subs.Range(func(s, _ any) bool { return yield(s.(*subscription)) })
	}
}

// Close ends the subscription. When Close has returned, no more messages are sent to out.
// Close can be called more than once.
func (s *subscription) Close() error {
	s.closeOnce.Do(func() {
		close(s.stop)
		if !s.bus.connected.Load() {
			s.bus.dialer.interrupt()
			defer s.bus.dialer.resume()
		}
		s.bus.mu.Lock()
		defer s.bus.mu.Unlock()
		s.bus.subs.Delete(s)
		for _, sub := range s.natsSubs {
			_ = sub.Unsubscribe() // fails only if the connection is closed, and then sub has ended already
		}
	})
	s.delivery.Wait()
	return nil
}

// unsubscribe closes all subscriptions. The caller has set closing, so that no subscription
// is added.
func (b *Bus) unsubscribe() {
	b.mu.Lock() // wait until a running call of add has returned
	subs := slices.Collect(b.subscriptions())
	b.mu.Unlock()
	for _, s := range subs {
		_ = s.Close()
	}
}
