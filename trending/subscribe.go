package trending

import "slices"

// Subscription receives the changes of one list. Create it with [Board.Subscribe].
//
// A Subscription holds at most one unread list, the newest. So a slow subscriber delays
// neither the board nor other subscribers, and misses only outdated lists. All methods may
// be called from any goroutine.
type Subscription struct {
	board *Board
	list  *list
	// rooms has a capacity of one. Only a goroutine that holds Board.listsMu sends, so
	// the channel has space after the unread list is removed.
	rooms chan []Room

	closed bool // protected by Board.listsMu
}

// listKey identifies a list. Subscriptions with the same key share a list, so that all
// of them receive the same rooms.
type listKey struct {
	by Order
	n  int
}

// list is a subscribed list. Board.listsMu protects its fields.
type list struct {
	listKey
	entries       []*entry
	rows          []row // the entries when the list was last published
	subscriptions map[*Subscription]struct{}
}

// Subscribe subscribes to the first n rooms in the given order. When Subscribe returns,
// the current list is available in [Subscription.Rooms]. A new list follows when the list
// contains different rooms or places, or when a listed room has a new occupancy or new
// arrivals, but at most once in each interval of the engine. The decay of heats is not a
// change. If n is less than 1, every list is empty.
//
// Unlike the result of [Board.Top], the list does not flicker when rooms have nearly equal
// values. A room that is ahead of another room by more than the margin of [WithMargin] is
// always listed first. If the difference is smaller, the two rooms keep their order, and a
// room that is not on the list counts as lower than every listed room. There is one
// exception. For example, rooms A, B and C are listed in this order, C is ahead of A by more
// than the margin, and the other differences are smaller. Then C must be listed before A but
// not before B, so the list becomes B, C, A.
//
// A room that empties leaves the list immediately.
//
// While rooms change, updating a list takes O(n log n) in each interval. If the list
// changed, each subscriber receives a copy. So limit the n that clients can choose.
//
// Call [Subscription.Unsubscribe] when done. If the board is closed, the channel contains
// the last list and is closed. Subscribe panics on an invalid order.
func (b *Board) Subscribe(by Order, n int) *Subscription {
	by.mustBeValid()
	b.listsMu.Lock()
	defer b.listsMu.Unlock()
	key := listKey{by, max(n, 0)}
	l := b.lists[key]
	if l == nil {
		l = &list{listKey: key, subscriptions: map[*Subscription]struct{}{}}
		b.refresh(l)
		b.lists[key] = l
	}
	s := &Subscription{board: b, list: l, rooms: make(chan []Room, 1)}
	l.subscriptions[s] = struct{}{}
	s.rooms <- l.publishedRooms(b.elapsedHalfLives())
	if b.closed {
		s.close()
	}
	return s
}

// Rooms returns the channel of the lists. Every call returns the same channel. The highest
// room is the first in a list. The receiver owns the slices. [Subscription.Unsubscribe]
// closes the channel. [Board.Close] and the engine's Close send the last list and then
// close the channel.
func (s *Subscription) Rooms() <-chan []Room { return s.rooms }

// Unsubscribe ends the subscription. When Unsubscribe returns, the channel is closed and
// empty. Unsubscribe may be called more than once.
func (s *Subscription) Unsubscribe() {
	s.board.listsMu.Lock()
	defer s.board.listsMu.Unlock()
	select {
	case <-s.rooms:
	default:
	}
	s.close()
}

// close closes the channel and removes the subscription from its list. The caller holds
// listsMu.
func (s *Subscription) close() {
	if s.closed {
		return
	}
	s.closed = true
	close(s.rooms)
	if delete(s.list.subscriptions, s); len(s.list.subscriptions) == 0 {
		delete(s.board.lists, s.list.listKey)
	}
}

// publish sends every list that changed to its subscribers.
func (b *Board) publish() {
	b.listsMu.Lock()
	defer b.listsMu.Unlock()
	now := b.elapsedHalfLives()
	for _, l := range b.lists {
		if !b.refresh(l) {
			continue
		}
		rooms := l.publishedRooms(now)
		for s := range l.subscriptions {
			select {
			case <-s.rooms:
			default:
			}
			s.rooms <- slices.Clone(rooms)
		}
	}
}

// refresh updates a list from the board and reports whether it changed. The caller holds
// listsMu.
func (b *Board) refresh(l *list) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	l.entries = l.by.stableList(l.entries, b.rankings[l.by].top(l.n), l.n, b.margin)
	rows := make([]row, len(l.entries))
	for i, e := range l.entries {
		rows[i] = e.row()
	}
	if slices.Equal(rows, l.rows) {
		return false
	}
	l.rows = rows
	return true
}

// publishedRooms returns the list that was last published. A new subscriber also receives
// this list, even if the board has changed since. So all subscribers have the same list, and
// publish sends the next list only if it differs from this list.
func (l *list) publishedRooms(now float64) []Room {
	rooms := make([]Room, len(l.rows))
	for i, r := range l.rows {
		rooms[i] = r.room(now)
	}
	return rooms
}

// finish closes the watcher, publishes the last lists and closes every subscription.
func (b *Board) finish() {
	if b.watcher != nil {
		_ = b.watcher.Close()
	}
	b.publish()
	b.listsMu.Lock()
	defer b.listsMu.Unlock()
	b.closed = true
	for _, l := range b.lists {
		for s := range l.subscriptions {
			s.close()
		}
	}
	close(b.done)
}
