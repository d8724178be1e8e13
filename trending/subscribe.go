package trending

import (
	"slices"
	"time"
)

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
	rows          []row // as last published
	subscriptions map[*Subscription]struct{}
}

// Subscribe subscribes to the first n rooms in the given order, as [Board.Top] returns them.
// When Subscribe returns, the current list is available in [Subscription.Rooms]. A new list
// follows when the list contains different rooms or places, or when the counts of a listed
// room change, but at most once in each interval of the engine. Trending rooms also change
// places, and leave the list, while nothing happens. Such a change follows within a 64th of
// the half-life. If n is less than 1, every list is empty.
//
// While rooms change, updating a list takes O(n log n) in each interval. If the list
// changed, each subscriber receives a copy. So limit the n that clients can choose.
//
// Call [Subscription.Unsubscribe] when done. If the board is closed, the channel contains
// the last list and is closed. Subscribe panics on an invalid order.
func (b *Board) Subscribe(by Order, n int) *Subscription {
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
	s.rooms <- b.publishedRooms(l)
	if b.closed {
		s.close()
	}
	return s
}

// Rooms returns the channel of the lists. Every call returns the same channel. The receiver
// owns the slices. [Subscription.Unsubscribe] closes the channel. [Board.Close] and the
// engine's Close send the last list and then close it.
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

// close closes the channel and removes the subscription. The caller holds listsMu.
func (s *Subscription) close() {
	if _, open := s.list.subscriptions[s]; !open {
		return
	}
	close(s.rooms)
	if delete(s.list.subscriptions, s); len(s.list.subscriptions) == 0 {
		delete(s.board.lists, s.list.listKey)
	}
}

// publish sends every list that changed to its subscribers.
func (b *Board) publish() {
	defer b.addBusy(time.Now())
	b.listsMu.Lock()
	defer b.listsMu.Unlock()
	for _, l := range b.lists {
		if !b.refresh(l) {
			continue
		}
		rooms := b.publishedRooms(l)
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
	top := b.top(l.by, l.n, b.now())
	rows := make([]row, len(top))
	for i, e := range top {
		rows[i] = e.row
	}
	if slices.Equal(rows, l.rows) {
		return false
	}
	l.rows = rows
	return true
}

// publishedRooms returns the list that was last published. A new subscriber also receives it,
// even if the board has changed since, because publish sends only a list that differs from it.
func (b *Board) publishedRooms(l *list) []Room {
	now, rooms := b.now(), make([]Room, len(l.rows))
	for i := range l.rows {
		rooms[i] = b.room(&l.rows[i], now)
	}
	return rooms
}

// finish publishes the last lists and closes every subscription.
func (b *Board) finish() {
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
