package hooks

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
)

// begin: shutdown

// serve serves clients on ln until ctx is done, and then shuts down. Without a cluster,
// node is nil.
func serve(ctx context.Context, ln net.Listener, engine *occupancy.Engine, node *cluster.Node) error {
	// serverCtx does not derive from ctx, because the websockets must stay open until node.Close returns.
	serverCtx, disconnect := context.WithCancel(context.Background())
	defer disconnect()
	var handlers sync.WaitGroup
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws/{room}", func(w http.ResponseWriter, r *http.Request) {
		handlers.Add(1)
		defer handlers.Done()
		serveWebsocket(serverCtx, engine, w, r)
	})
	// BaseContext ends other long requests, for example the event streams of occupancyhttp.
	server := &http.Server{Handler: mux, BaseContext: func(net.Listener) context.Context { return serverCtx }}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}

	timeout, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(timeout) }() // 1. accept no connections; websockets stay open
	if node != nil {
		_ = node.Close() // 2. the other nodes remove this node's counts in one step
	}
	disconnect()                            // 3. close the websockets
	err = errors.Join(err, <-stopped)       // 4. wait for the requests that are not websockets
	handlers.Wait()                         //    and for the websockets: all leases are closed now
	return errors.Join(err, engine.Close()) // 5. close the engine
}

// end: shutdown
