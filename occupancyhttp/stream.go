package occupancyhttp

import (
	"math/rand/v2"
	"net/http"
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
	lists   []streamList

	// used by the stream's goroutine only:
	open    int       // number of slots that are not refused
	refused []refusal // not written to the client yet
	status  string    // the last status written to the client
	retryAt time.Time // writeLists does nothing until this time

	wake    chan struct{} // has a buffer of 1; receives a value when one of the following fields, a list, or the status of the hub has changed
	pending bitset        // the slots that have a frame to write
	revoked bitset        // the slots that Revoke has revoked
	recheck atomic.Bool   // whether the rooms of the lists must be authorized again
	sources atomic.Int32  // the hub and the lists, without those that are closed
}

func newStream(h *Handler, r *http.Request, out *writer, selected selection) *stream {
	s := &stream{
		h: h, request: r, out: out,
		slots: make([]slot, len(selected.rooms)), lists: make([]streamList, len(selected.lists)),
		open: len(selected.rooms), refused: selected.refused,
		wake: make(chan struct{}, 1),
	}
	s.sources.Store(1 + int32(len(s.lists)))
	return s
}

// markPending records that the slot with this index has a new frame, and wakes the stream.
func (s *stream) markPending(index int) {
	s.pending.set(index)
	s.notify()
}

// endSource records that the hub or the board of a list is closed, and wakes the stream.
func (s *stream) endSource() {
	s.sources.Add(-1)
	s.notify()
}

// notify wakes the stream's goroutine.
func (s *stream) notify() {
	select {
	case s.wake <- struct{}{}:
	default: // a notification is already waiting
	}
}

// run writes the start of the stream and the first frames, and then pending frames and
// heartbeats until the stream ends. It returns the error of a failed write.
func (s *stream) run(first []frame, shutdown <-chan struct{}) error {
	defer func() { _ = s.out.setDeadline() }() // for the bytes that net/http writes after the handler has returned
	s.h.setStreamHeaders(s.out.w)
	s.out.w.WriteHeader(http.StatusOK) // some middleware needs this call before the first flush
	s.out.write(newStart(2 * time.Second))
	s.writeRefused()
	s.writeStatus()
	s.out.write(first...)
	if err := s.out.flush(); err != nil {
		return err
	}
	heartbeats := time.Tick(s.h.heartbeat) // nil if it is 0
	reauthorize := after(s.h.reauthorize)
	lifetime := after(s.h.lifetimeOf(s.request))
	for {
		ended := false
		select {
		case <-s.wake:
			ended = s.sources.Load() == 0 // loaded before the pending bits, so that the last frames are written
			s.writeChanges()
		case <-heartbeats:
			s.out.write(comment)
		case <-reauthorize:
			_ = s.reauthorize()
			s.recheck.Store(true)
			s.writeChanges()
			reauthorize = after(s.h.reauthorize)
		case <-lifetime:
			return nil
		case <-shutdown:
			return nil
		case <-s.request.Context().Done():
			return nil
		}
		if err := s.out.flush(); err != nil || ended || s.isEmpty() {
			return err
		}
	}
}

var comment = frame(":\n\n")

// after returns a channel that receives a value after d, minus a jitter of at most 20%. If
// d is 0, it returns nil.
func after(d time.Duration) <-chan time.Time {
	if d == 0 {
		return nil
	}
	return time.After(d - rand.N(d/5+1))
}

// writeChanges writes everything that has changed since the last call.
func (s *stream) writeChanges() {
	s.revoked.take(func(i int) { s.refuse(i, errForbidden) })
	s.writeRefused()
	s.writeStatus()
	s.writeLists()
	s.pending.take(s.writeNewest)
}

// writeNewest writes the newest frame of a slot.
func (s *stream) writeNewest(i int) {
	slot := &s.slots[i]
	if !slot.attached || s.revoked.has(i) {
		return
	}
	// If a feed publishes a frame after its pending bit was cleared and before this Load, this
	// call writes the frame. The pending bit is set again, so the next call must skip the frame.
	if newest := slot.feed.newest.Load(); newest != slot.lastSent {
		slot.lastSent = newest
		s.out.write(*newest)
	}
}

// writeStatus writes the event occupancy.stale, if it has changed.
func (s *stream) writeStatus() {
	if status := s.h.hub.state.Load().status; status != s.status {
		s.status = status
		s.out.write(frame(status))
	}
}

// writeRefused writes the rooms that were refused since the last call.
func (s *stream) writeRefused() {
	for _, refusal := range s.refused {
		s.out.write(newFrame("occupancy.refused", "", refusal))
	}
	s.refused = nil
}

// isEmpty reports whether the stream has no list, and no room that is not refused.
func (s *stream) isEmpty() bool { return s.open == 0 && len(s.lists) == 0 }

// reauthorize checks again which rooms the request may read, and refuses the others. The
// error is errUnavailable, and then all rooms remain.
func (s *stream) reauthorize() error {
	rooms := make([]string, len(s.slots))
	for i := range s.slots {
		rooms[i] = s.slots[i].feed.room
	}
	denials, err := s.h.accessErrors(s.request, rooms)
	for i, denial := range denials {
		if denial != nil {
			s.refuse(i, denial)
		}
	}
	return err
}

// refuse removes a slot from the stream, unless it was refused before.
func (s *stream) refuse(i int, err *httpError) {
	slot := &s.slots[i]
	if !slot.attached {
		return
	}
	s.h.hub.detachRoom(slot)
	s.open--
	s.refused = append(s.refused, newRefusal(slot.feed.room, err))
}
