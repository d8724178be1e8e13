package occupancyhttp

import (
	"context"
	"errors"
	"math/bits"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/occupancy/occupancy"
)

// maxRooms is how many rooms one stream carries at most.
const maxRooms = 256

// stream is one client's event stream. It runs in the goroutine that net/http serves the
// request in; feeds only leave marks in it. What is told is looked up when it is written,
// so a stream that is slow holds nothing but marks, and then writes what is newest.
type stream struct {
	seats []seat
	many  bool // frames say which room they mean

	wake chan struct{}                // holds one token once there is a mark or the end
	news [maxRooms / 64]atomic.Uint64 // a bit for each seat that has a frame to be written
	open atomic.Int32                 // seats whose feed has not ended; 0: nothing follows what is marked
}

// mark notes that a seat's feed has news.
func (s *stream) mark(seat int) {
	s.news[seat/64].Or(1 << (seat % 64))
	s.rouse()
}

// end notes that the feed of one seat has ended.
func (s *stream) end() {
	if s.open.Add(-1) == 0 {
		s.rouse()
	}
}

func (s *stream) rouse() {
	select {
	case s.wake <- struct{}{}:
	default: // a token is there still
	}
}

// serveOne streams the events of one room.
func (h *handler) serveOne(w http.ResponseWriter, r *http.Request, escaped string) error {
	exit := h.exits.of(r)
	room, err := h.room(r, escaped)
	if err != nil {
		return err
	}
	return h.serveStream(w, r, []string{room}, false, exit)
}

// serveMany streams the events of the rooms that the query names.
func (h *handler) serveMany(w http.ResponseWriter, r *http.Request, _ string) error {
	exit := h.exits.of(r)
	rooms, err := roomsOf(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if err := h.allowAll(r, rooms); err != nil {
		return err
	}
	return h.serveStream(w, r, rooms, true, exit)
}

// allowAll asks for every room, and names the first that is refused, so that the client
// may do without it. Not so if it is for who asks, and no room is open to them: signing in
// is what helps then.
func (h *handler) allowAll(r *http.Request, rooms []string) error {
	var refused error
	var which string
	allowed := 0
	for _, room := range rooms {
		if err := h.allow(r, room); err == nil {
			allowed++
		} else if refused == nil {
			refused, which = err, room
		}
	}
	if refused == nil || allowed == 0 && errors.Is(refused, errUnauthorized) {
		return refused
	}
	return failureOf(refused).of(which)
}

// roomsOf are the rooms that a query names, each once.
func roomsOf(query string) ([]string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, errQuery
	}
	var rooms []string
	seen := map[string]struct{}{}
	for _, room := range values["room"] {
		if _, again := seen[room]; again {
			continue
		}
		switch {
		case !validName(room):
			return nil, errRoomName.of(room)
		case len(rooms) == maxRooms:
			return nil, errManyRooms
		}
		seen[room] = struct{}{}
		rooms = append(rooms, room)
	}
	if rooms == nil {
		return nil, errNoRoom
	}
	return rooms, nil
}

// serveStream streams rooms that the request may see. An error comes before the answer
// has begun.
func (h *handler) serveStream(w http.ResponseWriter, r *http.Request, rooms []string, many bool, exit <-chan struct{}) error {
	if r.Method == http.MethodHead {
		h.begin(w)
		return nil
	}
	if n := h.streams.Add(1); h.maxStreams > 0 && n > int64(h.maxStreams) {
		h.streams.Add(-1) // before a log that may be slow: it takes no place
		h.logger.WarnContext(r.Context(), "occupancy: too many streams", "limit", h.maxStreams)
		return errManyStreams
	}
	defer h.streams.Add(-1)

	s := &stream{seats: make([]seat, len(rooms)), many: many, wake: make(chan struct{}, 1)}
	s.open.Store(int32(len(rooms)))
	defer func() {
		for i := range s.seats {
			h.hub.leave(&s.seats[i])
		}
	}()
	for i, room := range rooms {
		s.seats[i].stream, s.seats[i].number = s, i
		if err := h.hub.join(room, &s.seats[i]); errors.Is(err, occupancy.ErrTooManyRooms) && many {
			return errRoomLimit.of(room)
		} else if err != nil {
			return err
		}
	}

	out := &writer{w: w, rc: http.NewResponseController(w), lingers: r.ProtoMajor > 1}
	h.begin(w)
	err := out.open()
	if errors.Is(err, http.ErrNotSupported) {
		return errNoStreaming // nothing went out yet
	}
	if err == nil {
		err = s.run(r.Context(), out, h.heartbeat, exit)
	}
	if err != nil {
		h.logger.DebugContext(r.Context(), "occupancy: stream cut", "remote", r.RemoteAddr, "error", err)
	}
	return nil
}

// begin sets the headers of a stream.
func (h *handler) begin(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Content-Type-Options", "nosniff")
	if h.heartbeat > 0 {
		header.Set("Occupancy-Heartbeat", strconv.FormatFloat(h.heartbeat.Seconds(), 'f', -1, 64))
	}
}

// run writes what is marked until the stream ends. The error is that of a write.
func (s *stream) run(ctx context.Context, out *writer, heartbeat time.Duration, exit <-chan struct{}) error {
	defer out.leave()
	var beat *time.Timer
	var beats <-chan time.Time
	if heartbeat > 0 {
		beat = time.NewTimer(heartbeat)
		defer beat.Stop()
		beats = beat.C
	}
	for {
		select {
		case <-s.wake:
			ended := s.open.Load() == 0 // asked first, so that what was marked before is written
			if err := s.write(out); err != nil || ended {
				return err
			}
		case <-beats:
			if err := out.write(comment); err != nil {
				return err
			}
			if err := out.flush(); err != nil {
				return err
			}
		case <-exit:
			return nil
		case <-ctx.Done():
			return nil
		}
		if beat != nil {
			beat.Reset(heartbeat)
		}
	}
}

var comment = []byte(":\n\n")

// write writes the newest frame of every seat that is marked.
func (s *stream) write(out *writer) error {
	wrote := false
	for i := range s.news[:(len(s.seats)+63)/64] {
		for marked := s.news[i].Swap(0); marked != 0; marked &= marked - 1 {
			seat := &s.seats[i*64+bits.TrailingZeros64(marked)]
			newest := seat.feed.newest.Load()
			if newest == seat.told {
				continue // a mark came between the last swap and the look
			}
			seat.told = newest
			frame := newest.one
			if s.many {
				frame = newest.many
			}
			if err := out.write(frame); err != nil {
				return err
			}
			wrote = true
		}
	}
	if !wrote {
		return nil
	}
	return out.flush()
}
