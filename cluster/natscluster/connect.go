package natscluster

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster/internal/config"
)

// Connect returns a Bus that is connected to a NATS server. The parameter urls contains the
// URLs of one or more servers, separated by commas:
// "nats://10.0.0.1:4222,nats://10.0.0.2:4222". The servers inform the Bus of other servers
// in their NATS cluster. If the connection is lost, the Bus reconnects to any server that
// it knows.
//
// Connect retries until it is connected or ctx ends. If a server rejects the credentials
// or the certificate, Connect returns the error at once.
func Connect(ctx context.Context, urls string, opts ...Option) (*Bus, error) {
	c, err := config.New(opts)
	if len(c.EmbedOnly) > 0 && c.Server == nil {
		return nil, fmt.Errorf("natscluster: %s applies to embed.Start only", c.EmbedOnly[0])
	}
	if err != nil {
		return nil, fmt.Errorf("natscluster: %w", err)
	}
	b := newBus(c)
	if b.servers, err = parseServers(urls); err != nil {
		return nil, err
	}
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	if c.Server != nil && c.Server.Isolated != nil {
		b.replacements.Go(b.watchRoutes)
	}
	return b, nil
}

// The NATS client treats any other scheme as "nats".
var schemes = []string{"nats", "tls", "ws", "wss"}

// parseServers parses a list of URLs. Its error does not contain an invalid URL, because
// the URL can contain a password.
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

// start creates the first connection. If it returns an error, it has closed the Bus.
func (b *Bus) start(ctx context.Context) error {
	stop := context.AfterFunc(ctx, b.dialer.close)
	err := b.dial(rejected)
	if !stop() { // ctx has ended, and the dialer is closed
		if err == nil {
			err = ctx.Err()
		} else {
			err = fmt.Errorf("%w; last error: %w", ctx.Err(), err)
		}
	}
	if err != nil {
		ended, cancel := context.WithCancel(context.Background())
		cancel() // nothing was published
		_ = b.Close(ended)
		<-b.closed
		return fmt.Errorf("natscluster: connect: %w", err)
	}
	return nil
}

// dial retries until the Bus is connected or closed, or until the function isFinal returns
// true for an error.
func (b *Bus) dial(isFinal func(error) bool) error {
	var last error
	for {
		err := b.dialOnce()
		if err == nil || isFinal(err) {
			return err
		}
		if b.dialer.ctx.Err() != nil {
			return cmp.Or(last, err) // err is a consequence of the closed dialer, but last has the cause
		}
		last = err
		b.logRetry(err)
		select {
		case <-time.After(reconnectWait + rand.N(reconnectWait)):
		case <-b.dialer.ctx.Done():
			return err
		}
	}
}

func (b *Bus) logRetry(err error) {
	if b.errorLog.Allow(err.Error()) {
		b.config.Log.Warn("cannot connect to NATS, retrying", "error", err)
	}
}

func (b *Bus) dialOnce() error {
	inUse := make(chan struct{})
	defer close(inUse)
	conn, err := b.natsOptions(inUse).Connect()
	switch {
	case err == nil:
	case rejected(err):
		return explain(err)
	default:
		return fmt.Errorf("cannot reach any seed or server: %w", b.dialer.withCause(err))
	}
	if n := conn.MaxPayload(); n < cluster.MinPayload {
		conn.Close()
		return fmt.Errorf("the server's maximum payload of %d bytes is too small: increase it to at least %d", n, cluster.MinPayload)
	}
	b.setConn(conn)
	return nil
}

const reconnectWait = 250 * time.Millisecond

// natsOptions returns the settings of the NATS client. The callbacks wait until the channel
// inUse is closed. Therefore the Bus reports Connected before Disconnected, even if the
// connection is lost immediately.
func (b *Bus) natsOptions(inUse <-chan struct{}) *nats.Options {
	o := nats.GetDefaultOptions()
	o.Servers = b.servers
	o.Name = b.config.Name

	// A connection is closed when two pings are unanswered: after 3 s.
	o.PingInterval = time.Second
	o.MaxPingsOut = 2
	o.Timeout = dialTimeout
	o.FlusherTimeout = 2 * time.Second // limits a write, which can block Publish

	o.MaxReconnect = -1
	o.ReconnectWait = reconnectWait
	o.ReconnectJitter = reconnectWait
	o.ReconnectJitterTLS = reconnectWait
	o.ReconnectBufSize = -1       // no buffer, because buffered digests would be outdated
	o.IgnoreAuthErrorAbort = true // retry: after a restart, the server may accept the credentials

	o.CustomDialer = b.dialer
	o.SkipHostLookup = true // the dialer resolves names, because the client's lookup ignores ctx

	o.User, o.Password, o.Token = b.config.User, b.config.Password, b.config.Token
	o.Nkey, o.UserJWT, o.SignatureCB = b.config.KeyFile.Nkey, b.config.KeyFile.UserJWT, b.config.KeyFile.SignatureCB
	if server := b.config.Server; server != nil {
		o.InProcessServer, o.Token = b.dialer, server.Token
	} else if b.config.TLS != nil {
		o.Secure, o.TLSConfig = true, b.config.TLS
	}

	o.ReconnectedCB = func(conn *nats.Conn) { <-inUse; b.onConnect(conn) }
	o.DisconnectedErrCB = func(_ *nats.Conn, err error) { <-inUse; b.onDisconnect(err) }
	o.ReconnectErrCB = func(_ *nats.Conn, err error) { b.logRetry(err) }
	o.ClosedCB = func(conn *nats.Conn) { <-inUse; b.replace(conn) }
	o.AsyncErrorCB = func(_ *nats.Conn, sub *nats.Subscription, err error) { b.onError(sub, err) }
	return &o
}
