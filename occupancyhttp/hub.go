package occupancyhttp

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/occupancy/occupancy"
)

// hub has one feed for each room that has open streams. An event takes this path:
//
//	engine → watcher → feed → streams → clients
//
// One watcher of the engine returns the changes of all these rooms. The feed encodes the
// event as a frame and marks the room as pending in each stream. Each stream then writes
// the frame to its client. So a room has no goroutine and no subscription of its own.
type hub struct {
	engine *occupancy.Engine
	*config

	revocations atomic.Uint64         // number of calls of Revoke
	state       atomic.Pointer[state] // never nil

	refreshing sync.Mutex // protects timer
	timer      *time.Timer

	mu      sync.Mutex // protects the following fields, the fields of the feeds, and slot.feedIndex
	streams map[*stream]struct{}
	feeds   map[string]*feed
	watcher *occupancy.Watcher // nil while no stream is open
}

// feed has the newest frame of a room, and the slots of all streams of the room.
type feed struct {
	room    string
	last    occupancy.Occupancy   // of the newest event
	version uint64                // of the newest event
	newest  atomic.Pointer[frame] // nil before the first event. Streams read it without hub.mu
	slots   []*slot
}

// slot is one room of a stream.
type slot struct {
	stream    *stream
	feed      *feed
	feedIndex int32 // in feed.slots
	index     int16 // in stream.slots

	// used by the stream's goroutine only:
	attached bool   // whether the slot is in feed.slots
	lastSent *frame // the last frame written to the client
}

func newHub(engine *occupancy.Engine, c *config) hub {
	return hub{engine: engine, config: c, streams: map[*stream]struct{}{}, feeds: map[string]*feed{}}
}

// attach adds the stream and its slots, one for each of the rooms, to the feeds. If a feed
// already has a frame, attach marks the slot as pending. The error is
// [occupancy.ErrClosed]. The caller must call detach in any case.
func (h *hub) attach(s *stream, rooms []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watcher == nil {
		w, err := h.engine.Watch(occupancy.Rooms())
		if err != nil {
			return err
		}
		h.watcher = w
		go h.run(w)
	}
	h.streams[s] = struct{}{}
	var added []string
	for i, room := range rooms {
		f := h.feeds[room]
		if f == nil {
			f = &feed{room: strings.Clone(room)} // room may be part of a long query string
			h.feeds[f.room] = f
			added = append(added, f.room)
		}
		s.slots[i] = slot{stream: s, feed: f, index: int16(i), feedIndex: int32(len(f.slots)), attached: true}
		f.slots = append(f.slots, &s.slots[i])
		if f.newest.Load() != nil {
			s.markPending(i)
		}
	}
	return h.watcher.Add(added...)
}

// detach removes the stream and its slots.
func (h *hub) detach(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s)
	for i := range s.slots {
		h.remove(&s.slots[i])
	}
	if len(h.streams) == 0 && h.watcher != nil {
		_ = h.watcher.Close()
		h.watcher, h.feeds = nil, map[string]*feed{} // a map does not release memory when it shrinks
	}
}

// detachRoom removes one slot of an open stream.
func (h *hub) detachRoom(s *slot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(s)
}

// remove removes the slot from its feed, unless it was removed before. The last slot of the
// feed takes the free index. A feed without slots is deleted.
func (h *hub) remove(s *slot) {
	if !s.attached {
		return
	}
	s.attached = false
	f := s.feed
	last := len(f.slots) - 1
	f.slots[s.feedIndex] = f.slots[last]
	f.slots[s.feedIndex].feedIndex = s.feedIndex
	f.slots[last] = nil
	if f.slots = f.slots[:last]; last == 0 {
		delete(h.feeds, f.room)
		h.watcher.Remove(f.room)
	}
}

// run publishes the events of the watcher until detach or the engine closes it.
func (h *hub) run(w *occupancy.Watcher) {
	for {
		events, err := w.Next(context.Background())
		if err != nil {
			break
		}
		for _, e := range events {
			h.receive(w, e)
		}
	}
	if h.isCurrent(w) {
		<-h.engine.Done() // from now on the occupancy does not change
		h.end()
	}
}

// isCurrent reports whether detach has not closed the watcher.
func (h *hub) isCurrent(w *occupancy.Watcher) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.watcher == w
}

// end publishes the last events of the closed engine, and ends all streams.
func (h *hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.feeds {
		if o := h.engine.Current(f.room); o != f.last || f.newest.Load() == nil {
			f.publish(occupancy.RoomEvent{Room: f.room, Event: occupancy.Event{Type: occupancy.EventUpdated, Occupancy: o, Version: f.version + 1}})
		}
	}
	for s := range h.streams {
		s.endSource()
	}
}

// receive publishes an event of the watcher.
func (h *hub) receive(w *occupancy.Watcher, e occupancy.RoomEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.feeds[e.Room]; f != nil && h.watcher == w { // otherwise the event may be outdated
		f.publish(e)
	}
}

// publish stores the newest frame and marks the room as pending in every stream. Each
// stream writes the frame in its own goroutine, so that no stream waits for a slow client
// of another stream.
func (f *feed) publish(e occupancy.RoomEvent) {
	newest := newUpdate(e)
	f.last, f.version = e.Occupancy, e.Version
	f.newest.Store(&newest)
	for _, s := range f.slots {
		s.stream.markPending(int(s.index))
	}
}

// openStreams returns the open streams.
func (h *hub) openStreams() []*stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.streams))
}

// roomCount returns the number of rooms of all streams.
func (h *hub) roomCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.feeds)
}
