package occupancyhttp

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"weak"

	"github.com/occupancy/occupancy"
)

// handler serves an engine's occupancy.
type handler struct {
	config
	engine  *occupancy.Engine
	hub     hub
	exits   exits
	streams atomic.Int64 // open now
}

// NewHandler makes a handler of the engine's rooms; the package comment says what it
// answers. It may serve any number of servers, under any prefix, and needs no closing. It
// panics on an option no program can mean (a negative number), as [occupancy.New] does.
func NewHandler(engine *occupancy.Engine, opts ...Option) http.Handler {
	if engine == nil {
		panic("occupancyhttp: no engine")
	}
	return &handler{
		config: newConfig(opts),
		engine: engine,
		hub:    hub{engine: engine, feeds: map[string]*feed{}},
		exits:  exits{exits: map[weak.Pointer[http.Server]]chan struct{}{}},
	}
}

// ServeHTTP answers a request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	serve, name := h.route(r.URL.EscapedPath())
	var err error
	switch {
	case serve == nil:
		err = errNotFound
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		err = errMethod
	default:
		err = serve(w, r, name)
	}
	if err != nil {
		f := failureOf(err)
		h.logger.DebugContext(r.Context(), "occupancy: refused", "path", r.URL.Path, "status", f.status, "code", f.Code, "error", err)
		f.write(w)
	}
}

// route finds what serves a path, and the escaped part of it that it is to serve. An
// [http.ServeMux] would do but for its redirects, which forget a stripped prefix, and its
// errors, which are not JSON.
func (h *handler) route(path string) (serve func(http.ResponseWriter, *http.Request, string) error, name string) {
	path = strings.TrimPrefix(path, "/")
	if asset, ok := assets[path]; ok {
		return asset.serve, ""
	}
	if path == "occupancy/events" {
		return h.serveMany, ""
	}
	if rest, ok := strings.CutPrefix(path, "rooms/"); ok {
		name, what, _ := strings.Cut(rest, "/")
		switch what {
		case "occupancy":
			return h.serveOccupancy, name
		case "occupancy/events":
			return h.serveOne, name
		}
	}
	return nil, ""
}

// getTimeout bounds how long the nodes of a cluster are asked; what came until then is
// the answer.
const getTimeout = 5 * time.Second

// serveOccupancy answers with the occupancy of one room.
func (h *handler) serveOccupancy(w http.ResponseWriter, r *http.Request, escaped string) error {
	room, err := h.room(r, escaped)
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
	case errors.Is(err, occupancy.ErrClosed), errors.Is(err, occupancy.ErrInvalidRoom):
		return err
	case err != nil:
		h.logger.WarnContext(r.Context(), "occupancy: a part is missing", "room", room, "error", err)
		w.Header().Set("Occupancy-Partial", "true")
	}
	writeJSON(w, http.StatusOK, o)
	return nil
}

// room is the room that a path names, if the request may see it.
func (h *handler) room(r *http.Request, escaped string) (string, error) {
	room, err := url.PathUnescape(escaped)
	if err != nil || !validName(room) {
		return "", errRoomName
	}
	return room, h.allow(r, room)
}

// allow asks whether the request may see the room.
func (h *handler) allow(r *http.Request, room string) error {
	if h.authorize == nil {
		return nil
	}
	err := h.authorize(r, room)
	if err == nil {
		return nil
	}
	h.logger.DebugContext(r.Context(), "occupancy: not authorised", "room", room, "error", err)
	if errors.Is(err, ErrUnauthorized) {
		return errUnauthorized
	}
	return errForbidden
}

// validName is the engine's own rule, for the rooms that it is not to be asked for yet.
func validName(room string) bool {
	return 0 < len(room) && len(room) <= 1024 && utf8.ValidString(room)
}
