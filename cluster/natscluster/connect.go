package natscluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster/internal/busstate"
)

// Connect returns a Bus with its own connection to a NATS server. The parameter urls contains
// the URLs of one or more servers, separated by commas:
// "nats://10.0.0.1:4222,nats://10.0.0.2:4222". The servers inform the Bus of other servers
// in their NATS cluster. If the connection is lost, the Bus reconnects to any server that
// it knows.
//
// Connect retries until it is connected or ctx ends; an attempt takes up to 2 s for each
// server. If a server rejects the credentials or the certificate, Connect returns the error at
// once. With the option [nats.RetryOnFailedConnect], Connect tries each server only once and
// returns a Bus that is disconnected until a server accepts the connection.
func Connect(ctx context.Context, urls string, opts ...Option) (*Bus, error) {
	b, err := newBus(opts)
	if err != nil {
		return nil, err
	}
	b.ownsConn = true
	conn, err := b.dial(ctx, urls)
	if err == nil {
		err = b.start(conn)
	}
	if err != nil {
		conn.Close() // does nothing if conn is nil
		return nil, fmt.Errorf("natscluster: connect: %w", err)
	}
	return b, nil
}

// New returns a Bus on a connection of the program. The Bus changes no setting and no handler
// of the connection, and does not close it. The connection should reconnect without limit
// ([nats.MaxReconnects] with -1), and its write timeout ([nats.FlusherTimeout]) should be a
// few seconds, because a write can block Publish.
func New(conn *nats.Conn, opts ...Option) (*Bus, error) {
	b, err := newBus(opts)
	switch {
	case err != nil:
		return nil, err
	case len(b.natsOptions) > 0:
		return nil, errors.New("natscluster: WithNATS applies to Connect only")
	}
	if err := b.start(conn); err != nil {
		return nil, fmt.Errorf("natscluster: %w", err)
	}
	return b, nil
}

func newBus(opts []Option) (*Bus, error) {
	b := &Bus{
		prefix: "occupancy",
		log:    slog.New(slog.DiscardHandler),
		closed: make(chan struct{}),
		subs:   make(map[*subscription]struct{}),
	}
	for _, opt := range opts {
		opt(b)
	}
	if err := busstate.CheckPrefix(b.prefix); err != nil {
		return nil, fmt.Errorf("natscluster: %w", err)
	}
	b.state = busstate.New("NATS", b.log)
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b, nil
}

// dial retries until it is connected, ctx ends or a server rejects the connection.
func (b *Bus) dial(ctx context.Context, urls string) (*nats.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		conn, err := nats.Connect(urls, append([]nats.Option{b.setDefaults}, b.natsOptions...)...)
		var invalid *url.Error // contains the URL, which can contain a password
		switch {
		case errors.As(err, &invalid):
			return nil, fmt.Errorf("the list of servers contains an invalid URL: %w", invalid.Err)
		case err == nil, rejected(err):
			return conn, explain(err)
		}
		err = fmt.Errorf("cannot reach any seed or server: %w", err)
		b.logError("cannot connect to NATS, retrying", err)
		select {
		case <-time.After(reconnectWait + rand.N(reconnectWait)):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w; last error: %w", ctx.Err(), err)
		}
	}
}

const reconnectWait = 250 * time.Millisecond

// setDefaults is an option of the NATS client.
func (b *Bus) setDefaults(o *nats.Options) error {
	o.Name = "occupancy"

	// A connection is closed when two pings are unanswered: after 3 s.
	o.PingInterval = time.Second
	o.MaxPingsOut = 2
	o.Timeout = 2 * time.Second
	o.FlusherTimeout = 2 * time.Second // limits a write, which can block Publish
	o.ReconnectOnFlusherError = true   // because a part of a message may have been sent

	o.MaxReconnect = -1
	o.ReconnectWait, o.ReconnectJitter, o.ReconnectJitterTLS = reconnectWait, reconnectWait, reconnectWait
	o.ReconnectBufSize = -1       // no buffer, because buffered digests would be outdated
	o.IgnoreAuthErrorAbort = true // retry: after a restart, the server may accept the credentials

	o.ReconnectErrCB = func(_ *nats.Conn, err error) { b.logError("cannot connect to NATS, retrying", err) }
	o.DisconnectedErrCB = func(_ *nats.Conn, err error) { b.logError("NATS error", err) }
	o.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) { b.logError("NATS error", err) }
	return nil
}
