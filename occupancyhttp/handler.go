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
	h.hub = newHub(engine, h.health)
	h.queries = newQueries(engine, h.logger)
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

// route returns the function that serves a path, or nil. It does not use an
// [http.ServeMux], because a ServeMux redirects to paths without the prefix that
// [http.StripPrefix] removed, and its errors are not JSON.
func (h *Handler) route(path string) func(http.ResponseWriter, *http.Request) error {
	path = strings.TrimPrefix(path, "/")
	if asset, ok := assets[path]; ok {
		return asset.serve
	}
	switch path {
	case "":
		return h.serveRooms
	case "events":
		return h.serveEvents
	}
	if h.lists != nil {
		switch path {
		case "rooms":
			return h.serveList
		case "rooms/events":
			return h.serveListEvents
		}
	}
	if room, ok := strings.CutPrefix(path, "rooms/"); ok && !strings.Contains(room, "/") {
		return func(w http.ResponseWriter, r *http.Request) error { return h.serveRoom(w, r, room) }
	}
	return nil
}

// serveRoom writes the occupancy of the room in the path.
func (h *Handler) serveRoom(w http.ResponseWriter, r *http.Request, escapedRoom string) error {
	room, err := url.PathUnescape(escapedRoom)
	if err != nil {
		return errBadRoomName
	}
	rooms, _, err := h.check(r, []string{room})
	if err != nil {
		return err
	}
	counts, err := h.read(w, r, rooms)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, counts[room])
	return nil
}

// serveRooms writes the occupancy of the rooms in the query.
func (h *Handler) serveRooms(w http.ResponseWriter, r *http.Request) error {
	names, err := parseRooms(r.URL.RawQuery)
	if err != nil {
		return err
	}
	rooms, refusals, err := h.check(r, names)
	if err != nil {
		return err
	}
	counts, err := h.read(w, r, rooms)
	if err != nil {
		return err
	}
	refused := map[string]string{}
	for _, refusal := range refusals {
		refused[refusal.Room] = refusal.Code
	}
	writeJSON(w, http.StatusOK, struct {
		Rooms   map[string]occupancy.Occupancy `json:"rooms"`
		Refused map[string]string              `json:"refused,omitempty"`
	}{counts, refused})
	return nil
}

// read returns the occupancy of the rooms. If the query contains fresh=1, it queries the
// other nodes of the cluster, and sets a header if some did not respond.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, rooms []string) (map[string]occupancy.Occupancy, error) {
	select {
	case <-h.engine.Done():
		return nil, occupancy.ErrClosed
	default:
	}
	counts := make(map[string]occupancy.Occupancy, len(rooms))
	if r.URL.Query().Get("fresh") != "1" {
		for _, room := range rooms {
			counts[room] = h.engine.Current(room)
		}
		return counts, nil
	}
	partial, err := h.queries.get(r.Context(), rooms, counts)
	if err != nil {
		return nil, err
	}
	if partial {
		w.Header().Set("Occupancy-Partial", "true")
	}
	return counts, nil
}

// maxRooms is the maximum number of rooms of one request.
const maxRooms = 256

// parseRooms returns the names of the rooms in a query, without duplicates.
func parseRooms(query string) ([]string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, errBadQuery
	}
	var rooms []string
	seen := map[string]struct{}{}
	for _, room := range values["room"] {
		if _, duplicate := seen[room]; duplicate {
			continue
		}
		if len(rooms) == maxRooms {
			return nil, errTooManyRooms
		}
		seen[room] = struct{}{}
		rooms = append(rooms, room)
	}
	if rooms == nil {
		return nil, errNoRoom
	}
	return rooms, nil
}
