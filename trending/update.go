package trending

import (
	"maps"

	"github.com/occupancy/occupancy"
)

// review is the time at which an entry must be visited, in half-lives.
type review struct {
	entry *entry
	due   float64
}

const (
	reviewEvery  = 1.0 / 8 // half-lives between two visits of an entry
	refreshes    = 64      // times that the lists are compared in a half-life while there are reviews
	minHistories = 4096    // the least number of empty rooms whose histories are kept
	stepSize     = 16      // rooms that are written before mu is unlocked for readers
)

// apply updates the rankings. If initial is true, clients that connect are not arrivals.
func (b *Board) apply(events []occupancy.RoomEvent, initial bool) {
	local := make([]int32, len(events))
	for i := range events {
		local[i] = int32(b.count.of(events[i].Occupancy) - b.remote(events[i].Room))
		if !b.filter(events[i].Room) {
			events[i].Occupancy = occupancy.Occupancy{} // like an empty room, it is not listed
		}
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	if !initial {
		b.away = nil
	}
	// In a loop of their own, the cache misses of several lookups overlap.
	entries := make([]*entry, len(events))
	for i := range events {
		entries[i] = b.rooms[events[i].Room]
	}
	now := b.now()
	b.inSteps(len(events), func(i int) { b.update(entries[i], events[i], local[i], initial, now) })
	b.review(now)
}

// remote returns the count of the other nodes in a room. The count of this process may have
// changed since the room's last event, and the change may be undone without another event. So
// the board subtracts the others' count from that of the event.
func (b *Board) remote(room string) int {
	local := b.engine.Local(room)
	for {
		total, again := b.engine.Current(room), b.engine.Local(room)
		if local == again {
			return b.count.of(total) - b.count.of(local)
		}
		local = again
	}
}

// inSteps calls f for 0 to n-1. It unlocks mu after every few calls.
func (b *Board) inSteps(n int, f func(i int)) {
	for i := 0; i < n; {
		b.mu.Lock()
		for range min(stepSize, n-i) {
			f(i)
			i++
		}
		b.mu.Unlock()
	}
}

// update applies the engine's event. The occupancy is the total, and the arrivals are those
// of this process.
func (b *Board) update(e *entry, ev occupancy.RoomEvent, local int32, initial bool, now float64) {
	empty := ev.Occupancy == occupancy.Occupancy{}
	if e == nil {
		if empty {
			return
		}
		e = b.add(ev.Room)
	}
	switch wasEmpty := e.occupancy == (occupancy.Occupancy{}); {
	case wasEmpty && !empty:
		b.listed++
		b.peak = max(b.peak, b.listed)
	case !wasEmpty && empty:
		b.listed--
	}
	e.occupancy = ev.Occupancy
	change := local - e.local
	if initial { // only clients that return count
		away := b.away[e.name]
		change = min(change, away)
		if change != 0 {
			b.away[e.name] = away - change
		}
	}
	if change := float64(change); change != 0 {
		e.history.add(change, change, now)
		if b.changes != nil {
			b.changes[e.name] += change
		}
	}
	e.local = local
	b.rank(e, now)
}

func (b *Board) add(room string) *entry {
	e := &entry{row: row{name: room}, index: [numOrders]int32{noIndex, noIndex}}
	b.rooms[room] = e
	b.mapSize = max(b.mapSize, len(b.rooms))
	return e
}

// rank moves the entry to its place in both rankings. An entry that trends is visited again
// later, to bring its key up to date or to remove it from the ranking. So is an empty room,
// to forget it. The other entries change only with their events. An empty room is not
// forgotten at once, because Import may come before the event with the room's counts.
func (b *Board) rank(e *entry, now float64) {
	empty := e.occupancy == occupancy.Occupancy{}
	listed := !empty && e.occupancy.Users >= b.minUsers
	g := b.growth(&e.row, now)
	if listed {
		b.rankings[Popular].set(e, float64(b.count.of(e.occupancy)))
	} else {
		b.rankings[Popular].remove(e)
	}
	trends := listed && g.trends
	if trends {
		b.rankings[Trending].set(e, bound(g.ratio, now))
	} else {
		b.rankings[Trending].remove(e)
	}
	if !e.queued && (empty || trends) {
		e.queued = true
		b.reviews = append(b.reviews, review{e, now + reviewEvery})
	}
}

// negligible reports whether this history can be forgotten.
func (c *config) negligible(h *history, now float64) bool {
	fast, slow := h.at(now)
	return max(fast, -fast, slow, -slow) < c.minimum/50
}

// review visits the entries that are due. If the histories of too many empty rooms are kept,
// it also forgets those that were visited longest ago.
func (b *Board) review(now float64) {
	limit := max(b.peak, minHistories)
	next := 0
	for next < len(b.reviews) && (b.reviews[next].due <= now || len(b.rooms)-b.listed > limit) {
		b.inSteps(min(stepSize, len(b.reviews)-next), func(int) {
			e := b.reviews[next].entry
			next++
			e.queued = false
			empty := e.occupancy == occupancy.Occupancy{}
			forgettable := e.local == 0 && b.negligible(&e.history, now)
			if empty && (forgettable || len(b.rooms)-b.listed > limit) {
				delete(b.rooms, e.name)
				delete(b.away, e.name)
				return
			}
			b.rank(e, now)
		})
	}
	if b.reviews = b.reviews[next:]; len(b.reviews) == 0 {
		b.reviews = nil
	}
	if b.mapSize > minCapacity && len(b.rooms) <= b.mapSize/4 {
		rooms := make(map[string]*entry, len(b.rooms))
		maps.Copy(rooms, b.rooms) // maps.Clone would keep the capacity
		b.mu.Lock()
		b.rooms, b.mapSize = rooms, len(rooms)
		b.mu.Unlock()
	}
}

// reviewing reports whether there are reviews.
func (b *Board) reviewing() bool {
	b.writing.Lock()
	defer b.writing.Unlock()
	return len(b.reviews) > 0
}
