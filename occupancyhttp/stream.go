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

// maxRooms is the maximum number of rooms of one stream.
const maxRooms = 256

// stream is the event stream of one client. It runs in the goroutine of its HTTP request.
// A feed only sets a pending bit in the stream. The stream then writes the newest frame of
// the feed, so a slow stream buffers no frames and skips outdated frames.
type stream struct {
	slots    []slot
	withRoom bool // whether the events contain the name of their room

	wake      chan struct{}                // has a buffer of 1; receives a value when a pending bit is set or the last feed has ended
	pending   [maxRooms / 64]atomic.Uint64 // one bit for each slot that has a frame to write
	liveFeeds atomic.Int32                 // number of slots whose feed has not ended
}

// markPending records that the slot with this index has a new frame, and wakes the stream.
func (s *stream) markPending(index int) {
	s.pending[index/64].Or(1 << (index % 64))
	s.notify()
}

// feedEnded records that the feed of one slot has ended. It wakes the stream when all its
// feeds have ended.
func (s *stream) feedEnded() {
	if s.liveFeeds.Add(-1) == 0 {
		s.notify()
	}
}

// notify wakes the stream's goroutine.
func (s *stream) notify() {
	select {
	case s.wake <- struct{}{}:
	default: // a notification is already waiting
	}
}

// serveStreamOfRoom serves a stream of the room in the path.
func (h *handler) serveStreamOfRoom(w http.ResponseWriter, r *http.Request, escapedRoom string) error {
	shutdown := h.shutdowns.channel(r)
	room, err := h.authorizedRoom(r, escapedRoom)
	if err != nil {
		return err
	}
	return h.serveStream(w, r, []string{room}, false, shutdown)
}

// serveStreamOfRooms serves a stream of the rooms in the query.
func (h *handler) serveStreamOfRooms(w http.ResponseWriter, r *http.Request, _ string) error {
	shutdown := h.shutdowns.channel(r)
	rooms, err := parseRooms(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if err := h.checkAccessToAll(r, rooms); err != nil {
		return err
	}
	return h.serveStream(w, r, rooms, true, shutdown)
}

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
		switch {
		case occupancy.ValidRoom(room) != nil:
			return nil, errBadRoomName.withRoom(room)
		case len(rooms) == maxRooms:
			return nil, errTooManyRoomsInStream
		}
		seen[room] = struct{}{}
		rooms = append(rooms, room)
	}
	if rooms == nil {
		return nil, errNoRoom
	}
	return rooms, nil
}

// serveStream serves a stream of rooms that the request may read. It returns an error only
// if it has written nothing yet.
func (h *handler) serveStream(w http.ResponseWriter, r *http.Request, rooms []string, withRoom bool, shutdown <-chan struct{}) error {
	if r.Method == http.MethodHead {
		h.setStreamHeaders(w)
		return nil
	}
	if n := h.openStreams.Add(1); h.maxStreams > 0 && n > int64(h.maxStreams) {
		h.openStreams.Add(-1) // before logging, because logging may block
		h.logger.WarnContext(r.Context(), "occupancyhttp: stream limit reached", "limit", h.maxStreams)
		return errStreamLimit
	}
	defer h.openStreams.Add(-1)

	s := &stream{slots: make([]slot, len(rooms)), withRoom: withRoom, wake: make(chan struct{}, 1)}
	s.liveFeeds.Store(int32(len(rooms)))
	defer func() {
		for i := range s.slots {
			h.hub.detach(&s.slots[i])
		}
	}()
	for i, room := range rooms {
		s.slots[i].stream, s.slots[i].index = s, i
		if err := h.hub.attach(room, &s.slots[i]); errors.Is(err, occupancy.ErrTooManyRooms) && withRoom {
			return errRoomLimit.withRoom(room)
		} else if err != nil {
			return err
		}
	}

	out := &writer{w: w, rc: http.NewResponseController(w), http2: r.ProtoMajor > 1}
	h.setStreamHeaders(w)
	err := out.writeHeader()
	if errors.Is(err, http.ErrNotSupported) {
		return errNoStreaming
	}
	if err == nil {
		err = s.run(r.Context(), out, h.heartbeat, shutdown)
	}
	if err != nil {
		h.logger.DebugContext(r.Context(), "occupancyhttp: stream closed: write failed", "remote", r.RemoteAddr, "error", err)
	}
	return nil
}

// setStreamHeaders sets the headers of a stream.
func (h *handler) setStreamHeaders(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Content-Type-Options", "nosniff")
	if h.heartbeat > 0 {
		header.Set("Occupancy-Heartbeat", strconv.FormatFloat(h.heartbeat.Seconds(), 'f', -1, 64))
	}
}

// run writes pending frames and heartbeats until the stream ends. It returns the error of
// a failed write.
func (s *stream) run(ctx context.Context, out *writer, heartbeat time.Duration, shutdown <-chan struct{}) error {
	defer out.setDeadline() // for the bytes that net/http writes after the handler has returned
	var timer *time.Timer
	var heartbeats <-chan time.Time
	if heartbeat > 0 {
		timer = time.NewTimer(heartbeat)
		defer timer.Stop()
		heartbeats = timer.C
	}
	for {
		select {
		case <-s.wake:
			ended := s.liveFeeds.Load() == 0 // loaded before the pending bits, so that the last frames are written
			if err := s.writePending(out); err != nil || ended {
				return err
			}
		case <-heartbeats:
			if err := out.write(comment); err != nil {
				return err
			}
			if err := out.flush(); err != nil {
				return err
			}
		case <-shutdown:
			return nil
		case <-ctx.Done():
			return nil
		}
		if timer != nil {
			timer.Reset(heartbeat)
		}
	}
}

var comment = []byte(":\n\n")

// writePending writes the newest frame of every slot whose pending bit is set.
func (s *stream) writePending(out *writer) error {
	wrote := false
	for i := range s.pending[:(len(s.slots)+63)/64] {
		for pending := s.pending[i].Swap(0); pending != 0; pending &= pending - 1 {
			slot := &s.slots[i*64+bits.TrailingZeros64(pending)]
			newest := slot.feed.newest.Load()
			// If a feed publishes a frame after the Swap and before the Load, this call writes the
			// frame. The pending bit stays set, so the next call must skip the frame.
			if newest == slot.lastSent {
				continue
			}
			slot.lastSent = newest
			data := newest.plain
			if s.withRoom {
				data = newest.withRoom
			}
			if err := out.write(data); err != nil {
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
