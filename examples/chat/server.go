package main

import (
	"cmp"
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
	pingPeriod    time.Duration // time between two pings to a client
	pongWait      time.Duration // maximum time to wait for the answer to a ping
	writeWait     time.Duration // maximum time to write a message
	closeWait     time.Duration // maximum time to wait for the answer to a close frame
	shutdownWait  time.Duration // maximum time to wait for HTTP requests when the server stops
	reloadWait    time.Duration // how long a client remains counted whose page was left, and maybe reloaded
	reconnectWait time.Duration // how long a client remains counted whose websocket broke
	outboxSize    int           // number of chat messages buffered for one client
}

var defaultLimits = limits{
	pingPeriod:    20 * time.Second,
	pongWait:      10 * time.Second,
	writeWait:     10 * time.Second,
	closeWait:     2 * time.Second,
	shutdownWait:  3 * time.Second,
	reloadWait:    2 * time.Second,
	reconnectWait: 5 * time.Second,
	outboxSize:    64,
}

// server is the chat server. The engine counts connections, members and users, the board ranks the
// rooms, the history records the counts for the plots, and the hub delivers chat messages to the sessions.
type server struct {
	limits  limits
	engine  *occupancy.Engine
	board   *trending.Board
	history *history
	hub     hub
	node    *clusterNode // nil without a cluster
	crowd   *crowd       // nil without bots

	ctx  context.Context // parent of the contexts of all sessions
	stop context.CancelCauseFunc

	mu       sync.Mutex // protects the following
	stopped  bool
	sessions sync.WaitGroup // no session is added after stopped is true
}

func newServer(l limits) *server {
	ctx, stop := context.WithCancelCause(context.Background())
	engine := occupancy.New(occupancy.WithUsers())
	// A demonstration has few people. Larger services should use the defaults.
	board := trending.New(engine, trending.WithMinimum(1), trending.WithWarmup(0))
	return &server{limits: l, engine: engine, board: board, history: newHistory(engine, board), ctx: ctx, stop: stop}
}

func (s *server) routes() http.Handler {
	// begin: health
	occupancyHandler := occupancyhttp.NewHandler(s.engine, occupancyhttp.WithHealth(s.node.staleReasons), occupancyhttp.WithLists(s.board))
	// end: health
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", newPageHandler())
	mux.Handle("GET /{file}", newPageHandler())
	mux.HandleFunc("GET /status", s.serveStatus)
	mux.Handle("POST /scene", http.NewCrossOriginProtection().Handler(http.HandlerFunc(s.crowd.serveScene)))
	mux.HandleFunc("GET /history", s.history.serve)
	mux.HandleFunc("GET /cluster", s.node.serveHealth)
	mux.HandleFunc("GET /ready", s.node.serveReady)
	mux.Handle("GET /metrics", newMetricsHandler(s.engine, s.board, occupancyHandler, s.node))
	mux.Handle("GET /rooms", occupancyHandler)
	mux.Handle("GET /rooms/", occupancyHandler)
	mux.Handle("GET /occupancy/", http.StripPrefix("/occupancy", occupancyHandler))
	mux.HandleFunc("GET /ws/{room}", s.serveWebsocket)
	mux.HandleFunc("GET /ws", s.serveWebsocket) // with ?room=, because browsers remove the path segments "." and ".."
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
// It checks the room's name and the client ID before the upgrade, because after the upgrade it
// cannot respond with an HTTP status. Accept rejects requests from web pages of other origins: such a page
// could send messages without the user's consent.
func (s *server) serveWebsocket(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	room := cmp.Or(r.PathValue("room"), query.Get("room"))
	if err := occupancy.ValidRoom(room); err != nil {
		serveError(w, err)
		return
	}
	clientID := query.Get("clientId")
	if clientID != "" {
		if err := occupancy.ValidClientID(clientID); err != nil {
			serveError(w, err)
			return
		}
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
	s.serveSession(ws, room, clientID)
}

func serveError(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	switch {
	case errors.Is(err, occupancy.ErrInvalidRoom), errors.Is(err, occupancy.ErrInvalidClientID):
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
	web := &http.Server{
		Handler:           s.routes(),
		ConnContext:       occupancyhttp.ConnContext, // detects that the client of a stream has vanished
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
	}
	web.RegisterOnShutdown(func() { // called after ln is closed
		s.node.leave() // first: then the other chat servers see one change, not one change per client
		s.stop(errStopping)
	})
	var history sync.WaitGroup
	historyCtx, stopHistory := context.WithCancel(ctx)
	history.Go(func() { s.history.run(historyCtx, s.node.connectionsByNode) })
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
	stopHistory()
	history.Wait()
	return errors.Join(err, s.close())
}

// close closes the cluster node, the board and the engine. All sessions must have ended.
func (s *server) close() error {
	err := s.node.close()
	_ = s.board.Close()
	return errors.Join(err, s.engine.Close())
}
