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
// A function passed to [http.Server.RegisterOnShutdown] cannot be removed, so shutdowns
// registers one function for each server and not for each stream. The keys of the map are
// weak pointers, so that the handler does not keep closed servers in memory.
type shutdowns struct {
	mu       sync.Mutex                                  // protects channels
	channels map[weak.Pointer[http.Server]]chan struct{} // each is closed when its server starts to shut down
}

// channel returns a channel that is closed when the server of the request starts to shut
// down. It returns nil if the request was not received by an [http.Server]. Call channel
// before any operation that may block: if Shutdown starts before the first call for a
// server, the channel is never closed.
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
		// Every call of Shutdown calls the function, so it needs a OnceFunc.
		server.RegisterOnShutdown(sync.OnceFunc(func() { close(shutdown) }))
		maps.DeleteFunc(s.channels, func(server weak.Pointer[http.Server], _ chan struct{}) bool { return server.Value() == nil })
		s.channels[key] = shutdown
	}
	return shutdown
}
