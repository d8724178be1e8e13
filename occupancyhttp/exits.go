package occupancyhttp

import (
	"maps"
	"net/http"
	"sync"
	"weak"
)

// exits are how streams learn that their server shuts down: [http.Server.Shutdown] waits
// for them and tells them nothing. A server can be asked to tell, but not to stop telling,
// so it is asked once, by its first stream. It is kept weakly: the handler may outlive it.
type exits struct {
	mu    sync.Mutex                                  // protects the following
	exits map[weak.Pointer[http.Server]]chan struct{} // closed when the server shuts down
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
	key := weak.Make(server)
	exit, known := x.exits[key]
	if !known {
		exit = make(chan struct{})
		// Shutdown may be called more than once, and begins what is registered each time.
		server.RegisterOnShutdown(sync.OnceFunc(func() { close(exit) }))
		maps.DeleteFunc(x.exits, func(server weak.Pointer[http.Server], _ chan struct{}) bool { return server.Value() == nil })
		x.exits[key] = exit
	}
	return exit
}
