package natscluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster/internal/config"
	"github.com/occupancy/occupancy/cluster/natscluster/internal/loglimit"
)

// Bus is a [cluster.Bus] on NATS. [Connect] and embed.Start create a Bus. All methods can
// be called from any goroutine.
type Bus struct {
	config  *config.Config
	events  *cluster.BusEvents
	dialer  *dialer
	servers []string // the URLs given to Connect

	// broadcastSubjects contains, by kind, the NATS subjects of the messages to all nodes.
	broadcastSubjects [cluster.KindSyncReply + 1]string

	conn         atomic.Pointer[nats.Conn]
	connected    atomic.Bool
	connectedURL atomic.Pointer[string]
	maxPayload   atomic.Int64
	connects     atomic.Uint64
	lost         atomic.Uint64
	errorLog     loglimit.Limiter

	closing      atomic.Bool
	stop         chan struct{}  // closed when Close begins
	closed       chan struct{}  // closed when Close has finished
	replacements sync.WaitGroup // for the goroutines that replace conn and call watchRoutes

	stateMu sync.Mutex
	state   cluster.BusEvent // the last reported state, protected by stateMu

	mu   sync.Mutex // protects changes of conn and subs, and subscribing on conn
	subs sync.Map   // keys: *subscription
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

func newBus(c *config.Config) *Bus {
	b := &Bus{
		config: c,
		events: cluster.NewBusEvents(),
		dialer: newDialer(),
		stop:   make(chan struct{}),
		closed: make(chan struct{}),
	}
	b.dialer.awaitDelivery = b.awaitDelivery
	if c.Server != nil {
		b.dialer.dialContext = func(context.Context, string) (net.Conn, error) { return c.Server.Dial() }
	}
	b.connectedURL.Store(new(string))
	for kind := range b.broadcastSubjects {
		b.broadcastSubjects[kind] = b.natsSubject(cluster.Subject{Kind: cluster.Kind(kind)})
	}
	return b
}

func (b *Bus) natsSubject(s cluster.Subject) string { return b.config.Prefix + ".v1." + s.String() }

// Publish sends the payload to all subscribers of the subject. It implements
// [cluster.Bus]. While the Bus is disconnected it returns [ErrDisconnected] at once.
//
// Publish writes to the connection. The write blocks if the server does not read and the
// system's buffers are full. After 2 s, or at the deadline of ctx, the Bus closes the
// connection and connects again. The cancellation of a ctx without a deadline does not
// interrupt the write.
func (b *Bus) Publish(ctx context.Context, subject cluster.Subject, payload []byte) error {
	switch {
	case b.closing.Load():
		return errClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case !b.connected.Load(): // the NATS client would block until its dial ends
		return ErrDisconnected
	}
	var to string
	if subject.Shard == 0 && int(subject.Kind) < len(b.broadcastSubjects) {
		to = b.broadcastSubjects[subject.Kind]
	} else {
		to = b.natsSubject(subject)
	}
	if _, limited := ctx.Deadline(); limited {
		// This needs more CPU time than all other steps, so Publish omits it if possible.
		defer b.dialer.interruptAfter(ctx)()
	}
	conn := b.conn.Load()
	switch err := conn.Publish(to, payload); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, nats.ErrMaxPayload):
		limit := conn.MaxPayload() // the server can change its limit
		b.maxPayload.Store(max(limit, cluster.MinPayload))
		return fmt.Errorf("%w: %d bytes, the limit is %d", ErrTooLarge, len(payload), limit)
	case b.closing.Load():
		return errClosed
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed):
		return ErrDisconnected
	default:
		return fmt.Errorf("natscluster: publish: %w", err)
	}
}

// Events returns the channel of the connection's events. It implements [cluster.Bus].
func (b *Bus) Events() <-chan cluster.BusEvent { return b.events.C() }

// MaxPayload returns the size of the largest payload that the server accepts: 1 MiB
// unless the server is configured otherwise. It implements [cluster.Bus].
func (b *Bus) MaxPayload() int { return int(b.maxPayload.Load()) }

// flushTimeout is longer than the NATS client needs to detect a dead connection.
const flushTimeout = 10 * time.Second

// flush waits until the server has processed everything that was sent to it.
func flush(ctx context.Context, conn *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout) // FlushWithContext requires a deadline
	defer cancel()
	return conn.FlushWithContext(ctx)
}

// Close disconnects. It implements [cluster.Bus]. Close first waits until the server has
// processed all published messages. If the server is embedded, Close then shuts it down,
// and the server delivers the received messages to its clients and to other seeds. Close
// returns when all goroutines of the Bus have ended.
//
// If ctx ends first, Close closes the connection at once and returns an error. The shutdown
// of an embedded server can then still be in progress.
func (b *Bus) Close(ctx context.Context) error {
	if !b.closing.CompareAndSwap(false, true) {
		select {
		case <-b.closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	stop := context.AfterFunc(ctx, b.dialer.close)
	defer stop()

	var unsent error
	if b.connected.Load() {
		unsent = flush(ctx, b.conn.Load())
	}
	b.connected.Store(false)
	close(b.stop)
	b.dialer.sendBuffered.Store(unsent == nil)
	b.dialer.close() // also interrupts a dial, because conn.Close would wait for the dial
	b.unsubscribe()
	b.conn.Load().Close() // does nothing if the *nats.Conn is nil
	b.replacements.Wait()
	b.events.Close()
	go func() {
		defer close(b.closed)
		if b.config.Server != nil {
			b.config.Server.Shutdown()
		}
	}()
	select {
	case <-b.closed:
	case <-ctx.Done():
		return fmt.Errorf("natscluster: close: %w", ctx.Err())
	}
	if unsent != nil && ctx.Err() != nil {
		return fmt.Errorf("natscluster: close: messages that were published may be lost: %w", ctx.Err())
	}
	return nil
}

// Stats contains the URL of the server and the counters of a Bus.
type Stats struct {
	Prefix     string // the prefix of the subjects
	Server     string // the URL of the connected server, empty while disconnected
	Reconnects uint64 // the number of connections after the first connection
	Lost       uint64 // the number of messages dropped because a subscriber's channel was full
}

// Stats returns the current server and the counters. It does not block.
func (b *Bus) Stats() Stats {
	s := Stats{Prefix: b.config.Prefix, Reconnects: max(b.connects.Load(), 1) - 1, Lost: b.lost.Load()}
	if b.connected.Load() && !b.closing.Load() {
		s.Server = *b.connectedURL.Load()
	}
	return s
}
