package occupancyhttp

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

// WithLists serves lists of the board's rooms: the popular and the trending rooms. The board
// must be of the same engine. By default, and with a nil board, there are no lists, because a
// list reveals the names of rooms.
//
// The handler calls the function of [WithAuthorize] for the rooms of each list, and again
// for each change of a list that a stream sends. It leaves out the rooms that the request
// may not read, so a list can be shorter than its limit. To list other rooms instead of
// those that nobody may see, use [trending.WithFilter].
func WithLists(board *trending.Board) Option { return func(c *config) { c.board = board } }

// readable returns the rooms that the request may read. The error is errUnavailable.
func (h *Handler) readable(r *http.Request, rooms []trending.Room) ([]trending.Room, error) {
	names := make([]string, len(rooms))
	for i, room := range rooms {
		names[i] = room.Name
	}
	denials, err := h.accessErrors(r, names)
	allowed := make([]trending.Room, 0, len(rooms))
	for i, denial := range denials {
		if denial == nil {
			allowed = append(allowed, rooms[i])
		}
	}
	return allowed, err
}

// list is a list in JSON.
type list struct {
	By    string          `json:"by"`
	Limit int             `json:"limit"`
	Rooms []trending.Room `json:"rooms"`
	Total totals          `json:"total"`
}

// list returns the rooms of a list that the request may read.
func (h *Handler) list(r *http.Request, key listKey) (list, error) {
	if isClosed(h.engine.Done()) {
		return list{}, occupancy.ErrClosed
	}
	rooms, err := h.readable(r, h.board.Top(key.by, key.limit))
	return list{key.by.String(), key.limit, rooms, newTotals(h.engine)}, err
}

// serveList writes the first list in the query.
func (h *Handler) serveList(w http.ResponseWriter, r *http.Request) error {
	selected, err := h.parse(r)
	switch {
	case err != nil:
		return err
	case len(selected.lists) == 0:
		return errNoRoom
	}
	list, err := h.list(r, selected.lists[0])
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// streamList is a list of a stream.
type streamList struct {
	listKey
	newest atomic.Pointer[[]trending.Room] // as the board has published it

	// used by the stream's goroutine only:
	last  *[]trending.Room // the newest list when the client's list was last updated
	rooms []trending.Room  // the list of the client
	total totals           // the totals of the client
	state *state           // the state of the hub when the client's totals were last updated
}

// follow subscribes to a list of the board, and returns its first frame. The caller must
// call unsubscribe when the stream has ended.
func (s *stream) follow(l *streamList, key listKey) (first frame, unsubscribe func(), err error) {
	l.listKey = key
	subscription := s.h.board.Subscribe(key.by, key.limit)
	lists := subscription.Rooms()
	newest := <-lists
	l.newest.Store(&newest)
	go func() {
		for newest := range lists {
			l.newest.Store(&newest)
			s.notify()
		}
		s.endSource()
	}()
	first, err = s.change(l, true)
	return first, subscription.Unsubscribe, err
}

// writeLists writes the lists that have changed. If access cannot be checked now, it tries
// again after some seconds, and does nothing until then.
func (s *stream) writeLists() {
	if time.Now().Before(s.retryAt) {
		return
	}
	recheck := s.recheck.Swap(false)
	for i := range s.lists {
		change, err := s.change(&s.lists[i], recheck)
		if err != nil {
			s.recheck.Store(true)
			s.retryAt = time.Now().Add(retryAfter * time.Second)
			time.AfterFunc(retryAfter*time.Second, s.notify)
			return
		}
		if change != nil {
			s.out.write(change)
		}
	}
}

// placed is a room of a list and its place, from 0.
type placed struct {
	Place int `json:"place"`
	trending.Room
}

// change returns the frame that updates the list of the client, or nil if nothing has
// changed. The error is errUnavailable.
func (s *stream) change(l *streamList, recheck bool) (frame, error) {
	newest, state := l.newest.Load(), s.h.hub.state.Load()
	isFirst, rooms := l.last == nil, l.rooms
	switch {
	case newest != l.last || recheck:
		var err error
		if rooms, err = s.h.readable(s.request, *newest); err != nil {
			return nil, err
		}
	case state == l.state:
		return nil, nil
	}
	changed := []placed{}
	for i, room := range rooms {
		if i >= len(l.rooms) || l.rooms[i].Name != room.Name || l.rooms[i].Occupancy != room.Occupancy {
			changed = append(changed, placed{i, room})
		}
	}
	total := newTotals(s.h.engine)
	isSame := !isFirst && len(changed) == 0 && len(rooms) == len(l.rooms) && total == l.total
	l.last, l.rooms, l.total, l.state = newest, rooms, total, state
	if isSame {
		return nil, nil
	}
	return newFrame("occupancy.list", timeLine(), struct {
		By      string   `json:"by"`
		Limit   int      `json:"limit"`
		Length  int      `json:"length"`
		Changed []placed `json:"changed"`
		Total   totals   `json:"total"`
	}{l.by.String(), l.limit, len(rooms), changed, total}), nil
}
