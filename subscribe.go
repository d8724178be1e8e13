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
	index  int // in subscribers.list
	closed bool
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
	if err := p.rooms.checkSubscribed(room); err != nil {
		return nil, err
	}
	c, x, err := p.hold(room)
	if err != nil {
		return nil, err
	}
	// If the snapshot is a new value, it is an event of the room. The room is still in a queue
	// then, and its next visit delivers the event, or a newer one, to the other subscribers.
	p.publish(c, c.word.Load())
	s := &Subscription{p: p, c: c, events: make(chan Event, 1), index: len(x.subs.list)}
	s.events <- x.event()
	x.subs.list = append(x.subs.list, subscriber{s, s.events, x.lastTotal.value})
	p.openSubscriptions.Add(1)
	if s.index == 0 {
		p.rooms.subscribed++
		p.watchers.interestChanged(c.name)
	}
	p.delivered.Add(1)
	if p.now() >= x.next && (x.next > 0 || p.openWatchers.Load() == 0) {
		// The room was quiet for an interval, so the next change must be published
		// immediately. x.next > 0 is required if there are watchers: before the first
		// subscription, x.next does not tell when the room was published to a watcher.
		p.settle(c)
	}
	p.change(c, attach)
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
	if x.subs.remove(s.index); len(x.subs.list) == 0 {
		p.rooms.subscribed--
		p.watchers.interestChanged(s.c.name)
		p.watchers.wake()
	}
	p.release(s.c, x)
}

// subscribers are the subscriptions of one room. publisher.mu protects them.
type subscribers struct {
	list        []subscriber
	passed      int32 // the number of subscribers that a running delivery has processed
	undelivered bool  // some subscriber may not have received the last published value
	delivering  bool  // a delivery is not over, and may have unlocked mu
}

// subscriber is the data of one subscription that send reads. The subscribers of a room
// lie side by side in memory, which makes send faster for a room of 100,000.
type subscriber struct {
	sub    *Subscription
	events chan Event
	last   counts // the last occupancy sent to it
}

// send sends the room's event to the subscribers that have not received its value: to the next
// quantum of them. If more is true, the delivery is not over. It continues with the next call,
// which may have a newer event.
func (s *subscribers) send(event Event, value counts) (delivered, folded uint64, more bool) {
	s.delivering = true
	slice := s.list[s.passed:min(int(s.passed)+quantum, len(s.list))]
	for i := range slice {
		sub := &slice[i]
		if sub.last == value {
			continue
		}
		sub.last = value
		delivered++
		select {
		case sub.events <- event:
		default:
			select {
			case <-sub.events:
				folded++
			default: // the subscriber has just read it
			}
			sub.events <- event // does not block: only the holder of mu sends
		}
	}
	if s.passed += int32(len(slice)); int(s.passed) < len(s.list) {
		return delivered, folded, true
	}
	s.passed, s.delivering = 0, false
	return delivered, folded, false
}

// close closes all subscriptions.
func (s *subscribers) close() {
	for _, subscriber := range s.list {
		close(subscriber.events)
		subscriber.sub.closed = true
	}
	s.list = nil
}

// remove removes subscription i. During a delivery, the subscriptions before s.passed are
// already processed. If i is one of them, the last processed one moves to i, so that
// the delivery misses none of the others.
func (s *subscribers) remove(i int) {
	last := len(s.list) - 1
	if passed := int(s.passed) - 1; i <= passed {
		s.passed--
		s.move(passed, i)
		i = passed
	}
	s.move(last, i)
	s.list[last] = subscriber{}
	s.list = s.list[:last]
	switch { // release the memory of many subscriptions
	case last == 0:
		s.list = nil
	case cap(s.list) > blockLen && last < cap(s.list)/4:
		s.list = slices.Clone(s.list)
	}
}

func (s *subscribers) move(from, to int) {
	if from == to {
		return
	}
	s.list[to] = s.list[from]
	s.list[to].sub.index = to
}
