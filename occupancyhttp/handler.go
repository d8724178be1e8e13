package occupancyhttp

import (
	"net/http"
	"net/url"
	"strings"
	"weak"

	"github.com/occupancy/occupancy"
)

// Handler serves the occupancy of an engine. Create it with [NewHandler]. All its methods
// may be called from any goroutine.
type Handler struct {
	config
	engine    *occupancy.Engine
	hub       hub
	queries   queries
	admission admission
	shutdowns shutdowns
}

// NewHandler returns a handler that serves the occupancy of the engine's rooms at the
// paths that the package comment lists. Several servers may use one handler, under any
// prefix. A handler needs no Close. NewHandler panics if the engine is nil or the value
// of an option is negative.
func NewHandler(engine *occupancy.Engine, opts ...Option) *Handler {
	if engine == nil {
		panic("occupancyhttp: NewHandler: nil engine")
	}
	h := &Handler{
		config:    newConfig(opts),
		engine:    engine,
		shutdowns: shutdowns{channels: map[weak.Pointer[http.Server]]chan struct{}{}},
	}
	h.hub = newHub(engine, &h.config)
	h.hub.state.Store(&state{})
	h.queries = newQueries(engine, h.warnings)
	h.admission = newAdmission(&h.config)
	return h
}

// exposedHeaders contains the headers that the browser client reads. Without
// Access-Control-Expose-Headers, scripts of other origins cannot read them.
const exposedHeaders = "Occupancy-Heartbeat, Occupancy-Partial, Retry-After"

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Access-Control-Expose-Headers", exposedHeaders)
	serve := h.route(r.URL.EscapedPath())
	var err error
	switch {
	case serve == nil:
		err = errNotFound
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		err = errMethodNotAllowed
	default:
		err = serve(w, r)
	}
	if err != nil {
		e := toHTTPError(err)
		h.logger.DebugContext(r.Context(), "occupancyhttp: request refused", "path", r.URL.Path, "status", e.status, "code", e.Code, "error", err)
		e.write(w)
	}
}

// isClosed reports whether a channel is closed that is never sent to.
func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// route returns the function that serves a path, or nil. It does not use an
// [http.ServeMux], because a ServeMux redirects to paths without the prefix that
// [http.StripPrefix] removed, and its errors are not JSON.
func (h *Handler) route(path string) func(http.ResponseWriter, *http.Request) error {
	path = strings.TrimPrefix(path, "/")
	switch {
	case path == "":
		return h.serveRooms
	case path == "events", path == "rooms/events" && h.board != nil:
		return h.serveEvents
	case path == "rooms" && h.board != nil:
		return h.serveList
	}
	if room, ok := strings.CutPrefix(path, "rooms/"); ok && !strings.Contains(room, "/") {
		return func(w http.ResponseWriter, r *http.Request) error { return h.serveRoom(w, r, room) }
	}
	return fileServer(path)
}

// serveRoom writes the occupancy of the room in the path.
func (h *Handler) serveRoom(w http.ResponseWriter, r *http.Request, escapedRoom string) error {
	room, err := url.PathUnescape(escapedRoom)
	if err != nil {
		return errBadRoomName
	}
	counts, err := h.read(w, r, &selection{rooms: []string{room}})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, counts[room])
	return nil
}

// serveRooms writes the occupancy of the rooms in the query, and its lists.
func (h *Handler) serveRooms(w http.ResponseWriter, r *http.Request) error {
	s, err := h.parse(r)
	if err != nil {
		return err
	}
	counts, err := h.read(w, r, &s)
	if err != nil {
		return err
	}
	refused := map[string]string{}
	for _, refusal := range s.refused {
		refused[refusal.Room] = refusal.Code
	}
	lists := make([]list, len(s.lists))
	for i, key := range s.lists {
		if lists[i], err = h.list(r, key); err != nil {
			return err
		}
	}
	writeJSON(w, http.StatusOK, struct {
		Rooms   map[string]occupancy.Occupancy `json:"rooms"`
		Refused map[string]string              `json:"refused,omitempty"`
		Lists   []list                         `json:"lists,omitempty"`
	}{counts, refused, lists})
	return nil
}

// read returns the occupancy of the rooms that the request may read, and moves the others to
// s.refused. If the query contains fresh=1, it queries the other nodes of the cluster, and
// sets a header if some did not respond.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, s *selection) (map[string]occupancy.Occupancy, error) {
	if err := h.check(r, s); err != nil {
		return nil, err
	}
	if isClosed(h.engine.Done()) {
		return nil, occupancy.ErrClosed
	}
	counts := make(map[string]occupancy.Occupancy, len(s.rooms))
	if r.URL.Query().Get("fresh") != "1" {
		for _, room := range s.rooms {
			counts[room] = h.engine.Current(room)
		}
		return counts, nil
	}
	partial, err := h.queries.get(r.Context(), s.rooms, counts)
	if partial {
		w.Header().Set("Occupancy-Partial", "true")
	}
	return counts, err
}
