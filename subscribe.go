package occupancy

import "slices"

// EventType says what an [Event] tells.
type EventType string

// EventUpdated is the type of every event: the occupancy of a room is now this.
const EventUpdated EventType = "occupancy.updated"

// Event says what the occupancy of a room is now. It carries the new value, never
// a difference, so that a lost event costs nothing once the next has come.
//
// As JSON it is {"type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}}.
type Event struct {
	Type      EventType `json:"type"`
	Occupancy Occupancy `json:"occupancy"`
	Room      string    `json:"-"`
	// Version numbers the room's events. For a subscriber it grows by one with each
	// event published in the room, so that a gap says how many were folded into
	// this one. From a Watcher it only grows.
	Version uint64 `json:"-"`
}

// Subscription is one listener to one room. Make it with [Engine.Subscribe].
//
// It holds one event at most, the newest. A subscriber that reads slowly or not
// at all delays nobody and misses only values that were outdated before it read.
type Subscription struct {
	p      *publisher
	c      *cell
	events chan Event // of one; under publisher.mu only one sends, so that replacing the unread event is safe

	// publisher.mu protects the following.
	index  int // in extra.subs
	closed bool
}

// listener is a subscription as the publisher's loop over a room needs it: side
// by side in memory, which at 100,000 to a room counts.
type listener struct {
	sub    *Subscription
	events chan Event
	last   uint64 // the packed occupancy it was told last
}

// Subscribe listens to one room. The first event, its occupancy now, waits in
// [Subscription.Events] when Subscribe returns. Each change after that is told at
// once if the room was quiet for the engine's interval, and at the end of the
// interval otherwise; several changes within one interval are told as one, and a
// change that was undone is not told.
//
// Call [Subscription.Unsubscribe] when done: until then the room exists, and
// counts towards [WithMaxRooms], even if nobody is in it.
//
// It does not block on other subscribers. The error is ErrClosed, ErrRoomName or
// ErrTooManyRooms.
func (e *Engine) Subscribe(room string) (*Subscription, error) {
	p := e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	c, x, err := p.hold(room)
	if err != nil {
		return nil, err
	}
	// The snapshot may be news: then it is an event, which the room's other
	// subscribers are told, or see folded, when their interval is over.
	p.tell(c, c.local())
	s := &Subscription{p: p, c: c, events: make(chan Event, 1), index: len(x.subs)}
	s.events <- x.event(c)
	x.subs = append(x.subs, listener{s, s.events, c.mark.told})
	p.subscriptions.Add(1)
	p.delivered.Add(1)
	if p.now() >= x.until && (x.until > 0 || p.watchers.Load() == 0) {
		// Nobody was told anything lately, so the next change is the first after quiet.
		// Where until was never set a watcher may have been.
		p.settle(c)
	}
	return s, nil
}

// Events is where the room's events arrive: the same channel at every call, closed
// by [Subscription.Unsubscribe] and, after the last event, by [Engine.Close].
func (s *Subscription) Events() <-chan Event { return s.events }

// Unsubscribe ends the subscription. After it returns the channel is closed and
// yields nothing more. It may be called from any goroutine and more than once.
func (s *Subscription) Unsubscribe() {
	p := s.p
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-s.events:
	default:
	}
	if s.closed {
		return
	}
	s.closed = true
	close(s.events)
	p.subscriptions.Add(-1)
	x := s.c.extra.Load()
	x.remove(s.index)
	p.release(s.c, x)
}

// remove takes a subscription out; the last one takes its place.
func (x *extra) remove(i int) {
	last := len(x.subs) - 1
	x.subs[i] = x.subs[last]
	x.subs[i].sub.index = i
	x.subs[last] = listener{}
	x.subs = x.subs[:last]
	switch { // give the memory of a crowd back
	case last == 0:
		x.subs = nil
	case cap(x.subs) > blockLen && last < cap(x.subs)/4:
		x.subs = slices.Clone(x.subs)
	}
}
