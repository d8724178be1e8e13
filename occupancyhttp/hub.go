package occupancyhttp

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/occupancy/occupancy"
)

// hub has one feed for each room that has open streams. An event takes this path:
//
//	engine → subscription → feed → streams → clients
//
// The feed encodes the event as a frame and marks the room as pending in each stream. Each
// stream then writes the frame to its client.
//
// The first stream of a room creates the feed, and the last stream deletes the feed. The
// hub locks mu while it counts the streams and creates or deletes the feed. So a new
// stream never receives a feed that is being deleted.
type hub struct {
	engine *occupancy.Engine

	mu    sync.Mutex // protects feeds, and feed.streams of every feed
	feeds map[string]*feed
}

// feed sends the events of one subscription to all streams of a room.
type feed struct {
	room     string
	roomJSON []byte // the name of the room as JSON
	sub      *occupancy.Subscription
	streams  int                   // number of streams; protected by hub.mu
	newest   atomic.Pointer[frame] // nil before the first event; written while feed.mu is locked

	mu    sync.Mutex // protects the following fields
	ended bool       // whether the subscription has ended
	slots []*slot
}

// slot is one room of a stream.
type slot struct {
	stream    *stream
	index     int    // in stream.slots
	feed      *feed  // nil before attach
	feedIndex int    // in feed.slots; protected by feed.mu
	lastSent  *frame // the last frame written to the client; used by the stream's goroutine only
}

// attach adds the slot to the feed of the room. If the feed already has a frame, attach
// marks the slot as pending. It returns the errors of [occupancy.Engine.Subscribe].
func (h *hub) attach(room string, s *slot) error {
	f, err := h.acquire(room)
	if err != nil {
		return err
	}
	if !f.add(s) {
		h.release(f)
		return occupancy.ErrClosed
	}
	s.feed = f
	return nil
}

// detach removes the slot from its feed. It does nothing if the slot has no feed.
func (h *hub) detach(s *slot) {
	if s.feed != nil {
		s.feed.remove(s)
		h.release(s.feed)
	}
}

// acquire returns the feed of the room and increments feed.streams. It creates the feed
// if the room has none.
func (h *hub) acquire(room string) (*feed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, ok := h.feeds[room]
	if !ok {
		sub, err := h.engine.Subscribe(room)
		if err != nil {
			return nil, err
		}
		room = strings.Clone(room) // room may be part of a long query, which the feed would keep in memory
		f = &feed{room: room, roomJSON: mustMarshal(room), sub: sub}
		h.feeds[room] = f
		go f.run()
	}
	f.streams++
	return f, nil
}

// release decrements feed.streams, and deletes the feed after its last stream.
func (h *hub) release(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.streams--; f.streams == 0 {
		delete(h.feeds, f.room)
		f.sub.Unsubscribe() // f.run returns
	}
}

// run publishes the events of the subscription until the subscription ends.
func (f *feed) run() {
	for e := range f.sub.Events() {
		f.publish(newFrame(e, f.roomJSON))
	}
	f.end()
}

// publish stores the newest frame and marks the room as pending in every stream. Each
// stream writes the frame in its own goroutine, so that no stream waits for a slow client
// of another stream.
func (f *feed) publish(newest *frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.newest.Store(newest)
	for _, s := range f.slots {
		s.stream.markPending(s.index)
	}
}

// end notifies every stream that the feed publishes no more frames.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for _, s := range f.slots {
		s.stream.feedEnded()
	}
}

// add adds the slot to the feed. It returns false if the feed has ended.
func (f *feed) add(s *slot) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return false
	}
	s.feedIndex = len(f.slots)
	f.slots = append(f.slots, s)
	if f.newest.Load() != nil {
		s.stream.markPending(s.index)
	}
	return true
}

// remove removes the slot from the feed. The last slot of the feed takes the free index.
func (f *feed) remove(s *slot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.slots) - 1
	f.slots[s.feedIndex] = f.slots[last]
	f.slots[s.feedIndex].feedIndex = s.feedIndex
	f.slots[last] = nil
	f.slots = f.slots[:last]
}
