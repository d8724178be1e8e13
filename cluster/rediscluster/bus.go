package rediscluster

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/redis/rueidis"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/busstate"
)

// Bus is a [cluster.Bus] on Redis. [Connect] and [New] create a Bus. All methods can be called
// from any goroutine.
type Bus struct {
	prefix     string
	log        *slog.Logger
	background bool // of WithBackgroundConnect

	client  atomic.Pointer[rueidis.Client] // nil until the first connection of Connect
	conn    atomic.Pointer[connection]     // nil while the Bus is disconnected
	state   *busstate.State
	results chan result // the results of the attempts to connect, for Connect

	ctx    context.Context // done when Close has been called
	stop   context.CancelFunc
	closed chan struct{} // closed when run has returned

	changing sync.Mutex                 // locked while subs and the subscriptions of conn change
	mu       sync.Mutex                 // protects the following
	subs     map[string][]*subscription // by channel; nil after Close
}

// result is the result of an attempt to connect.
type result struct{ err error }

var _ cluster.Bus = (*Bus)(nil)

// The errors of Publish. After Close, Publish and Subscribe return [occupancy.ErrClosed].
const (
	// ErrDisconnected means that the Bus is not connected to a server.
	ErrDisconnected occupancy.Error = "rediscluster: not connected to Redis"
	// ErrTooLarge means that the payload is larger than MaxPayload.
	ErrTooLarge occupancy.Error = "rediscluster: payload is too large"
)

var errClosed = fmt.Errorf("rediscluster: bus: %w", occupancy.ErrClosed)

const maxPayload = 256 << 10

// Client returns the client. A program can use it for other messages, on channels that do not
// begin with the prefix of the Bus and ".v1.". It is nil with [WithBackgroundConnect] until
// the first connection. The Close of the Bus closes a client of [Connect].
func (b *Bus) Client() rueidis.Client {
	if client := b.client.Load(); client != nil {
		return *client
	}
	return nil
}

func (b *Bus) channel(s cluster.Subject) string { return b.prefix + ".v1." + s.String() }

// Publish sends the payload to all subscribers of the subject. It implements [cluster.Bus]. It
// does not wait for the answer of Redis: a refusal is only logged. Publish blocks while 64
// messages wait to be sent. While the Bus is disconnected it returns [ErrDisconnected] at once.
func (b *Bus) Publish(ctx context.Context, subject cluster.Subject, payload []byte) error {
	switch {
	case b.ctx.Err() != nil:
		return errClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case len(payload) > maxPayload:
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(payload), maxPayload)
	}
	c := b.conn.Load()
	if c == nil {
		return ErrDisconnected
	}
	select {
	case c.queue <- c.B().Publish().Channel(b.channel(subject)).Message(string(payload)).Build():
		return nil
	case <-c.ctx.Done():
		return ErrDisconnected
	case <-ctx.Done():
		return ctx.Err()
	}
}

// logAnswer logs the error of a published message if it is an answer of Redis. After another error,
// connect reports why the connection was lost.
func (b *Bus) logAnswer(err error) {
	if isAnswer(err) {
		b.state.LogError("Redis error", explain(err))
	}
}

// do sends a command and waits for the answer.
func (b *Bus) do(ctx context.Context, command func(rueidis.Builder) rueidis.Completed) error {
	c := b.conn.Load()
	if c == nil {
		return ErrDisconnected
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return c.Do(ctx, command(c.B())).Error()
}

// Events returns the channel of the connection's events. It implements [cluster.Bus].
func (b *Bus) Events() <-chan cluster.BusEvent { return b.state.C() }

// MaxPayload returns 256 KiB. It implements [cluster.Bus].
func (b *Bus) MaxPayload() int { return maxPayload }

// Close ends all subscriptions, sends the published messages and disconnects. A client of [Connect] is closed, and a client of
// [New] remains open. Close implements [cluster.Bus]. If ctx ends first, Close returns its error,
// and the connection is closed soon.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	b.subs = nil
	b.mu.Unlock()
	b.state.Stop()
	b.stop()
	select {
	case <-b.closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("rediscluster: close: %w", ctx.Err())
	}
}
