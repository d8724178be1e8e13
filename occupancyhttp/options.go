package occupancyhttp

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/occupancy/occupancy/trending"
)

// Option is a setting of [NewHandler].
type Option func(*config)

type config struct {
	authorize   func(r *http.Request, rooms []string) []error
	reauthorize time.Duration
	maxStreams  int
	streamKey   func(r *http.Request) string
	maxPerKey   int
	heartbeat   time.Duration
	lifetime    *time.Duration // nil: see lifetimeOf
	health      func() []string
	board       *trending.Board // nil without WithLists
	logger      *slog.Logger
	warnings    *warnings
}

// WithAuthorize sets the function that decides whether a request may read a room. The
// handler calls f for every room of the request, before it reads a count or subscribes to
// a room.
//
// If f returns nil, access is granted. If f returns [ErrUnauthorized], the room is refused
// with status 401; for every other error with 403. The client receives neither the error
// of f nor whether the room exists. If f grants access to some rooms of a request, the
// response contains these rooms, and lists the others as refused.
//
// If f returns [ErrUnavailable], the handler answers the whole request with status 503, and
// the client retries. Streams that are already open keep their access, and their
// lists do not change until f no longer returns ErrUnavailable.
//
// f must be safe for concurrent use. WithAuthorize(nil) panics. By default every request
// may read every room.
func WithAuthorize(f func(r *http.Request, room string) error) Option {
	if f == nil {
		panic("occupancyhttp: WithAuthorize: nil function")
	}
	return func(c *config) {
		c.authorize = func(r *http.Request, rooms []string) []error {
			errs := make([]error, len(rooms))
			for i, room := range rooms {
				if errs[i] = f(r, room); errors.Is(errs[i], ErrUnavailable) {
					break
				}
			}
			return errs
		}
	}
}

// WithAuthorizeRooms is like [WithAuthorize], with one call for all rooms of a request, for
// example because f queries a database. f returns those of the rooms that the request may
// read. If it returns an error, the request may read none of them.
func WithAuthorizeRooms(f func(r *http.Request, rooms []string) (allowed []string, err error)) Option {
	if f == nil {
		panic("occupancyhttp: WithAuthorizeRooms: nil function")
	}
	return func(c *config) {
		c.authorize = func(r *http.Request, rooms []string) []error {
			allowed, err := f(r, slices.Clone(rooms))
			granted := map[string]bool{}
			if err == nil {
				err = errForbidden
				for _, room := range allowed {
					granted[room] = true
				}
			}
			errs := make([]error, len(rooms))
			for i, room := range rooms {
				if !granted[room] {
					errs[i] = err
				}
			}
			return errs
		}
	}
}

// WithReauthorize makes every stream call the function of [WithAuthorize] again about
// every d, at most 20% earlier. A room that is refused then gets no further events. The
// call is made by the goroutine of the stream, so events of this stream wait for it. The
// default, 0, means that a stream is authorized only once, when it opens. To revoke access
// immediately, call [Handler.Revoke].
func WithReauthorize(d time.Duration) Option { return func(c *config) { c.reauthorize = d } }

// WithMaxStreams limits the number of open streams. When n streams are open, a request for
// a stream is answered with status 503 and a Retry-After header. The EventSource of a
// browser would never retry after this status. So its response has status 200 and ends at
// once, after the field that tells it when to retry. The default, 0, means no limit.
//
// With a limit, [WithStreamKey] limits the share of one client.
func WithMaxStreams(n int) Option { return func(c *config) { c.maxStreams = n } }

// WithStreamKey limits the number of open streams of one client to n. Requests with the
// same key are of one client, for example the name of the user. Requests with an empty key
// are not limited. A refused request is answered as with [WithMaxStreams].
//
// Allow at least two streams for each browser: when a page changes its set of rooms, its
// new stream may open before the handler has noticed the end of the old one.
//
// The default, if [WithMaxStreams] sets a limit, is the remote IP address of the request
// (for IPv6 the first 64 bits), and a tenth of that limit, but at least 6. Loopback and private
// addresses are not limited, because they are often those of a reverse proxy. Behind a
// proxy with another address, set a key. WithStreamKey(nil, 0) means no limit.
func WithStreamKey(key func(r *http.Request) string, n int) Option {
	switch {
	case n < 0:
		panic(fmt.Sprintf("occupancyhttp: WithStreamKey: negative number of streams %d", n))
	case key == nil && n > 0:
		panic("occupancyhttp: WithStreamKey: nil function")
	}
	return func(c *config) { c.streamKey, c.maxPerKey = key, n }
}

// WithHeartbeat sets the interval at which a stream sends a comment, so that proxies and
// clients do not close an idle stream. The default is 15s. With 0 the handler sends no
// comments.
func WithHeartbeat(d time.Duration) Option { return func(c *config) { c.heartbeat = d } }

// WithStreamLifetime makes every stream end after d, or at most 20% earlier. The client
// then opens a new stream. So a stream whose client has vanished ends after d at the latest,
// even if a proxy keeps the connection open. With 0 streams do not end. By default, streams
// end after five minutes if [ConnContext] is not used or has no effect.
func WithStreamLifetime(d time.Duration) Option { return func(c *config) { c.lifetime = &d } }

// WithHealth sets the function that returns the reasons why the counts may be out of date,
// or nil if they are current. Streams send these reasons as the event occupancy.stale: when
// they open, and after each change. The handler calls f every second while a stream is
// open. f must not block. By default, streams send no such event.
func WithHealth(f func() (reasons []string)) Option { return func(c *config) { c.health = f } }

// WithLogger sets the logger. The handler logs a warning when a stream limit is reached,
// when access cannot be checked, and when nodes of a cluster did not respond; each warning
// at most once a minute. At debug level it logs every refused request, and streams that it
// closed after a failed write. By default, or if l is nil, the handler logs nothing.
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

func newConfig(opts []Option) config {
	c := config{heartbeat: 15 * time.Second, maxPerKey: -1}
	for _, o := range opts {
		o(&c)
	}
	if c.maxPerKey < 0 { // WithStreamKey is not used
		c.streamKey, c.maxPerKey = addressKey, 0
		if c.maxStreams > 0 {
			c.maxPerKey = max(c.maxStreams/10, 6)
		}
	}
	if c.maxStreams < 0 || c.heartbeat < 0 || c.reauthorize < 0 || c.lifetime != nil && *c.lifetime < 0 {
		panic("occupancyhttp: NewHandler: the value of an option is negative")
	}
	if c.logger == nil {
		c.logger = slog.New(slog.DiscardHandler)
	}
	c.warnings = &warnings{logger: c.logger, last: map[string]time.Time{}}
	return c
}
