package natscluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster"
)

// subscription delivers messages of any number of subjects from the NATS client to a
// subscriber's channel. One queue for all subjects keeps their order.
type subscription struct {
	bus      *Bus
	subjects map[string]cluster.Subject
	natsSubs []*nats.Subscription // one for each subject
	queue    chan *nats.Msg
	out      chan<- cluster.Message
	ctx      context.Context // done when the subscription or the Bus is closed
	stop     context.CancelFunc
	delivery sync.WaitGroup
	dropped  int // messages that the NATS client has dropped; only reportDropped uses it
}

// queueSize is the number of messages that the NATS client can read before deliver gets CPU
// time. The NATS client drops more messages. Only a test changes it.
var queueSize = 1 << 14

// Subscribe delivers messages of the subjects to out. It implements [cluster.Bus].
//
// Subscribe returns when the connected server has registered the subscription. The other
// servers of a NATS cluster register it a moment later. Until then, the subscription does
// not receive messages that are published on the other servers.
//
// If the Bus is disconnected, the subscription becomes active when Events reports Connected.
// Subscribe can then block until the current attempt to connect has ended, which takes at
// most 2 s for a server of [Connect].
func (b *Bus) Subscribe(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &subscription{
		bus:      b,
		subjects: make(map[string]cluster.Subject, len(subjects)),
		queue:    make(chan *nats.Msg, queueSize),
		out:      out,
	}
	s.ctx, s.stop = context.WithCancel(b.ctx)
	for _, subject := range subjects {
		s.subjects[b.subject(subject)] = subject
	}
	if err := s.start(ctx); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// start returns when the subscription is active.
func (s *subscription) start(ctx context.Context) error {
	b := s.bus
	previous := b.conn.LastError()
	if err := b.add(s); err != nil {
		return err
	}
	if !b.state.Connected() || b.flush(ctx) != nil {
		return ctx.Err() // if the Bus is disconnected, the NATS client subscribes when it connects
	}
	// If the server denies the subscription, it sends this error before it answers the flush.
	if err := b.conn.LastError(); !errors.Is(err, previous) && errors.Is(err, nats.ErrPermissionViolation) {
		for subject := range s.subjects {
			if strings.Contains(err.Error(), `Subscription to "`+subject+`"`) {
				return fmt.Errorf("natscluster: subscribe: %w", explain(err))
			}
		}
	}
	return nil
}

func (b *Bus) add(s *subscription) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return errClosed
	}
	b.subs[s] = struct{}{}
	s.delivery.Go(s.deliver)
	for subject := range s.subjects {
		sub, err := b.conn.ChanSubscribe(subject, s.queue)
		if err != nil {
			return fmt.Errorf("natscluster: subscribe: %w", err)
		}
		s.natsSubs = append(s.natsSubs, sub)
	}
	return nil
}

// deliver sends the queued messages to out until the subscription is closed.
func (s *subscription) deliver() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case m := <-s.queue:
			select {
			case s.out <- cluster.Message{Subject: s.subjects[m.Subject], Payload: m.Data}:
			default:
				s.bus.state.Send(cluster.Lossy)
			}
		}
	}
}

// reportDropped reports the messages that the NATS client has dropped because a queue was
// full.
func (b *Bus) reportDropped() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs {
		dropped := 0
		for _, sub := range s.natsSubs {
			n, _ := sub.Dropped() // fails only if the connection is closed
			dropped += n
		}
		if dropped > s.dropped {
			s.dropped = dropped
			b.state.Send(cluster.Lossy)
		}
	}
}

// Close ends the subscription. When Close has returned, no more messages are sent to out.
// Close can be called more than once.
func (s *subscription) Close() error {
	s.stop()
	s.delivery.Wait()
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if s.bus.ctx.Err() == nil {
		delete(s.bus.subs, s)
		s.unsubscribe()
	}
	return nil
}

func (s *subscription) unsubscribe() {
	for _, sub := range s.natsSubs {
		_ = sub.Unsubscribe() // fails only if the connection or sub is closed already
	}
}
