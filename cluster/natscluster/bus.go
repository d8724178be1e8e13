package natscluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/busstate"
)

// Bus is a [cluster.Bus] on NATS. [Connect] and [New] create a Bus. All methods can be called
// from any goroutine.
type Bus struct {
	prefix      string
	log         *slog.Logger
	natsOptions []nats.Option

	conn       *nats.Conn
	ownsConn   bool // Connect has created conn, and Close closes it
	state      *busstate.State
	maxPayload atomic.Int64
	reconnects uint64 // as counted by conn; only check uses it

	ctx      context.Context // done when Close has been called
	stop     context.CancelFunc
	watching sync.WaitGroup
	closed   chan struct{} // closed when Close has finished

	mu   sync.Mutex                 // locked while subs changes and ctx ends
	subs map[*subscription]struct{} // does not change after ctx has ended
}

var _ cluster.Bus = (*Bus)(nil)

// The errors of Publish. After Close, Publish and Subscribe return [occupancy.ErrClosed].
const (
	// ErrDisconnected means that the Bus is not connected to a server.
	ErrDisconnected occupancy.Error = "natscluster: not connected to a NATS server"
	// ErrTooLarge means that the payload is larger than MaxPayload.
	ErrTooLarge occupancy.Error = "natscluster: payload is too large for the server"
)

var errClosed = fmt.Errorf("natscluster: bus: %w", occupancy.ErrClosed)

// start begins to use conn.
func (b *Bus) start(conn *nats.Conn) error {
	b.conn, b.reconnects = conn, conn.Stats().Reconnects
	status, size := conn.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED), conn.MaxPayload()
	b.setMaxPayload(size)
	switch {
	case conn.Status() != nats.CONNECTED:
		b.state.SetDisconnected()
	case size < cluster.MinPayload:
		return fmt.Errorf("the server's maximum payload of %d bytes is too small: increase it to at least %d", size, cluster.MinPayload)
	default:
		b.state.SetConnected(conn.ConnectedUrlRedacted())
	}
	b.watching.Go(func() { b.watch(status) })
	return nil
}

// Conn returns the connection. A program can use it for other messages, whose subjects do
// not begin with the prefix of the Bus and ".v1.". The Close of the Bus closes a connection
// of [Connect].
func (b *Bus) Conn() *nats.Conn { return b.conn }

func (b *Bus) subject(s cluster.Subject) string { return b.prefix + ".v1." + s.String() }

// Publish sends the payload to all subscribers of the subject. It implements
// [cluster.Bus]. While the Bus is disconnected it returns [ErrDisconnected] at once.
//
// Publish writes to the connection. The write blocks if the server does not read and the
// system's buffers are full. It ends after the write timeout of the NATS client, which is
// 2 s for a connection of [Connect]. The end of ctx does not interrupt the write.
func (b *Bus) Publish(ctx context.Context, subject cluster.Subject, payload []byte) error {
	switch {
	case b.ctx.Err() != nil:
		return errClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case !b.state.Connected(): // the NATS client would block until its dial ends
		return ErrDisconnected
	}
	err := b.conn.Publish(b.subject(subject), payload)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, len(payload))
	case isAny(err, nats.ErrReconnectBufExceeded, nats.ErrConnectionClosed, nats.ErrConnectionDraining):
		return ErrDisconnected
	}
	// Possibly only a part of the message was sent. The server would read the next message as
	// the rest of this message.
	_ = b.conn.ForceReconnect()
	return fmt.Errorf("natscluster: publish: %w", err)
}

// Events returns the channel of the connection's events. It implements [cluster.Bus].
func (b *Bus) Events() <-chan cluster.BusEvent { return b.state.C() }

// MaxPayload returns the size of the largest payload that the server accepts: 1 MiB
// unless the server is configured otherwise. It implements [cluster.Bus].
func (b *Bus) MaxPayload() int { return int(b.maxPayload.Load()) }

func (b *Bus) setMaxPayload(n int64) { b.maxPayload.Store(max(n, cluster.MinPayload)) }

// flush waits until the server has processed everything that was sent to it.
func (b *Bus) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return b.conn.FlushWithContext(ctx)
}

// Close ends all subscriptions and waits until the server has processed all published
// messages. Then it closes a connection of [Connect]; a connection of [New] remains open.
// Close implements [cluster.Bus]. If ctx ends first, Close returns its error, and published
// messages may be lost.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	if b.ctx.Err() == nil {
		b.stop()
		b.state.Stop()
		go b.shutdown(ctx)
	}
	b.mu.Unlock()
	for s := range b.subs {
		s.delivery.Wait()
	}
	select {
	case <-b.closed:
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil { // also if the Bus is closed, because messages may be lost
		return fmt.Errorf("natscluster: close: %w", err)
	}
	return nil
}

func (b *Bus) shutdown(ctx context.Context) {
	if b.state.Connected() {
		_ = b.flush(ctx)
	}
	for s := range b.subs {
		s.unsubscribe()
	}
	if b.ownsConn {
		b.conn.Close()
	}
	b.watching.Wait()
	b.state.Close()
	close(b.closed)
}
