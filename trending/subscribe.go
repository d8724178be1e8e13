package trending

import "slices"

// Subscription is one listener to one list. Make it with [Board.Subscribe].
//
// It holds one list at most, the newest. A subscriber that reads slowly or not at all
// delays nobody and misses only lists that were outdated before it read.
type Subscription struct {
	b     *Board
	l     *list
	rooms chan []Room // of one; only one sends at a time, under Board.telling, so that replacing the unread list is safe

	closed bool // Board.telling protects it
}

// subject is what a list is of. Subscriptions with the same one share the list,
// so that all who look at it see the same.
type subject struct {
	by Order
	n  int
}

// list is the first rooms of an order as subscribers are shown them. Board.telling
// protects it.
type list struct {
	subject
	rooms []*standing
	told  []line // of rooms
	subs  map[*Subscription]struct{}
}

// Subscribe follows the first n rooms in that order. The list as it is waits in
// [Subscription.Rooms] when Subscribe returns; the next comes when its rooms, their
// places or the occupancy of one changed, or somebody arrived there, at most once in the
// engine's interval. That heat fades is no news. With n below 1 every list is empty.
//
// Unlike [Board.Top] such a list is guarded against flicker. A room never stands before
// one that is ahead of it by more than the margin (see [WithMargin]); where that leaves a
// choice, who stood higher stays higher, and who was on the list stays on it. So a room
// passes another only when it is ahead by more than the margin, or in the wake of one
// that is. A room that empties leaves at once.
//
// A list costs the board O(n log n) an interval while rooms change, and each subscriber a
// copy when the list did: let nobody choose any n.
//
// Call [Subscription.Unsubscribe] when done. On a closed board the channel is closed
// after the list. Subscribe panics on an order that does not exist.
func (b *Board) Subscribe(by Order, n int) *Subscription {
	by.mustBeValid()
	b.telling.Lock()
	defer b.telling.Unlock()
	what := subject{by, max(n, 0)}
	l := b.lists[what]
	if l == nil {
		l = &list{subject: what, subs: map[*Subscription]struct{}{}}
		b.renew(l)
		b.lists[what] = l
	}
	s := &Subscription{b: b, l: l, rooms: make(chan []Room, 1)}
	l.subs[s] = struct{}{}
	s.rooms <- l.show(b.now())
	if b.closed {
		s.end()
	}
	return s
}

// Rooms is where the lists arrive, best room first: the same channel at every call,
// closed by [Subscription.Unsubscribe] and, after the last list, by [Board.Close] and by
// the engine's. The slices are the subscriber's own.
func (s *Subscription) Rooms() <-chan []Room { return s.rooms }

// Unsubscribe ends the subscription. After it returns the channel is closed and
// yields nothing more. It may be called from any goroutine and more than once.
func (s *Subscription) Unsubscribe() {
	s.b.telling.Lock()
	defer s.b.telling.Unlock()
	select {
	case <-s.rooms:
	default:
	}
	s.end()
}

// end closes the channel, once. The caller has telling.
func (s *Subscription) end() {
	if s.closed {
		return
	}
	s.closed = true
	close(s.rooms)
	if delete(s.l.subs, s); len(s.l.subs) == 0 {
		delete(s.b.lists, s.l.subject)
	}
}

// tell gives every subscriber its list, where that changed.
func (b *Board) tell() {
	b.telling.Lock()
	defer b.telling.Unlock()
	now := b.now()
	for _, l := range b.lists {
		if !b.renew(l) {
			continue
		}
		rooms := l.show(now)
		for s := range l.subs {
			select {
			case <-s.rooms:
			default:
			}
			s.rooms <- slices.Clone(rooms)
		}
	}
}

// renew makes the list anew and reports whether it changed. The caller has telling.
func (b *Board) renew(l *list) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	l.rooms = l.by.steady(l.rooms, b.rankings[l.by].top(l.n), l.n, b.margin)
	told := make([]line, len(l.rooms))
	for i, s := range l.rooms {
		told[i] = s.line()
	}
	if slices.Equal(told, l.told) {
		return false
	}
	l.told = told
	return true
}

// show is the list as it was told. One who comes later gets what the others have, or a
// change that was undone since would be lost on it.
func (l *list) show(now float64) []Room {
	rooms := make([]Room, len(l.told))
	for i, t := range l.told {
		rooms[i] = t.room(now)
	}
	return rooms
}

// finish tells the last lists and closes every subscription.
func (b *Board) finish() {
	b.watcher.Close()
	b.tell()
	b.telling.Lock()
	defer b.telling.Unlock()
	b.closed = true
	for _, l := range b.lists {
		for s := range l.subs {
			s.end()
		}
	}
	close(b.stopped)
}
