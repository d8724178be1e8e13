package natscluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster"
)

// Connect makes a Bus of a NATS server that runs: the first that takes it of urls,
// which are separated by commas, as in "nats://10.0.0.1:4222,nats://10.0.0.2:4222".
// Servers that these tell of are used later, too, when a connection is lost; that is
// tried for ever, several times a second.
//
// Connect returns when it is connected. While no server can be reached it tries, until
// ctx ends. One that is reached and refuses, for its credentials or certificates, is an
// error at once.
func Connect(ctx context.Context, urls string, opts ...Option) (*Bus, error) {
	o, err := newOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("natscluster: %w", err)
	}
	if len(o.onlyEmbed) > 0 {
		return nil, fmt.Errorf("natscluster: %s is for Embed", o.onlyEmbed[0])
	}
	b := newBus(o)
	if b.servers, err = parseServers(urls); err != nil {
		return nil, err
	}
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// schemes are those that the NATS client knows; any other would be as "nats".
var schemes = []string{"nats", "tls", "ws", "wss"}

// parseServers tells of what is wrong without showing it: there may be a password in it.
func parseServers(urls string) ([]string, error) {
	var servers []string
	for i, s := range strings.Split(urls, ",") {
		s = strings.TrimSpace(s)
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" || !slices.Contains(schemes, u.Scheme) {
			return nil, fmt.Errorf("natscluster: server %d of the list is not a URL such as nats://host:4222", i+1)
		}
		servers = append(servers, u.String())
	}
	return servers, nil
}

// start makes the first connection, or ends the Bus.
func (b *Bus) start(ctx context.Context) error {
	stop := context.AfterFunc(ctx, b.sockets.cut)
	err := b.dial(refused)
	if !stop() { // all is cut off, however far it came
		if err == nil {
			err = ctx.Err()
		} else {
			err = fmt.Errorf("%w; last: %w", ctx.Err(), err)
		}
	}
	if err != nil {
		ended, cancel := context.WithCancel(context.Background())
		cancel() // there is nothing to wait for
		_ = b.Close(ended)
		<-b.closed
		return fmt.Errorf("natscluster: connect: %w", err)
	}
	return nil
}

// dial tries until there is a connection, the Bus ends, or an error is final.
func (b *Bus) dial(final func(error) bool) error {
	var last error
	for {
		err := b.dialOnce()
		if err == nil || final(err) {
			return err
		}
		if b.sockets.ctx.Err() != nil {
			return cmp.Or(last, err) // err may be no more than that it was cut off
		}
		last = err
		if !b.repeated.is(err.Error()) {
			b.opts.log.Warn("no connection to NATS yet", "error", err)
		}
		select {
		case <-time.After(reconnectWait + rand.N(reconnectWait)):
		case <-b.sockets.ctx.Done():
			return err
		}
	}
}

func (b *Bus) dialOnce() error {
	adopted := make(chan struct{})
	defer close(adopted)
	conn, err := b.settings(adopted).Connect()
	if err != nil {
		if errors.Is(err, nats.ErrNoServers) {
			err = b.sockets.why(err)
		}
		return err
	}
	if n := conn.MaxPayload(); n < cluster.MinPayload {
		conn.Close()
		return fmt.Errorf("the server's largest payload is %d bytes; %d are needed", n, cluster.MinPayload)
	}
	b.adopt(conn)
	return nil
}

// refused reports whether a server was reached and would say the same again.
func refused(err error) bool {
	if errors.Is(err, nats.ErrNoServers) {
		return false
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "remote error" {
		return true // a TLS alert
	}
	if ne := net.Error(nil); errors.As(err, &ne) {
		return false // a timeout, a name that isn't known yet, a reset
	}
	return !errors.Is(err, io.EOF) || errors.Is(err, nats.ErrTLS)
}

const reconnectWait = 250 * time.Millisecond

// settings are the NATS client's. It calls back when the Bus has adopted the connection,
// however soon that is lost: so its end is not told before its beginning.
func (b *Bus) settings(adopted <-chan struct{}) *nats.Options {
	o := nats.GetDefaultOptions()
	o.Servers = b.servers
	o.Name = b.opts.name
	o.NoEcho = true // a node's own digests are not news to it

	// A connection is dead when 2 pings of 1 s are unanswered: after 3 s.
	o.PingInterval = time.Second
	o.MaxPingsOut = 2
	o.Timeout = dialTimeout
	o.FlusherTimeout = 2 * time.Second // of a write, which Publish waits for

	o.MaxReconnect = -1
	o.ReconnectWait = reconnectWait
	o.ReconnectJitter = reconnectWait
	o.ReconnectJitterTLS = reconnectWait
	o.ReconnectBufSize = -1       // none: the digests in it would be stale
	o.IgnoreAuthErrorAbort = true // a server restarted with other credentials may get ours again

	o.CustomDialer = b.sockets
	o.SkipHostLookup = true // the client's ignores that ctx ended; the dialer looks up

	o.User, o.Password, o.Token = b.opts.user, b.opts.password, b.opts.token
	o.Nkey, o.UserJWT, o.SignatureCB = b.opts.keys.Nkey, b.opts.keys.UserJWT, b.opts.keys.SignatureCB
	if b.server != nil {
		o.InProcessServer, o.Token = b.sockets, b.server.token
	} else if b.opts.tls != nil {
		o.Secure, o.TLSConfig = true, b.opts.tls
	}

	o.ReconnectedCB = func(conn *nats.Conn) { <-adopted; b.connected(conn) }
	o.DisconnectedErrCB = func(_ *nats.Conn, err error) { <-adopted; b.disconnected(err) }
	o.ClosedCB = func(conn *nats.Conn) { <-adopted; b.revive(conn) }
	o.AsyncErrorCB = func(_ *nats.Conn, sub *nats.Subscription, err error) { b.failed(sub, err) }
	return &o
}
