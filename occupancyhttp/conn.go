package occupancyhttp

import (
	"context"
	"net"
	"net/http"
	"syscall"
	"time"
)

// connKey is the key of the connection in the context of a request.
type connKey struct{}

// ConnContext lets the handler set options of the connections of streams. Set it in the
// server:
//
//	server := &http.Server{Handler: mux, ConnContext: occupancyhttp.ConnContext}
//
// Without it, the kernel accepts the small writes of a stream, and a client that vanished
// without closing its connection is not detected for up to 16 minutes. On Linux the
// handler sets TCP_USER_TIMEOUT: a stream ends when the client has not acknowledged a
// write for ten seconds. With the default heartbeat, this is at most about half a minute
// after the client vanished. The handler also sets TCP_NOTSENT_LOWAT: events that are not
// sent yet remain in the handler, which replaces them by newer events. Both options also
// apply to other requests of the connection. On other systems, ConnContext has no effect.
//
// Behind a reverse proxy, the connection is that of the proxy: set [WithStreamLifetime].
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// defaultLifetime limits streams whose clients may vanish without being detected.
const defaultLifetime = 5 * time.Minute

// lifetimeOf sets the options of the connection, and returns the maximum duration of the
// stream, or 0.
func (c *config) lifetimeOf(r *http.Request) time.Duration {
	detected := setOptions(r)
	switch {
	case c.lifetime != nil:
		return *c.lifetime
	case detected:
		return 0
	}
	return defaultLifetime
}

// setOptions sets the options of the connection of the request. It reports whether the
// kernel detects that the client has vanished.
func setOptions(r *http.Request) bool {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = t.NetConn()
	}
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	return err == nil && setTCPOptions(raw)
}
