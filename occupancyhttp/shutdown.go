package occupancyhttp

import (
	"errors"
	"maps"
	"net"
	"net/http"
	"sync"
	"weak"
)

// shutdowns notifies streams when their server shuts down. [http.Server.Shutdown] waits
// for open requests but does not cancel their contexts.
//
// A function passed to [http.Server.RegisterOnShutdown] cannot be removed, so shutdowns
// registers one function for each server and not for each stream. The keys of the map are
// weak pointers, so that the handler does not keep closed servers in memory.
type shutdowns struct {
	mu       sync.Mutex                                  // protects channels
	channels map[weak.Pointer[http.Server]]chan struct{} // each is closed when its server starts to shut down
}

// channel returns a channel that is closed when the server of the request starts to shut
// down, or has done so already. It returns nil if the request was not received by an
// [http.Server].
func (s *shutdowns) channel(r *http.Request) <-chan struct{} {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := weak.Make(server)
	shutdown, ok := s.channels[key]
	if !ok {
		shutdown = make(chan struct{})
		stop := sync.OnceFunc(func() { close(shutdown) }) // every call of Shutdown calls it
		server.RegisterOnShutdown(stop)
		if isShutdown(server) { // a function that is registered after Shutdown is not called
			stop()
		}
		maps.DeleteFunc(s.channels, func(server weak.Pointer[http.Server], _ chan struct{}) bool { return server.Value() == nil })
		s.channels[key] = shutdown
	}
	return shutdown
}

// isShutdown reports whether Shutdown or Close of the server was called. The server has no
// method for this, but its Serve returns a certain error then.
func isShutdown(server *http.Server) bool {
	return errors.Is(server.Serve(closedListener{}), http.ErrServerClosed)
}

// closedListener is a listener that is closed.
type closedListener struct{}

func (closedListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (closedListener) Close() error              { return nil }
func (closedListener) Addr() net.Addr            { return &net.TCPAddr{} }
