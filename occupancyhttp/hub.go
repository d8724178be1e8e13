package occupancyhttp

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/occupancy/occupancy"
)

// hub has a feed for each room that has streams. The way of an event:
//
//	engine → subscription → feed → a frame, and a mark in each stream → streams
//
// A feed begins with the first stream of its room and ends with the last. Which of the
// streams that come and go at once is the first or the last is decided by mu, together
// with the count that it protects.
type hub struct {
	engine *occupancy.Engine

	mu    sync.Mutex // protects the following, and every feed's streams
	feeds map[string]*feed
}

// feed tells the streams of one room what its one subscription says.
type feed struct {
	room    string
	quoted  []byte // room, in JSON
	sub     *occupancy.Subscription
	streams int                   // hub.mu protects it
	newest  atomic.Pointer[frame] // nil before the first event; written under mu

	mu    sync.Mutex // protects the following
	ended bool       // the subscription is
	seats []*seat
}

// seat is a stream's place in a feed.
type seat struct {
	stream *stream
	number int    // in stream.seats
	feed   *feed  // nil: not seated
	index  int    // in feed.seats; feed.mu protects it
	told   *frame // what the stream wrote last; the stream's own
}

// join gives the seat a place in the room's feed, and marks it as news if there is any
// yet. The errors are those of [occupancy.Engine.Subscribe].
func (h *hub) join(room string, s *seat) error {
	f, err := h.hold(room)
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

// leave gives the place up, if the seat has one.
func (h *hub) leave(s *seat) {
	if s.feed != nil {
		s.feed.remove(s)
		h.release(s.feed)
	}
}

// hold finds the room's feed, or begins it.
func (h *hub) hold(room string) (*feed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, ok := h.feeds[room]
	if !ok {
		sub, err := h.engine.Subscribe(room)
		if err != nil {
			return nil, err
		}
		room = strings.Clone(room) // it may be a piece of a long query
		f = &feed{room: room, quoted: quote(room), sub: sub}
		h.feeds[room] = f
		go f.run()
	}
	f.streams++
	return f, nil
}

// release undoes one hold.
func (h *hub) release(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.streams--; f.streams == 0 {
		delete(h.feeds, f.room)
		f.sub.Unsubscribe() // which ends run
	}
}

func (f *feed) run() {
	for e := range f.sub.Events() {
		f.publish(encode(e, f.quoted))
	}
	f.end()
}

// publish makes a frame the newest and marks it in every stream. That is all a stream
// costs here: the writing is its own goroutine's, so that none waits for another.
func (f *feed) publish(newest *frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.newest.Store(newest)
	for _, s := range f.seats {
		s.stream.mark(s.number)
	}
}

// end tells every stream that nothing more will come.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	for _, s := range f.seats {
		s.stream.end()
	}
}

// add seats s, unless the feed has ended.
func (f *feed) add(s *seat) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return false
	}
	s.index = len(f.seats)
	f.seats = append(f.seats, s)
	if f.newest.Load() != nil {
		s.stream.mark(s.number)
	}
	return true
}

// remove takes s out; the last one takes its place.
func (f *feed) remove(s *seat) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := len(f.seats) - 1
	f.seats[s.index] = f.seats[last]
	f.seats[s.index].index = s.index
	f.seats[last] = nil
	f.seats = f.seats[:last]
}
