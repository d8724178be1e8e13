package occupancyhttp

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/occupancy/occupancy"
)

// hub has one feed for each room that has open streams. An event takes this path:
//
//	engine → subscription → feed → frame, and a pending bit in each stream → client
//
// The first stream of a room creates the feed and the last one deletes it. Both happen
// together with the change of feed.streams under mu, so concurrent streams agree on
// which of them is first or last.
type hub struct {
	engine *occupancy.Engine

	mu    sync.Mutex // protects the following and the streams field of every feed
	feeds map[string]*feed
}

// feed passes the events of one subscription on to all streams of a room.
type feed struct {
	room     string
	roomJSON []byte // the name of the room as JSON
	sub      *occupancy.Subscription
	streams  int                   // number of streams; protected by hub.mu
	newest   atomic.Pointer[frame] // nil before the first event; written under mu

	mu    sync.Mutex // protects the following
	ended bool       // whether the subscription has ended
	slots []*slot
}

// slot is one room of a stream.
type slot struct {
	stream    *stream
	index     int    // in stream.slots
	feed      *feed  // nil: not attached
	feedIndex int    // in feed.slots; protected by feed.mu
	lastSent  *frame // the last frame written to the client; used by the stream's goroutine only
}

// attach adds the slot to the feed of the room. If the feed already has a frame, the slot
// is marked as pending. The errors are those of [occupancy.Engine.Subscribe].
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

// detach removes the slot from its feed, if it is attached to one.
func (h *hub) detach(s *slot) {
	if s.feed != nil {
		s.feed.remove(s)
		h.release(s.feed)
	}
}

// acquire returns the feed of the room, creating it if necessary, and increments its
// number of streams.
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

// release decrements the number of streams, and deletes the feed when it reaches 0.
func (h *hub) release(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.streams--; f.streams == 0 {
		delete(h.feeds, f.room)
		f.sub.Unsubscribe() // f.run returns
	}
}

// run publishes the events of the subscription until it ends.
func (f *feed) run() {
	for e := range f.sub.Events() {
		f.publish(newFrame(e, f.roomJSON))
	}
	f.end()
}

// publish stores the newest frame and marks it as pending in every stream. It does not
// write to clients: each stream does that in its own goroutine, so that no stream waits
// for another.
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

// remove removes the slot from the feed. The last slot of the feed moves to its index.
func (f *feed) remove(s *slot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.slots) - 1
	f.slots[s.feedIndex] = f.slots[last]
	f.slots[s.feedIndex].feedIndex = s.feedIndex
	f.slots[last] = nil
	f.slots = f.slots[:last]
}
