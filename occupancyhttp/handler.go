package occupancyhttp

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"weak"

	"github.com/occupancy/occupancy"
)

// handler serves the occupancy of an engine.
type handler struct {
	config
	engine      *occupancy.Engine
	hub         hub
	shutdowns   shutdowns
	openStreams atomic.Int64
}

// NewHandler returns a handler that serves the occupancy of the engine's rooms at the
// paths that the package comment lists. Several servers may use one handler, under any
// prefix. A handler needs no Close. NewHandler panics if the engine is nil or the value
// of an option is negative.
func NewHandler(engine *occupancy.Engine, opts ...Option) http.Handler {
	if engine == nil {
		panic("occupancyhttp: NewHandler: nil engine")
	}
	return &handler{
		config:    newConfig(opts),
		engine:    engine,
		hub:       hub{engine: engine, feeds: map[string]*feed{}},
		shutdowns: shutdowns{channels: map[weak.Pointer[http.Server]]chan struct{}{}},
	}
}

// ServeHTTP answers a request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serve, escapedRoom := h.route(r.URL.EscapedPath())
	var err error
	switch {
	case serve == nil:
		err = errNotFound
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		err = errMethodNotAllowed
	default:
		err = serve(w, r, escapedRoom)
	}
	if err != nil {
		e := toHTTPError(err)
		h.logger.DebugContext(r.Context(), "occupancyhttp: request refused", "path", r.URL.Path, "status", e.status, "code", e.Code, "error", err)
		e.write(w)
	}
}

// route returns the function that serves a path, and the escaped name of the room in the
// path, if there is one. It does not use an [http.ServeMux], because a ServeMux redirects
// to paths without the prefix that [http.StripPrefix] removed, and its errors are not JSON.
func (h *handler) route(path string) (serve func(http.ResponseWriter, *http.Request, string) error, escapedRoom string) {
	path = strings.TrimPrefix(path, "/")
	if asset, ok := assets[path]; ok {
		return asset.serve, ""
	}
	if path == "occupancy/events" {
		return h.serveStreamOfRooms, ""
	}
	if path, ok := strings.CutPrefix(path, "rooms/"); ok {
		room, resource, _ := strings.Cut(path, "/")
		switch resource {
		case "occupancy":
			return h.serveOccupancy, room
		case "occupancy/events":
			return h.serveStreamOfRoom, room
		}
	}
	return nil, ""
}

// getTimeout limits how long a request waits for the other nodes of a cluster. After this
// time the response contains the counts received so far.
const getTimeout = 5 * time.Second

// serveOccupancy writes the occupancy of one room.
func (h *handler) serveOccupancy(w http.ResponseWriter, r *http.Request, escapedRoom string) error {
	room, err := h.authorizedRoom(r, escapedRoom)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), getTimeout)
	defer cancel()
	if ctx.Err() != nil {
		return errTimeout
	}
	o, err := h.engine.Get(ctx, room)
	switch {
	case errors.Is(err, occupancy.ErrClosed):
		return err
	case err != nil:
		h.logger.WarnContext(r.Context(), "occupancyhttp: partial response: some nodes did not respond", "room", room, "error", err)
		w.Header().Set("Occupancy-Partial", "true")
	}
	writeJSON(w, http.StatusOK, o)
	return nil
}
