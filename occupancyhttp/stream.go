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
	open    int    // number of slots that are not refused; used by the stream's goroutine only
	status  *frame // the last status written to the client; used by the stream's goroutine only

	wake    chan struct{} // has a buffer of 1; receives a value when one of the following fields or the status of the hub has changed
	pending bitset        // the slots that have a frame to write
	revoked bitset        // the slots that Revoke has revoked
	ended   atomic.Bool   // whether the engine is closed
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

// run writes the start of the stream, and then pending frames and heartbeats until the
// stream ends. It returns the error of a failed write.
func (s *stream) run(refused []refusal, shutdown <-chan struct{}) error {
	defer func() { _ = s.out.setDeadline() }() // for the bytes that net/http writes after the handler has returned
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
	if err := s.out.write(newStart(2 * time.Second)); err != nil {
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
	status := s.h.hub.status.event.Load()
	if status == s.status {
		return nil
	}
	s.status = status
	return s.out.write(*status)
}

// writeRefusals writes an event occupancy.refused for each of the rooms.
func (s *stream) writeRefusals(refused []refusal) error {
	for _, refusal := range refused {
		if err := s.out.write(newFrame("occupancy.refused", "", refusal)); err != nil {
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
