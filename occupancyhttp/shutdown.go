package occupancyhttp

import (
	"maps"
	"net/http"
	"sync"
	"weak"
)

// shutdowns notifies streams when their server shuts down. [http.Server.Shutdown] waits
// for open requests but does not cancel their contexts.
//
// A function passed to [http.Server.RegisterOnShutdown] cannot be removed again, so
// shutdowns registers only one for each server. It refers to servers weakly, because the
// handler may outlive them.
type shutdowns struct {
	mu      sync.Mutex                                  // protects the following
	started map[weak.Pointer[http.Server]]chan struct{} // closed when the shutdown starts
}

// channel returns a channel that is closed when the server of the request starts to shut
// down. It returns nil if the request was not received by an [http.Server]. Call it before
// anything that may block: a function that is registered after Shutdown has started is
// not called.
func (s *shutdowns) channel(r *http.Request) <-chan struct{} {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := weak.Make(server)
	started, known := s.started[key]
	if !known {
		started = make(chan struct{})
		// Each call of Shutdown calls the registered functions.
		server.RegisterOnShutdown(sync.OnceFunc(func() { close(started) }))
		maps.DeleteFunc(s.started, func(server weak.Pointer[http.Server], _ chan struct{}) bool { return server.Value() == nil })
		s.started[key] = started
	}
	return started
}
