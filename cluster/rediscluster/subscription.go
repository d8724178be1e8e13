package rediscluster

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/redis/rueidis"

	"github.com/occupancy/occupancy/cluster"
)

// subscription delivers messages of any number of subjects to a subscriber's channel.
type subscription struct {
	bus      *Bus
	subjects map[string]cluster.Subject // by channel
	out      chan<- cluster.Message
}

// Subscribe delivers messages of the subjects to out. It implements [cluster.Bus]. Subscribe
// returns when Redis has registered the subscription. In a Redis Cluster, that is the server to
// which the Bus is connected. If the Bus is disconnected, Subscribe returns at once, and the
// subscription becomes active when Events reports Connected.
func (b *Bus) Subscribe(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
	s := &subscription{b, make(map[string]cluster.Subject, len(subjects)), out}
	for _, subject := range subjects {
		s.subjects[b.channel(subject)] = subject
	}
	b.changing.Lock()
	defer b.changing.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case !s.add():
		return nil, errClosed
	}
	err := b.subscribe(ctx, slices.Collect(maps.Keys(s.subjects)))
	if isAnswer(err) || ctx.Err() != nil {
		s.remove()
		return nil, fmt.Errorf("rediscluster: subscribe: %w", explain(err))
	}
	return s, nil // after another error, the Bus subscribes when it is connected again
}

func (b *Bus) subscribe(ctx context.Context, channels []string) error {
	return b.do(ctx, func(build rueidis.Builder) rueidis.Completed { return build.Subscribe().Channel(channels...).Build() })
}

// add adds the subscription to the Bus. It returns false if the Bus is closed.
func (s *subscription) add() bool {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	if s.bus.subs == nil {
		return false
	}
	for channel := range s.subjects {
		s.bus.subs[channel] = append(s.bus.subs[channel], s)
	}
	return true
}

// remove removes the subscription from the Bus, and returns the channels that no other
// subscription uses.
func (s *subscription) remove() (unused []string) {
	s.bus.mu.Lock()
	defer s.bus.mu.Unlock()
	for channel := range s.subjects {
		others := slices.DeleteFunc(s.bus.subs[channel], func(other *subscription) bool { return other == s })
		if len(others) > 0 {
			s.bus.subs[channel] = others
		} else {
			delete(s.bus.subs, channel)
			unused = append(unused, channel)
		}
	}
	return unused
}

// deliver sends a message to its subscribers. The client calls it for one message at a time.
func (b *Bus) deliver(m rueidis.PubSubMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.subs[m.Channel] {
		select {
		case s.out <- cluster.Message{Subject: s.subjects[m.Channel], Payload: []byte(m.Message)}:
		default:
			b.state.Send(cluster.Lossy)
		}
	}
}

// Close ends the subscription. When Close has returned, no more messages are sent to out.
// Close can be called more than once.
func (s *subscription) Close() error {
	s.bus.changing.Lock()
	defer s.bus.changing.Unlock()
	if unused := s.remove(); len(unused) > 0 {
		// If it fails, the connection is lost, and the next one does not subscribe to these channels.
		_ = s.bus.do(s.bus.ctx, func(build rueidis.Builder) rueidis.Completed { return build.Unsubscribe().Channel(unused...).Build() })
	}
	return nil
}
