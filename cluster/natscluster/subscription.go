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

// subscription carries messages from the NATS client's goroutine to a subscriber's
// channel, by one queue for all subjects, so that their order is kept.
type subscription struct {
	bus      *Bus
	subjects map[string]cluster.Subject
	in       chan *nats.Msg // nil in it is for passedOn
	out      chan<- cluster.Message
	passedOn chan struct{} // told that nil was reached
	stop     chan struct{}
	pump     sync.WaitGroup
	once     sync.Once

	parts []*nats.Subscription // one for each subject; guarded by bus.mu
}

// queue is more messages than the Bus reads before they are passed on: the shortest are
// of 22 bytes.
const queue = 4096

// Subscribe is a Bus's. It waits until the server knows of the subscription; other
// servers, that this one is linked to, hear of it a moment later, and what is published
// at them before is lost. While disconnected it waits for the end of an attempt to
// connect at most, some seconds, or of ctx, where it was disconnected from the beginning;
// and the subscription is in force when Events tells Connected.
func (b *Bus) Subscribe(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := b.newSubscription(subjects, out)
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (b *Bus) newSubscription(subjects []cluster.Subject, out chan<- cluster.Message) *subscription {
	s := &subscription{
		bus:      b,
		subjects: make(map[string]cluster.Subject, len(subjects)),
		in:       make(chan *nats.Msg, queue),
		out:      out,
		passedOn: make(chan struct{}),
		stop:     make(chan struct{}),
	}
	for _, subject := range subjects {
		s.subjects[b.render(subject)] = subject
	}
	return s
}

// begin returns when the subscription is in force, or with an error, when nothing of it
// is left.
func (s *subscription) begin(ctx context.Context) error {
	unbar := s.bus.sockets.barAfter(ctx) // the NATS client holds its lock while it dials
	conn, before, err := s.bus.add(s)
	unbar()
	if err == nil {
		err = s.inForce(ctx, conn, before)
	}
	if err != nil {
		_ = s.Close()
	}
	return err
}

// add returns the conn that s is on, and its last error before.
func (b *Bus) add(s *subscription) (conn *nats.Conn, before, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing.Load() {
		return nil, nil, ErrClosed
	}
	b.subs.Store(s, nil)
	s.pump.Go(s.deliver)
	conn = b.conn.Load()
	before = conn.LastError()
	// On a conn that is closed for good it fails, and succeeds on the one to come.
	if err := s.attach(conn); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return nil, nil, fmt.Errorf("natscluster: subscribe: %w", err)
	}
	return conn, before, nil
}

// attach subscribes on a new conn. The caller has bus.mu.
func (s *subscription) attach(conn *nats.Conn) error {
	s.parts = s.parts[:0]
	for subject := range s.subjects {
		part, err := conn.ChanSubscribe(subject, s.in)
		if err != nil {
			return err
		}
		s.parts = append(s.parts, part)
	}
	return nil
}

// inForce waits until the server knows of the subscription. If there is no server
// now, it will be told when there is.
func (s *subscription) inForce(ctx context.Context, conn *nats.Conn, before error) error {
	if !s.bus.up.Load() {
		return nil
	}
	if err := flush(ctx, conn); err != nil {
		switch {
		case s.bus.closing.Load():
			return ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		}
		return nil // the connection was lost
	}
	// The server's refusal came before its answer to flush.
	if err := conn.LastError(); !errors.Is(err, before) && errors.Is(err, nats.ErrPermissionViolation) {
		for subject := range s.subjects {
			if strings.Contains(err.Error(), `Subscription to "`+subject+`"`) {
				return fmt.Errorf("natscluster: subscribe: %w", err)
			}
		}
	}
	return nil
}

func (s *subscription) deliver() {
	for {
		select {
		case <-s.stop:
			return
		case m := <-s.in:
			if m == nil {
				select {
				case s.passedOn <- struct{}{}:
					continue
				case <-s.stop:
					return
				}
			}
			select {
			case s.out <- cluster.Message{Subject: s.subjects[m.Subject], Payload: m.Data}:
			default:
				s.bus.lost.Add(1)
				s.bus.events.Tell(cluster.Lossy)
			}
		}
	}
}

// passOn waits until the messages that came before have been sent to out, or lost.
func (s *subscription) passOn() {
	select {
	case s.in <- nil:
	case <-s.stop:
		return
	}
	select {
	case <-s.passedOn:
	case <-s.stop:
	}
}

// passOn does so for all subscriptions.
func (b *Bus) passOn() {
	for s := range b.all() {
		s.passOn()
	}
}

// all are the subscriptions.
func (b *Bus) all() iter.Seq[*subscription] {
	return func(yield func(*subscription) bool) {
		b.subs.Range(func(s, _ any) bool { return yield(s.(*subscription)) })
	}
}

// Close ends the subscription. It may be called more than once; each call returns when
// nothing more is sent.
func (s *subscription) Close() error {
	s.once.Do(func() {
		close(s.stop)
		if !s.bus.up.Load() {
			s.bus.sockets.bar()
			defer s.bus.sockets.unbar()
		}
		s.bus.mu.Lock()
		defer s.bus.mu.Unlock()
		s.bus.subs.Delete(s)
		for _, part := range s.parts {
			_ = part.Unsubscribe() // which fails when the conn is closed, and with it the part
		}
	})
	s.pump.Wait()
	return nil
}

// unsubscribe ends all subscriptions; no more come, since closing is set.
func (b *Bus) unsubscribe() {
	b.mu.Lock() // while one may still be added
	subs := slices.Collect(b.all())
	b.mu.Unlock()
	for _, s := range subs {
		_ = s.Close()
	}
}
