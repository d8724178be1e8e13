package occupancyhttp

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// Option is a setting of [NewHandler].
type Option func(*config)

type config struct {
	authorize  func(r *http.Request, room string) error
	maxStreams int
	heartbeat  time.Duration
	logger     *slog.Logger
}

// WithAuthorize has f decide who may see what. It is asked for the room of every
// request, and for every room of a stream before anything of any of them is looked at.
// With nil it goes on. [ErrUnauthorized] is answered with 401, every other error with
// 403, and in neither case does the answer tell what f said, or whether the room exists.
// A stream with one refused room is refused; the answer names that room, as the request
// did, unless all is refused for who asks. f is called from many goroutines. Without
// one everybody may see everything, so WithAuthorize(nil) panics.
func WithAuthorize(f func(r *http.Request, room string) error) Option {
	if f == nil {
		panic("occupancyhttp: WithAuthorize(nil)")
	}
	return func(c *config) { c.authorize = f }
}

// WithMaxStreams limits how many streams are open at a time. One more is answered with
// 503 and a Retry-After. With 0, as without it, there is no limit.
func WithMaxStreams(n int) Option { return func(c *config) { c.maxStreams = n } }

// WithHeartbeat sets after how long without an event a stream sends a comment, so that
// neither proxies nor clients take it for dead; 15s without it. With 0 it sends none.
func WithHeartbeat(d time.Duration) Option { return func(c *config) { c.heartbeat = d } }

// WithLogger has the handler tell what an operator may want to know: full streams and
// parts that are missing as warnings, what was refused and who was cut for debugging.
// Without it, or with nil, it tells nothing.
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

func newConfig(opts []Option) config {
	c := config{heartbeat: 15 * time.Second}
	for _, o := range opts {
		o(&c)
	}
	switch {
	case c.maxStreams < 0:
		panic(fmt.Sprintf("occupancyhttp: negative number of streams %d", c.maxStreams))
	case c.heartbeat < 0:
		panic(fmt.Sprintf("occupancyhttp: negative heartbeat %v", c.heartbeat))
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	return c
}
