package trending

// Popular returns the n rooms with the most connections, or all if there are fewer.
// The slice is the caller's.
func (b *Board) Popular(n int) []Room { return b.Top(Popular, n) }

// Trending returns the n rooms with the greatest heat, or all if there are fewer.
// The slice is the caller's.
func (b *Board) Trending(n int) []Room { return b.Top(Trending, n) }

// Top returns the first n rooms in that order, or all if there are fewer. The slice
// is the caller's. The board stands still meanwhile, for microseconds where n is a
// hundred, and seconds where it is a million. It panics on an order that does not exist.
func (b *Board) Top(by Order, n int) []Room {
	by.mustBeValid()
	b.mu.RLock()
	defer b.mu.RUnlock()
	now, top := b.now(), b.rankings[by].top(n)
	rooms := make([]Room, len(top))
	for i, s := range top {
		rooms[i] = s.line().room(now)
	}
	return rooms
}

// Len is the number of rooms on the board, so of those with the prefix that are not empty.
func (b *Board) Len() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.rooms)
}

// Places are where a room stands, counted from 1.
type Places struct {
	Popular  int `json:"popular"`
	Trending int `json:"trending"`
}

// Rank returns the room's places in both orders, and false if it is not on the board.
//
// It counts the rooms before it: microseconds for the first hundreds, tens of
// milliseconds for the last of a million, more in traffic. So it is for a room that
// somebody looks at, not for each of a list. The board goes on meanwhile, and the
// places may be off by as many rooms as moved; when nothing changes they are exact.
func (b *Board) Rank(room string) (Places, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s, ok := b.rooms[room]
	if !ok {
		return Places{}, false
	}
	pause := func() { b.mu.RUnlock(); b.mu.RLock() }
	var rank [orders]int
	for o := range b.rankings {
		before, ok := b.rankings[o].rank(s, pause)
		if !ok {
			return Places{}, false // it left during the pauses
		}
		rank[o] = 1 + before
	}
	return Places{Popular: rank[Popular], Trending: rank[Trending]}, true
}
