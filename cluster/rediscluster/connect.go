package rediscluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/rueidis"

	"github.com/occupancy/occupancy/cluster/internal/busstate"
)

// Option is a setting of [Connect] or [New].
type Option func(*Bus)

// WithPrefix sets the first part of every channel, so that several services can use the same
// server. All nodes of one service must have the same prefix. A prefix consists of one or more
// tokens, separated by dots. A token consists of letters, digits, '-' and '_'. The default is
// "occupancy".
func WithPrefix(prefix string) Option { return func(b *Bus) { b.prefix = prefix } }

// WithLogger sets the logger for connections, disconnections and errors. A repeated error
// is logged once per 10 s. Without this option, nothing is logged.
func WithLogger(log *slog.Logger) Option { return func(b *Bus) { b.log = log } }

// WithBackgroundConnect makes Connect return at once. The Bus is disconnected until Redis is
// reached. For [New] the option has no effect.
func WithBackgroundConnect() Option { return func(b *Bus) { b.background = true } }

// Connect returns a Bus with its own client. The option contains the addresses, credentials and
// TLS of Redis; [rueidis.ParseURL] converts a URL such as "redis://:password@10.0.0.1:6379".
// With several addresses, or the name of a primary of Sentinels, the client finds the servers
// itself. Connect changes two defaults: a dial takes at most 2 s, and the client caches nothing.
//
// Connect retries until it is connected or ctx ends. If Redis rejects the credentials, the
// permissions or the certificate, Connect returns the error at once.
func Connect(ctx context.Context, option rueidis.ClientOption, opts ...Option) (*Bus, error) {
	b, err := newBus(opts)
	if err != nil {
		return nil, err
	}
	if option.Dialer.Timeout == 0 {
		option.Dialer.Timeout = 2 * time.Second
	}
	option.DisableCache = true
	go b.run(option)
	var last error
	for !b.background {
		select {
		case r := <-b.results:
			if r.err == nil {
				return b, nil
			}
			if last = explain(r.err); rejection(r.err) == "" {
				continue
			}
		case <-ctx.Done():
			last = errors.Join(ctx.Err(), last)
		}
		b.stop()
		return nil, fmt.Errorf("rediscluster: connect: %w", last)
	}
	return b, nil
}

// New returns a Bus on a client of the program, which it does not close. Events reports when
// the Bus is connected.
func New(client rueidis.Client, opts ...Option) (*Bus, error) {
	b, err := newBus(opts)
	if err != nil {
		return nil, err
	}
	b.client.Store(&client)
	go b.run(rueidis.ClientOption{})
	return b, nil
}

func newBus(opts []Option) (*Bus, error) {
	b := &Bus{
		prefix:  "occupancy",
		log:     slog.New(slog.DiscardHandler),
		results: make(chan result, 1),
		closed:  make(chan struct{}),
		subs:    make(map[string][]*subscription),
	}
	for _, opt := range opts {
		opt(b)
	}
	if err := busstate.CheckPrefix(b.prefix); err != nil {
		return nil, fmt.Errorf("rediscluster: %w", err)
	}
	b.state = busstate.New("Redis", b.log)
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b, nil
}
