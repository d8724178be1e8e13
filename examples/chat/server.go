package main

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
	"github.com/occupancy/occupancy/trending"
)

//go:embed page
var files embed.FS

// page contains the files of the web page. The page needs no build step.
var page = func() fs.FS {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err)
	}
	return page
}()

// limits contains the timeouts and buffer sizes of the server.
type limits struct {
	pingPeriod   time.Duration // time between two pings to a client
	pongWait     time.Duration // maximum time to wait for the answer to a ping
	writeWait    time.Duration // maximum time to write a message
	closeWait    time.Duration // maximum time to wait for the answer to a close frame
	shutdownWait time.Duration // maximum time to wait for HTTP requests when the server stops
	outboxSize   int           // number of chat messages buffered for one client
}

var defaultLimits = limits{
	pingPeriod:   20 * time.Second,
	pongWait:     10 * time.Second,
	writeWait:    10 * time.Second,
	closeWait:    2 * time.Second,
	shutdownWait: 3 * time.Second,
	outboxSize:   64,
}

// server is the chat server. The engine counts connections and members, the board ranks the
// rooms, and the hub delivers chat messages to the sessions.
type server struct {
	limits limits
	engine *occupancy.Engine
	board  *trending.Board
	hub    hub
	node   *clusterNode // nil without a cluster

	ctx  context.Context // parent of the contexts of all sessions
	stop context.CancelCauseFunc

	mu       sync.Mutex // protects the following
	stopped  bool
	sessions sync.WaitGroup // no session is added after stopped is true
}

func newServer(l limits) *server {
	ctx, stop := context.WithCancelCause(context.Background())
	engine := occupancy.New()
	return &server{limits: l, engine: engine, board: trending.New(engine), ctx: ctx, stop: stop}
}

func (s *server) routes() http.Handler {
	occupancyHandler := occupancyhttp.NewHandler(s.engine)
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", newPageHandler())
	mux.Handle("GET /{file}", newPageHandler())
	mux.HandleFunc("GET /rooms", s.serveRooms)
	mux.HandleFunc("GET /cluster", s.node.serveHealth)
	mux.HandleFunc("GET /ready", s.node.serveReady)
	mux.Handle("GET /metrics", newMetricsHandler(s.engine, s.board, s.node))
	mux.Handle("GET /rooms/", occupancyHandler)
	mux.Handle("GET /occupancy/", http.StripPrefix("/occupancy", occupancyHandler))
	mux.HandleFunc("GET /ws/{room}", s.serveWebsocket)
	return mux
}

// newPageHandler returns the handler of the page's files. The Content-Security-Policy forbids
// all other scripts, so a chat message cannot inject a script.
func newPageHandler() http.Handler {
	files := http.FileServerFS(page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		w.Header().Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	})
}

// serveWebsocket upgrades the request to a websocket and returns when the session has ended.
// It checks the room's name before the upgrade, because after the upgrade it cannot respond
// with an HTTP status. Accept rejects requests from web pages of other origins: such a page
// could send messages without the user's consent.
func (s *server) serveWebsocket(w http.ResponseWriter, r *http.Request) {
	room := r.PathValue("room")
	if err := occupancy.ValidRoom(room); err != nil {
		serveError(w, err)
		return
	}
	if !s.addSession() {
		serveError(w, occupancy.ErrClosed)
		return
	}
	defer s.sessions.Done()
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has written the response
	}
	s.serveSession(ws, room)
}

func serveError(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	switch {
	case errors.Is(err, occupancy.ErrInvalidRoom):
		code = http.StatusBadRequest
	case errors.Is(err, occupancy.ErrClosed):
		code = http.StatusServiceUnavailable
	}
	serveJSON(w, code, marshal(map[string]string{"error": err.Error()}))
}

func serveJSON(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n'))
}

// addSession adds a session to s.sessions. It returns false if the server has stopped.
func (s *server) addSession() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.sessions.Add(1)
	}
	return !s.stopped
}

// serve serves clients on ln until ctx is done. Then it closes ln and all websockets, waits
// until all sessions have ended, and closes the engine.
func (s *server) serve(ctx context.Context, ln net.Listener) error {
	web := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	web.RegisterOnShutdown(func() { // called after ln is closed
		s.node.leave() // first: then the other chat servers see one change, not one change per client
		s.stop(errStopping)
	})
	serveErr := make(chan error, 1)
	go func() { serveErr <- web.Serve(ln) }()

	var err error
	select {
	case <-ctx.Done():
	case err = <-serveErr:
	}
	shutdownCtx, cancel := context.WithTimeout(context.Background(), s.limits.shutdownWait)
	defer cancel()
	if web.Shutdown(shutdownCtx) != nil {
		_ = web.Close() // some requests have not ended
	}
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.sessions.Wait()
	return errors.Join(err, s.close())
}

// close closes the cluster node, the board and the engine. All sessions must have ended.
func (s *server) close() error {
	err := s.node.close()
	_ = s.board.Close()
	return errors.Join(err, s.engine.Close())
}
