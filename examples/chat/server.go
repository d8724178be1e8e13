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

// page contains the files of the page. They are served as they are; there is no build step.
var page = func() fs.FS {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err)
	}
	return page
}()

// limits contains the timeouts and buffer sizes of the server.
type limits struct {
	pingEvery time.Duration // interval between two pings of a client
	pongWait  time.Duration // for the answer to a ping
	writeWait time.Duration // for a client to accept one message
	closeWait time.Duration // for a client to answer a close frame
	stopWait  time.Duration // for running HTTP requests when the server stops
	outbox    int           // chat messages that are buffered for one client
}

var defaultLimits = limits{
	pingEvery: 20 * time.Second,
	pongWait:  10 * time.Second,
	writeWait: 10 * time.Second,
	closeWait: 2 * time.Second,
	stopWait:  3 * time.Second,
	outbox:    64,
}

// server is the chat: the engine counts, the board ranks the rooms, and the hub delivers
// messages to the sessions.
type server struct {
	limits limits
	engine *occupancy.Engine
	board  *trending.Board
	hub    hub
	node   *clusterNode // nil without a cluster

	ctx  context.Context // of all sessions
	stop context.CancelCauseFunc

	mu       sync.Mutex // protects the following
	stopped  bool
	sessions sync.WaitGroup // Add only while not stopped
}

func newServer(l limits) *server {
	ctx, stop := context.WithCancelCause(context.Background())
	engine := occupancy.New()
	return &server{limits: l, engine: engine, board: trending.New(engine), ctx: ctx, stop: stop}
}

func (s *server) routes() http.Handler {
	live := occupancyhttp.NewHandler(s.engine)
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", servePage())
	mux.Handle("GET /{file}", servePage())
	mux.HandleFunc("GET /rooms", s.serveRooms)
	mux.HandleFunc("GET /cluster", s.node.serveHealth)
	mux.Handle("GET /metrics", metrics(s.engine, s.board))
	mux.Handle("GET /rooms/", live)
	mux.Handle("GET /occupancy/", http.StripPrefix("/occupancy", live))
	mux.HandleFunc("GET /ws/{room}", s.serveWebsocket)
	return mux
}

// servePage serves the files of the page. The policy forbids all other scripts, so a chat
// message cannot inject one.
func servePage() http.Handler {
	files := http.FileServerFS(page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		w.Header().Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	})
}

// serveWebsocket upgrades the request and returns when the session has ended. The
// connection is counted after the upgrade, so the room's name is checked before it. Accept
// rejects browsers with a page of another origin, which could otherwise post messages
// on behalf of their users.
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
	s.session(ws, room)
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

// addSession registers a session that serve waits for. It returns false if the server has
// stopped.
func (s *server) addSession() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.sessions.Add(1)
	}
	return !s.stopped
}

// serve serves on ln until ctx is done. Then it accepts no more clients, closes all
// websockets, waits for their sessions, and closes the engine.
func (s *server) serve(ctx context.Context, ln net.Listener) error {
	web := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	web.RegisterOnShutdown(func() { // after ln is closed
		s.node.leave() // first, so that the other chats receive one change and not one for each client
		s.stop(errStopping)
	})
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(ln) }()

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	wait, cancel := context.WithTimeout(context.Background(), s.limits.stopWait)
	defer cancel()
	if web.Shutdown(wait) != nil {
		_ = web.Close() // requests are still running
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
