package natscluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster"
)

// Bus is a [cluster.Bus] on NATS. Make it with [Connect] or [Embed].
//
// Publish hands the message to the NATS client, which writes it at once. It waits while
// the server doesn't read and the system's buffers are full, for 2 s at most, or until
// the deadline of its ctx if it has one: then the connection is given up, and another
// made. A ctx that is cancelled without a deadline is looked at once, at the beginning.
// While disconnected, Publish returns at once.
type Bus struct {
	opts    *options
	events  *cluster.BusEvents
	sockets *sockets
	servers []string                          // for Connect
	server  *embedded                         // for Embed, else nil
	shared  [cluster.KindSyncReply + 1]string // the subjects of shard 0

	conn       atomic.Pointer[nats.Conn]
	up         atomic.Bool
	at         atomic.Pointer[string] // the URL that conn is connected to
	maxPayload atomic.Int64
	connects   atomic.Uint64
	lost       atomic.Uint64
	repeated   repeated // errors that were logged

	closing  atomic.Bool
	closed   chan struct{}  // when Close has done all
	revivals sync.WaitGroup // of the goroutine that makes another conn

	mu   sync.Mutex // held to change the following, and what conn is, and to subscribe on it
	subs sync.Map   // of *subscription to nothing
}

var _ cluster.Bus = (*Bus)(nil)

// The errors of Publish and Subscribe.
var (
	ErrClosed       = errors.New("natscluster: bus is closed")
	ErrDisconnected = errors.New("natscluster: bus is disconnected")
	ErrTooLarge     = errors.New("natscluster: payload is larger than the server takes")
)

func newBus(o *options) *Bus {
	b := &Bus{
		opts:    o,
		events:  cluster.NewBusEvents(),
		sockets: newSockets(),
		closed:  make(chan struct{}),
	}
	b.sockets.passOn = b.passOn
	b.at.Store(new(string))
	for kind := range b.shared {
		b.shared[kind] = b.render(cluster.Subject{Kind: cluster.Kind(kind)})
	}
	return b
}

// render is the subject as NATS has it.
func (b *Bus) render(s cluster.Subject) string { return b.opts.prefix + ".v1." + s.String() }

// Publish is a Bus's. The errors, but for those of the connection and of ctx, are those
// of this package.
func (b *Bus) Publish(ctx context.Context, subject cluster.Subject, payload []byte) error {
	switch {
	case b.closing.Load():
		return ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case !b.up.Load(): // the NATS client would have it wait for a dial's end
		return ErrDisconnected
	}
	var to string
	if subject.Shard == 0 && int(subject.Kind) < len(b.shared) {
		to = b.shared[subject.Kind]
	} else {
		to = b.render(subject)
	}
	if _, limited := ctx.Deadline(); limited { // only then: it costs more than all else here
		defer b.sockets.barAfter(ctx)()
	}
	conn := b.conn.Load()
	switch err := conn.Publish(to, payload); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, nats.ErrMaxPayload):
		n := conn.MaxPayload() // which the server may have changed
		b.maxPayload.Store(max(n, cluster.MinPayload))
		return fmt.Errorf("%w: %d bytes of %d", ErrTooLarge, len(payload), n)
	case b.closing.Load():
		return ErrClosed
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed):
		return ErrDisconnected
	default:
		return fmt.Errorf("natscluster: publish: %w", err)
	}
}

// Events is a Bus's.
func (b *Bus) Events() <-chan cluster.BusEvent { return b.events.C() }

// MaxPayload is a Bus's: the largest payload that the server takes, as it last said. Of
// an embedded one it is 1 MiB.
func (b *Bus) MaxPayload() int { return int(b.maxPayload.Load()) }

// flushLimit is longer than a connection can be dead without being found so.
const flushLimit = 10 * time.Second

// flush waits until the server has taken all that it was sent. The client demands a
// deadline.
func flush(ctx context.Context, conn *nats.Conn) error {
	limited, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	return conn.FlushWithContext(limited)
}

// Close is a Bus's. It waits for the server to have taken what was published, and then
// for the Bus's goroutines to end; an embedded server is shut down, and hands on to
// its clients and routes what it has. If ctx ends before, what is left is cut off,
// and Close returns an error that says so; an embedded server's end may then go on
// without it.
func (b *Bus) Close(ctx context.Context) error {
	if !b.closing.CompareAndSwap(false, true) {
		select {
		case <-b.closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	cut := context.AfterFunc(ctx, b.sockets.cut)
	defer cut()

	var unsent error
	if b.up.Load() {
		unsent = flush(ctx, b.conn.Load())
	}
	b.up.Store(false)
	b.sockets.gentle.Store(unsent == nil)
	b.sockets.cut() // also a dial, whose end the NATS client would wait for; none begins any more
	b.unsubscribe()
	b.conn.Load().Close() // which nil can, too
	b.revivals.Wait()
	b.events.Close()
	go func() {
		defer close(b.closed)
		if b.server != nil {
			b.server.shutdown()
		}
	}()
	select {
	case <-b.closed:
	case <-ctx.Done():
		return fmt.Errorf("natscluster: close: %w", ctx.Err())
	}
	if unsent != nil && ctx.Err() != nil {
		return fmt.Errorf("natscluster: close: what was published may be lost: %w", ctx.Err())
	}
	return nil
}

// Stats is how a Bus is doing.
type Stats struct {
	Server     string // the URL of the server, "" while disconnected
	Routes     int    // other seeds that an embedded server is linked to, or about to be
	Reconnects uint64 // connections after the first
	Lost       uint64 // messages that a subscriber's channel had no room for
}

// Stats tells it. It waits for nothing.
func (b *Bus) Stats() Stats {
	s := Stats{Reconnects: max(b.connects.Load(), 1) - 1, Lost: b.lost.Load()}
	if b.up.Load() && !b.closing.Load() {
		s.Server = *b.at.Load()
	}
	if b.server != nil {
		s.Routes = b.server.NumRoutes()
	}
	return s
}
