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

// WithAuthorize sets the function that decides whether a request may read a room. For a
// stream, the handler calls f for every room before it subscribes to any of them.
//
// If f returns nil, access is granted. If f returns [ErrUnauthorized], the status is 401;
// for every other error it is 403. The response contains neither the error of f nor
// whether the room exists. If f denies one room of a stream, the whole stream is refused,
// and the response names the denied room. The response names no room if the status is 401
// and f denies all rooms.
//
// f must be safe for concurrent use. WithAuthorize(nil) panics. By default every request
// may read every room.
func WithAuthorize(f func(r *http.Request, room string) error) Option {
	if f == nil {
		panic("occupancyhttp: WithAuthorize: nil function")
	}
	return func(c *config) { c.authorize = f }
}

// WithMaxStreams limits the number of open streams. When n streams are open, a request for
// a stream is answered with status 503 and a Retry-After header. The default, 0, means no
// limit.
func WithMaxStreams(n int) Option { return func(c *config) { c.maxStreams = n } }

// WithHeartbeat sets the interval at which an idle stream sends a comment, so that
// proxies and clients do not close the stream. The default is 15s. With 0 the handler
// sends no comments.
func WithHeartbeat(d time.Duration) Option { return func(c *config) { c.heartbeat = d } }

// WithLogger sets the logger. The handler logs a warning when the stream limit is reached
// and when nodes of a cluster did not respond. At debug level it logs refused requests and
// streams that it closed after a failed write. By default, or if l is nil, the handler
// logs nothing.
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

func newConfig(opts []Option) config {
	c := config{heartbeat: 15 * time.Second}
	for _, o := range opts {
		o(&c)
	}
	switch {
	case c.maxStreams < 0:
		panic(fmt.Sprintf("occupancyhttp: WithMaxStreams: negative number of streams %d", c.maxStreams))
	case c.heartbeat < 0:
		panic(fmt.Sprintf("occupancyhttp: WithHeartbeat: negative interval %v", c.heartbeat))
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	return c
}
