package occupancy

import "slices"

// EventType is the type of an [Event].
type EventType string

// EventUpdated is the type of every event: the occupancy of a room has changed.
const EventUpdated EventType = "occupancy.updated"

// Event is a notification of a room's new occupancy. It carries the value, not a
// difference, so losing an event does no harm once the next one has arrived.
//
// As JSON it is {"type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}}.
type Event struct {
	Type      EventType `json:"type"`
	Occupancy Occupancy `json:"occupancy"`
	// Version numbers the room's events. For a subscriber it increases by one with each
	// event published in the room, so a difference of n means that n-1 events were
	// folded into this one. For a Watcher it increases, but not by one.
	Version uint64 `json:"-"`
}

// RoomEvent is an [Event] together with its room. As JSON it begins with "room".
type RoomEvent struct {
	Room string `json:"room"`
	Event
}

// Subscription receives the events of one room. Create it with [Engine.Subscribe].
//
// It holds at most one event, the newest. A subscriber that reads slowly, or not at
// all, delays nobody, and misses only values that are outdated.
type Subscription struct {
	p      *publisher
	c      *cell
	events chan Event // has room for one event. Only holders of publisher.mu send, so replacing an unread event is safe

	// publisher.mu protects the following.
	index  int // in extra.subs
	closed bool
}

// subscriber is the data of one subscription that deliver reads. The subscribers of a room
// lie side by side in memory, which makes deliver faster for a room of 100,000.
type subscriber struct {
	sub    *Subscription
	events chan Event
	last   counts // the last occupancy sent to it
}

// Subscribe subscribes to one room. The first event, its current occupancy, is available
// from [Subscription.Events] when Subscribe returns. After that, the first change after
// a quiet interval is published immediately, and further changes within the interval
// become one event at its end. A change that is undone within the interval is not
// published.
//
// Call [Subscription.Unsubscribe] when done: until then the room exists, even if nobody
// is in it. Subscribe does not wait for other subscribers. The error is ErrClosed,
// ErrInvalidRoom, or ErrTooManyRooms if the limit of subscribed rooms is reached: see
// [WithMaxRooms].
func (e *Engine) Subscribe(room string) (*Subscription, error) {
	p := e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	c, x, err := p.holdSubscription(room)
	if err != nil {
		return nil, err
	}
	// If the snapshot is a new value, it is an event of the room. The room is still in a queue
	// then, and its next visit delivers the event, or a newer one, to the other subscribers.
	p.publish(c, c.word.Load())
	s := &Subscription{p: p, c: c, events: make(chan Event, 1), index: len(x.subs)}
	s.events <- x.event()
	x.subs = append(x.subs, subscriber{s, s.events, x.lastTotal.value})
	p.openSubscriptions.Add(1)
	if s.index == 0 {
		p.subscribedRooms++
	}
	p.delivered.Add(1)
	if p.now() >= x.next && (x.next > 0 || p.openWatchers.Load() == 0) {
		// The room was quiet for an interval, so the next change must be published
		// immediately. x.next > 0 is required if there are watchers: before the first
		// subscription, x.next does not tell when the room was published to a watcher.
		p.settle(c)
	}
	_, _ = p.change(c, false, attach)
	p.watchers.wake()
	return s, nil
}

// Room returns the name of the room.
func (s *Subscription) Room() string { return s.c.name }

// Events returns the channel on which the room's events arrive. It is closed by
// [Subscription.Unsubscribe] and, after the last event, by [Engine.Close].
func (s *Subscription) Events() <-chan Event { return s.events }

// Unsubscribe ends the subscription. After it returns, the channel is closed and empty.
// It may be called from any goroutine and more than once. On a nil subscription it does
// nothing.
func (s *Subscription) Unsubscribe() {
	if s == nil {
		return
	}
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
	p.openSubscriptions.Add(-1)
	x := s.c.extra.Load()
	if x.remove(s.index); len(x.subs) == 0 {
		p.subscribedRooms--
	}
	p.release(s.c, x)
}

// remove removes subscription i. During deliver, the subscriptions before x.passed are
// already processed. If i is one of them, the last processed one moves to i, so that
// deliver misses none of the others.
func (x *extra) remove(i int) {
	last := len(x.subs) - 1
	if i < x.passed {
		x.passed--
		x.move(x.passed, i)
		i = x.passed
	}
	x.move(last, i)
	x.subs[last] = subscriber{}
	x.subs = x.subs[:last]
	switch { // release the memory of many subscriptions
	case last == 0:
		x.subs = nil
	case cap(x.subs) > blockLen && last < cap(x.subs)/4:
		x.subs = slices.Clone(x.subs)
	}
}

func (x *extra) move(from, to int) {
	if from == to {
		return
	}
	x.subs[to] = x.subs[from]
	x.subs[to].sub.index = to
}

// event returns the room's newest event, for a subscriber.
func (x *extra) event() Event {
	return Event{Type: EventUpdated, Occupancy: x.lastTotal.value.occupancy(), Version: x.version}
}

// deliver sends the room's event to the subscribers that have not received its value, and
// reports whether there was such a subscriber. It unlocks mu after every quantum, so that
// other callers do not wait for a room of 100,000 subscribers.
func (p *publisher) deliver(x *extra) bool {
	x.undelivered = false
	x.delivering = true
	var delivered, folded uint64
	for x.passed < len(x.subs) {
		event, value := x.event(), x.lastTotal.value
		subs := x.subs[x.passed:min(x.passed+quantum, len(x.subs))]
		for i := range subs {
			s := &subs[i]
			if s.last == value {
				continue
			}
			s.last = value
			delivered++
			select {
			case s.events <- event:
			default:
				select {
				case <-s.events:
					folded++
				default: // the subscriber has just read it
				}
				s.events <- event // does not block: only the holder of mu sends
			}
		}
		if x.passed += len(subs); x.passed < len(x.subs) {
			p.watchers.wake()
			p.mu.Unlock()
			p.mu.Lock()
		}
	}
	x.passed, x.delivering = 0, false
	p.delivered.Add(delivered)
	p.folded.Add(folded)
	return delivered > 0
}
