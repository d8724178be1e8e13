package occupancyhttp

import (
	"net/http"
	"strconv"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

const (
	defaultLimit = 10
	maxLimit     = 100
)

// WithLists serves the lists of the board at the paths /rooms and /rooms/events. The board
// must be of the same engine. By default, and with a nil board, there are no lists, because a
// list reveals the names of rooms.
//
// The handler calls the function of [WithAuthorize] for the rooms of each list, and again
// for each change that a stream sends. It leaves out the rooms that the request may not
// read, so a list can be shorter than its limit. [Handler.Revoke] and [WithReauthorize] do
// not change lists. To list other rooms instead of those that nobody may see, use
// [trending.WithFilter].
func WithLists(board *trending.Board) Option { return func(c *config) { c.lists = board } }

// parseList returns the order and the limit in the query of a list.
func parseList(r *http.Request) (by trending.Order, limit int, err error) {
	query := r.URL.Query()
	if name := query.Get("by"); name != "" {
		if by, err = trending.ParseOrder(name); err != nil {
			return 0, 0, errBadOrder
		}
	}
	limit = defaultLimit
	if text := query.Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxLimit {
			return 0, 0, errBadLimit
		}
	}
	return by, limit, nil
}

// totals are the totals of a list's JSON.
type totals struct {
	Rooms int `json:"rooms"`
	occupancy.Occupancy
}

func (h *Handler) totals() totals {
	s := h.engine.Stats()
	return totals{s.Rooms, s.Total}
}

// readable returns the rooms that the request may read.
func (h *Handler) readable(r *http.Request, rooms []trending.Room) []trending.Room {
	names := make([]string, len(rooms))
	for i, room := range rooms {
		names[i] = room.Name
	}
	allowed := make([]trending.Room, 0, len(rooms))
	for i, err := range h.accessErrors(r, names) {
		if err == nil {
			allowed = append(allowed, rooms[i])
		}
	}
	return allowed
}

// serveList writes a list.
func (h *Handler) serveList(w http.ResponseWriter, r *http.Request) error {
	by, limit, err := parseList(r)
	if err != nil {
		return err
	}
	select {
	case <-h.engine.Done():
		return occupancy.ErrClosed
	default:
	}
	writeJSON(w, http.StatusOK, struct {
		Rooms []trending.Room `json:"rooms"`
		Total totals          `json:"total"`
	}{h.readable(r, h.lists.Top(by, limit)), h.totals()})
	return nil
}

// serveListEvents serves a stream of the changes of a list.
func (h *Handler) serveListEvents(w http.ResponseWriter, r *http.Request) error {
	return h.stream(w, r, h.serveListStream)
}

// serveListStream returns an error only if it has written nothing yet.
func (h *Handler) serveListStream(w http.ResponseWriter, r *http.Request) error {
	shutdown := h.shutdowns.channel(r)
	by, limit, err := parseList(r)
	if err != nil {
		return err
	}
	out, err := newWriter(w, r)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		h.setStreamHeaders(w)
		return nil
	}
	release, err := h.admission.admit(r)
	if err != nil {
		return err
	}
	defer release()
	subscription := h.lists.Subscribe(by, limit)
	defer subscription.Unsubscribe()
	h.setStreamHeaders(w)
	s := &listStream{h: h, request: r, out: out}
	h.noteEnd(r, out, s.run(subscription.Rooms(), shutdown))
	return nil
}

// listStream is the stream of a list. It runs in the goroutine of its HTTP request.
type listStream struct {
	h       *Handler
	request *http.Request
	out     *writer
	sent    []trending.Room // what the client has
}

func (s *listStream) run(lists <-chan []trending.Room, shutdown <-chan struct{}) error {
	defer func() { _ = s.out.setDeadline() }() // for the bytes that net/http writes after the handler has returned
	s.out.w.WriteHeader(http.StatusOK)
	if err := s.out.write(newStart(2 * time.Second)); err != nil {
		return err
	}
	heartbeat := s.h.heartbeat
	if heartbeat == 0 {
		heartbeat = never
	}
	heartbeats := time.NewTicker(heartbeat)
	defer heartbeats.Stop()
	lifetime := after(s.h.lifetimeOf(s.request))
	for {
		var err error
		select {
		case rooms, ok := <-lists:
			if !ok {
				return nil
			}
			err = s.out.write(s.difference(s.h.readable(s.request, rooms)))
		case <-heartbeats.C:
			err = s.out.write(comment)
		case <-lifetime:
			return nil
		case <-shutdown:
			return nil
		case <-s.request.Context().Done():
			return nil
		}
		if err == nil {
			err = s.out.flush()
		}
		if err != nil {
			return err
		}
	}
}

// placed is a room of a list and its place, from 0.
type placed struct {
	Place int `json:"place"`
	trending.Room
}

// difference returns the event that turns the list of the client into rooms.
func (s *listStream) difference(rooms []trending.Room) frame {
	changed := []placed{}
	for i, room := range rooms {
		if i >= len(s.sent) || s.sent[i].Name != room.Name || s.sent[i].Occupancy != room.Occupancy {
			changed = append(changed, placed{i, room})
		}
	}
	s.sent = rooms
	return newFrame("occupancy.list", timeLine(), struct {
		Length  int      `json:"length"`
		Changed []placed `json:"changed"`
		Total   totals   `json:"total"`
	}{len(rooms), changed, s.h.totals()})
}
