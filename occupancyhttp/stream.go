package occupancyhttp

import (
	"math/bits"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// stream is the event stream of one client. It runs in the goroutine of its HTTP request.
// A feed only sets a pending bit in the stream. The stream then writes the newest frame of
// the feed, so a slow stream buffers no frames and skips outdated frames.
type stream struct {
	h       *Handler
	request *http.Request
	out     *writer
	slots   []slot
	open    int    // number of slots that are not refused; used by the stream's goroutine only
	status  *frame // the last status written to the client; used by the stream's goroutine only

	wake    chan struct{} // has a buffer of 1; receives a value when one of the following fields or hub.status has changed
	pending bitset        // the slots that have a frame to write
	revoked bitset        // the slots that Revoke has revoked
	ended   atomic.Bool   // whether the engine is closed
}

// bitset has one bit for each slot of a stream.
type bitset [maxRooms / 64]atomic.Uint64

func (b *bitset) set(i int)      { b[i/64].Or(1 << (i % 64)) }
func (b *bitset) has(i int) bool { return b[i/64].Load()&(1<<(i%64)) != 0 }

// take calls f for every bit that is set, and clears it, until f returns an error.
func (b *bitset) take(f func(i int) error) error {
	for word := range b {
		if b[word].Load() == 0 {
			continue
		}
		for set := b[word].Swap(0); set != 0; set &= set - 1 {
			if err := f(word*64 + bits.TrailingZeros64(set)); err != nil {
				return err
			}
		}
	}
	return nil
}

// markPending records that the slot with this index has a new frame, and wakes the stream.
func (s *stream) markPending(index int) {
	s.pending.set(index)
	s.notify()
}

// revoke records that the slot with this index is revoked, and wakes the stream.
func (s *stream) revoke(index int) {
	s.revoked.set(index)
	s.notify()
}

// notify wakes the stream's goroutine.
func (s *stream) notify() {
	select {
	case s.wake <- struct{}{}:
	default: // a notification is already waiting
	}
}

// serveEvents serves a stream of the rooms in the query.
func (h *Handler) serveEvents(w http.ResponseWriter, r *http.Request) error {
	err := h.serveStream(w, r)
	if err == nil {
		return nil
	}
	e := toHTTPError(err)
	h.admission.countRefused(e.Code)
	if e.status == http.StatusServiceUnavailable && isEventSource(r) {
		h.setStreamHeaders(w)
		_, _ = w.Write(retry(retryAfter * time.Second))
		return nil
	}
	return err
}

// isEventSource reports whether the request was sent by the EventSource of a browser,
// which never retries after an error status. Clients that use fetch can set the header
// Accept to another value, or the header Occupancy-Client to any value.
func isEventSource(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream") && r.Header.Get("Occupancy-Client") == ""
}

// retry returns the field that sets the time after which an EventSource reconnects. The
// time is random, so that the clients of a server that has stopped do not reconnect at
// the same moment.
func retry(least time.Duration) []byte {
	return []byte("retry: " + strconv.FormatInt((least+rand.N(4*time.Second)).Milliseconds(), 10) + "\n\n")
}

// serveStream serves a stream. It returns an error only if it has written nothing yet.
func (h *Handler) serveStream(w http.ResponseWriter, r *http.Request) error {
	shutdown := h.shutdowns.channel(r)
	names, err := parseRooms(r.URL.RawQuery)
	if err != nil {
		return err
	}
	revocations := h.hub.revocations.Load()
	rooms, refused, err := h.check(r, names)
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

	s := &stream{h: h, request: r, out: out, slots: make([]slot, len(rooms)), open: len(rooms), wake: make(chan struct{}, 1)}
	defer h.hub.detach(s)
	if err := h.hub.attach(s, rooms); err != nil {
		return err
	}
	if h.hub.revocations.Load() != revocations {
		// Revoke was called after check began, and may have missed this stream.
		refused = append(refused, s.reauthorize()...)
		if s.open == 0 {
			return refused[len(refused)-1].httpError
		}
	}
	h.hub.updateStatus()
	h.setStreamHeaders(w)
	if err := s.run(refused, shutdown); err != nil {
		if out.tooSlow {
			h.admission.tooSlow.Add(1)
		}
		h.logger.DebugContext(r.Context(), "occupancyhttp: stream closed: write failed", "remote", r.RemoteAddr, "error", err)
	}
	return nil
}

// setStreamHeaders sets the headers of a stream.
func (h *Handler) setStreamHeaders(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store, no-transform") // some middleware compresses, and so delays, what it may transform
	header.Set("X-Accel-Buffering", "no")
	header.Set("X-Content-Type-Options", "nosniff")
	if h.heartbeat > 0 {
		header.Set("Occupancy-Heartbeat", strconv.FormatFloat(h.heartbeat.Seconds(), 'f', -1, 64))
	}
}

// run writes the start of the stream, and then pending frames and heartbeats until the
// stream ends. It returns the error of a failed write.
func (s *stream) run(refused []refusal, shutdown <-chan struct{}) error {
	defer s.out.setDeadline() // for the bytes that net/http writes after the handler has returned
	if err := s.writeStart(refused); err != nil {
		return err
	}
	heartbeat := s.h.heartbeat
	if heartbeat == 0 {
		heartbeat = never
	}
	heartbeats := time.NewTimer(heartbeat)
	defer heartbeats.Stop()
	reauthorize := after(s.h.reauthorize)
	lifetime := after(s.h.lifetimeOf(s.request))
	for {
		var err error
		select {
		case <-s.wake:
			ended := s.ended.Load() // loaded before the pending bits, so that the last frames are written
			if err = s.writeChanges(); ended {
				return err
			}
		case <-heartbeats.C:
			if err = s.out.write(comment); err == nil {
				err = s.out.flush()
			}
		case <-reauthorize:
			if err = s.writeRefusals(s.reauthorize()); err == nil {
				err = s.out.flush()
			}
			reauthorize = after(s.h.reauthorize)
		case <-lifetime:
			return nil
		case <-shutdown:
			return nil
		case <-s.request.Context().Done():
			return nil
		}
		if err != nil || s.open == 0 {
			return err
		}
		if s.out.flushed {
			heartbeats.Reset(heartbeat)
			s.out.flushed = false
		}
	}
}

const never = time.Duration(1<<63 - 1)

var comment = []byte(":\n\n")

// after returns a channel that receives a value after d, minus a jitter of at most 20%. If
// d is 0, it returns nil.
func after(d time.Duration) <-chan time.Time {
	if d == 0 {
		return nil
	}
	return time.After(d - rand.N(d/5+1))
}

// writeStart writes the headers and the first frames.
func (s *stream) writeStart(refused []refusal) error {
	s.out.w.WriteHeader(http.StatusOK) // some middleware needs this call before the first flush
	if err := s.out.write(retry(2 * time.Second)); err != nil {
		return err
	}
	if err := s.writeStatus(); err != nil {
		return err
	}
	if err := s.writeRefusals(refused); err != nil {
		return err
	}
	return s.out.flush()
}

// writeChanges writes everything that has changed since the last call.
func (s *stream) writeChanges() error {
	var refused []refusal
	_ = s.revoked.take(func(i int) error {
		refused = s.refuse(i, errForbidden, refused)
		return nil
	})
	if err := s.writeRefusals(refused); err != nil {
		return err
	}
	if err := s.writeStatus(); err != nil {
		return err
	}
	if err := s.pending.take(s.writeNewest); err != nil {
		return err
	}
	return s.out.flush()
}

// writeNewest writes the newest frame of a slot.
func (s *stream) writeNewest(i int) error {
	slot := &s.slots[i]
	if slot.feed == nil || s.revoked.has(i) {
		return nil
	}
	newest := slot.feed.newest.Load()
	// If a feed publishes a frame after its pending bit was cleared and before the Load, this
	// call writes the frame. The pending bit is set again, so the next call must skip the frame.
	if newest == slot.lastSent {
		return nil
	}
	slot.lastSent = newest
	return s.out.write(*newest)
}

// writeStatus writes the event occupancy.stale, if it has changed.
func (s *stream) writeStatus() error {
	status := s.h.hub.status.Load()
	if status == s.status {
		return nil
	}
	s.status = status
	return s.out.write(*status)
}

// writeRefusals writes an event occupancy.refused for each of the rooms.
func (s *stream) writeRefusals(refused []refusal) error {
	for _, refusal := range refused {
		if err := s.out.write(newFrame("occupancy.refused", refusal)); err != nil {
			return err
		}
	}
	return nil
}

// reauthorize checks again which rooms the request may read, and refuses the others.
func (s *stream) reauthorize() (refused []refusal) {
	var rooms []string
	var slots []int
	for i := range s.slots {
		if f := s.slots[i].feed; f != nil {
			rooms, slots = append(rooms, f.room), append(slots, i)
		}
	}
	for i, err := range s.h.accessErrors(s.request, rooms) {
		if err != nil {
			refused = s.refuse(slots[i], err, refused)
		}
	}
	return refused
}

// refuse removes a slot from the stream, and appends its refusal to refused.
func (s *stream) refuse(i int, err *httpError, refused []refusal) []refusal {
	slot := &s.slots[i]
	if slot.feed == nil {
		return refused
	}
	room := slot.feed.room
	s.h.hub.detachRoom(slot)
	s.open--
	return append(refused, newRefusal(room, err))
}
