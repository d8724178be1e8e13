package occupancyhttp

import (
	"net/http"
	"sync"
)

// exits are how streams learn that their server shuts down: [http.Server.Shutdown] waits
// for them and tells them nothing.
type exits struct {
	mu    sync.Mutex                       // protects the following
	exits map[*http.Server]<-chan struct{} // closed when the server shuts down
}

// of is the exit of the request's server, or nil if that is no [http.Server]: then only
// the request's context ends its stream. A server begins at Shutdown what was registered
// by then, so this is asked before anything that may take long.
func (x *exits) of(r *http.Request) <-chan struct{} {
	server, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	if !ok {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	exit, known := x.exits[server]
	if !known {
		down := make(chan struct{})
		// Shutdown may be called more than once, and begins what is registered each time.
		server.RegisterOnShutdown(sync.OnceFunc(func() { close(down) }))
		if x.exits == nil {
			x.exits = map[*http.Server]<-chan struct{}{}
		}
		x.exits[server] = down
		exit = down
	}
	return exit
}
