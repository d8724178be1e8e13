// Minimal is a small server that counts its connections: each open stream in a room is
// one connection. The program imports only the standard library and this module.
//
//	go run ./examples/minimal
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/occupancy/occupancy"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "`host:port` to listen on; port 0 selects a free port")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "minimal:", err)
		os.Exit(1)
	}
}

// run serves requests until ctx is done.
func run(ctx context.Context, addr string, out io.Writer) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	engine, handler := newHandler()
	defer engine.Close()
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // canceling ctx ends the streams
	}
	serveErr := make(chan error, 1)
	go func() { serveErr <- server.Serve(ln) }()
	fmt.Fprintf(out, `listening on %[1]s
  connect to the room "lobby":  curl -N http://%[1]s/rooms/lobby
  read its occupancy:           curl http://%[1]s/rooms/lobby/occupancy
`, ln.Addr())

	select {
	case err := <-serveErr:
		return err
	case <-ctx.Done():
	}
	shutdownCtx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return server.Shutdown(shutdownCtx)
}

func newHandler() (*occupancy.Engine, http.Handler) {
	mux := http.NewServeMux()
	// begin: minimal
	engine := occupancy.New()
	mux.HandleFunc("GET /rooms/{room}", func(w http.ResponseWriter, r *http.Request) {
		if openStream(w, r) != nil { // your code: start a stream or upgrade to a websocket
			return // no connection was counted
		}
		lease, err := engine.Connect(r.PathValue("room")) // counts one connection
		if err != nil {
			return
		}
		defer lease.Close()       // stops counting the connection
		serveStream(engine, w, r) // your code: return when the client disconnects
	})
	mux.HandleFunc("GET /rooms/{room}/occupancy", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, engine.Current(r.PathValue("room"))) // {"connections":1,"presenceMembers":0}
	})
	// end: minimal
	return engine, mux
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // fails if the client has disconnected
}

// openStream starts a stream of Server-Sent Events, or responds with an error.
func openStream(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet { // GET patterns also match HEAD requests
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return errors.New("method not allowed")
	}
	if err := occupancy.ValidRoom(r.PathValue("room")); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	return http.NewResponseController(w).Flush()
}

// serveStream sends the room's occupancy whenever it changes, until the client disconnects
// or the server shuts down.
func serveStream(engine *occupancy.Engine, w http.ResponseWriter, r *http.Request) {
	sub, err := engine.Subscribe(r.PathValue("room"))
	if err != nil {
		return
	}
	defer sub.Unsubscribe()
	stream := http.NewResponseController(w)
	for {
		select {
		case <-r.Context().Done():
			return
		case event, open := <-sub.Events():
			if !open {
				return // the engine is closed
			}
			data, err := json.Marshal(event)
			if err != nil {
				return
			}
			_ = stream.SetWriteDeadline(time.Now().Add(10 * time.Second))
			if _, err := fmt.Fprintf(w, "data: %s\n\n", data); err != nil || stream.Flush() != nil {
				return
			}
		}
	}
}
