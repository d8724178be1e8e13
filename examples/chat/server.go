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

// page is what a browser gets: plain files, built by nobody.
var page = func() fs.FS {
	page, err := fs.Sub(files, "page")
	if err != nil {
		panic(err)
	}
	return page
}()

// limits is how patient the server is with its clients.
type limits struct {
	pingEvery time.Duration // between two questions whether a client is there
	pongWait  time.Duration // for its answer
	writeWait time.Duration // for it to take one message
	closeWait time.Duration // for it to answer a goodbye
	stopWait  time.Duration // for HTTP requests under way when the server stops
	outbox    int           // chat messages that may wait for one client
}

var defaults = limits{
	pingEvery: 20 * time.Second,
	pongWait:  10 * time.Second,
	writeWait: 10 * time.Second,
	closeWait: 2 * time.Second,
	stopWait:  3 * time.Second,
	outbox:    64,
}

// server is the chat: the engine that counts, the board that ranks its rooms, the hub
// that hands messages round, and the sessions that are counted and heard.
type server struct {
	limits limits
	engine *occupancy.Engine
	board  *trending.Board
	hub    hub
	member *member // among other chats; nil alone

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
	mux.HandleFunc("GET /cluster", s.member.serveHealth)
	mux.Handle("GET /metrics", metrics(s.engine, s.board))
	mux.Handle("/rooms/", live)
	mux.Handle("/occupancy/", http.StripPrefix("/occupancy", live))
	mux.HandleFunc("GET /ws/{room}", s.serveWebsocket)
	return mux
}

// servePage serves the page's files. Nothing but they runs in it, whatever is said in a
// room.
func servePage() http.Handler {
	files := http.FileServerFS(page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		w.Header().Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	})
}

// serveWebsocket upgrades, and serves the session until it is closed. Only what has
// become a websocket is counted, so the room's name is looked at before and the lease
// taken after. Accept refuses a browser that has its page from another host: anybody's
// page could speak here in its visitor's name otherwise.
func (s *server) serveWebsocket(w http.ResponseWriter, r *http.Request) {
	room := r.PathValue("room")
	sub, err := s.engine.Subscribe(room) // looks at the name, and unlike Get asks no other node
	if err != nil {
		serveError(w, err)
		return
	}
	sub.Unsubscribe()
	if !s.begin() {
		serveError(w, occupancy.ErrClosed)
		return
	}
	defer s.sessions.Done()
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
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

// begin reports whether one more session may begin, and counts it.
func (s *server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.sessions.Add(1)
	}
	return !s.stopped
}

// serve answers on ln until ctx ends, and then stops: no more clients are accepted,
// those that are there get a goodbye, and when the last is gone all is closed.
func (s *server) serve(ctx context.Context, ln net.Listener) error {
	web := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	web.RegisterOnShutdown(func() { // which is when ln is closed
		s.member.bye() // first, so that the other chats hear of one change and not of each who leaves
		s.stop(errAway)
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
		_ = web.Close() // what is still under way has had its time
	}
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	s.sessions.Wait()
	return errors.Join(err, s.close())
}

// close ends what counts. It comes when everybody who was counted in is counted out,
// and other chats are told before the engine forgets what they told it.
func (s *server) close() error {
	err := s.member.leave()
	s.board.Close()
	return errors.Join(err, s.engine.Close())
}
