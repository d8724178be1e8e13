package trending

import "slices"

// Subscription receives the changes of one list. Create it with [Board.Subscribe].
//
// It holds at most one list, the newest. A subscriber that reads slowly or not at all
// delays nobody else, and misses only lists that were outdated before it read them. All
// its methods may be called from any goroutine.
type Subscription struct {
	board *Board
	list  *list
	// rooms has a capacity of one. Sends hold Board.listsMu, so that replacing the
	// unread list is safe.
	rooms chan []Room

	closed bool // protected by Board.listsMu
}

// listKey identifies a list. Subscriptions with the same key share a list, so that all
// of them receive the same rooms.
type listKey struct {
	by Order
	n  int
}

// list is the first rooms of an order, as subscribers receive them. Board.listsMu
// protects it.
type list struct {
	listKey
	entries       []*entry
	rows          []row // of the entries, as last published
	subscriptions map[*Subscription]struct{}
}

// Subscribe subscribes to the first n rooms in the given order. The current list is
// available in [Subscription.Rooms] when Subscribe returns. Another one follows, at most
// once in each interval of the engine, when one of these changed: the rooms of the list,
// their places, the occupancy of one of them, or the arrivals in one of them. A heat that
// only decays is not a change. If n is less than 1 every list is empty.
//
// Unlike the result of [Board.Top], the list does not flicker when rooms are nearly
// equal. A room is never listed before another that is ahead of it by more than the
// margin of [WithMargin]. Within the margin, rooms keep the order that they had, and
// rooms on the list stay on it. So a room passes another only if it is ahead by more than
// the margin, or together with a third room that is. A room that empties leaves the list
// immediately.
//
// While rooms change, a list costs O(n log n) in each interval, and a copy for each
// subscriber if the list changed. So limit the n that a client may ask for.
//
// Call [Subscription.Unsubscribe] when done. On a closed board the channel contains the
// list and is closed after it. Subscribe panics on an invalid order.
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
	s.rooms <- l.published(b.now())
	if b.closed {
		s.close()
	}
	return s
}

// Rooms returns the channel of the lists, which is the same at every call. In a list the
// first room is the highest. The receiver owns the slices. [Subscription.Unsubscribe]
// closes the channel; so do, after the last list, [Board.Close] and the engine's Close.
func (s *Subscription) Rooms() <-chan []Room { return s.rooms }

// Unsubscribe ends the subscription. When it returns, the channel is closed and empty.
// It may be called more than once.
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
	now := b.now()
	for _, l := range b.lists {
		if !b.refresh(l) {
			continue
		}
		rooms := l.published(now)
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
	l.entries = l.by.stable(l.entries, b.rankings[l.by].top(l.n), l.n, b.margin)
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

// published returns the list as last published, also to a new subscriber. The board may
// have changed since. If a new subscriber received the newer state and that change was
// undone before the next publish, the list would be unchanged and the new subscriber
// would keep an outdated one.
func (l *list) published(now float64) []Room {
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
