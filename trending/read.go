package trending

// Popular returns the n rooms with the most connections, or all rooms if n is greater.
// The caller owns the slice.
func (b *Board) Popular(n int) []Room { return b.Top(Popular, n) }

// Trending returns the n rooms with the greatest heat, or all rooms if n is greater.
// The caller owns the slice.
func (b *Board) Trending(n int) []Room { return b.Top(Trending, n) }

// Top returns the first n rooms in the given order, or all rooms if n is greater. The
// caller owns the slice. While Top reads the rooms, the board applies no changes. Top reads
// 100 rooms in microseconds, and a million rooms in seconds. Top panics on an invalid order.
func (b *Board) Top(by Order, n int) []Room {
	by.mustBeValid()
	b.mu.RLock()
	defer b.mu.RUnlock()
	now, top := b.elapsedHalfLives(), b.rankings[by].top(n)
	rooms := make([]Room, len(top))
	for i, e := range top {
		rooms[i] = e.row().room(now)
	}
	return rooms
}

// Len returns the number of rooms on the board. The board contains every room that is not
// empty and has the prefix of [WithPrefix].
func (b *Board) Len() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.rooms)
}

// Places are the places of a room in the two orders, counted from 1.
type Places struct {
	Popular  int `json:"popular"`
	Trending int `json:"trending"`
}

// Rank returns the room's places, or false if the room is not on the board.
//
// Rank counts the rooms that are ahead. This takes microseconds for one of the first few
// hundred rooms, and tens of milliseconds for the last of a million rooms, or longer under
// load. Do not call Rank for every room of a list. The board may be updated during the
// call, so the places may be wrong by the number of rooms that moved.
func (b *Board) Rank(room string) (Places, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	e, ok := b.rooms[room]
	if !ok {
		return Places{}, false
	}
	pause := func() { b.mu.RUnlock(); b.mu.RLock() }
	var places [numOrders]int
	for o := range b.rankings {
		ahead, ok := b.rankings[o].rank(e, pause)
		if !ok {
			return Places{}, false // the room emptied during a pause
		}
		places[o] = 1 + ahead
	}
	return Places{Popular: places[Popular], Trending: places[Trending]}, true
}
