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

// apply updates the rankings. If initial is true, the changes are no arrivals or departures.
func (b *Board) apply(events []occupancy.RoomEvent, initial bool) {
	local := make([]int32, len(events))
	for i := range events {
		local[i] = int32(b.count.of(b.engine.Local(events[i].Room)))
		if !b.filter(events[i].Room) {
			events[i].Occupancy = occupancy.Occupancy{} // like an empty room, it is not listed
		}
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	now := b.now()
	b.inSteps(len(events), func(i int) { b.update(events[i], local[i], initial, now) })
	b.review(now)
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
func (b *Board) update(ev occupancy.RoomEvent, local int32, initial bool, now float64) {
	empty := ev.Occupancy == occupancy.Occupancy{}
	e := b.rooms[ev.Room]
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
	if change := float64(local - e.local); change != 0 && !initial {
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

// negligible reports whether an empty room with this history can be forgotten.
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
			if empty && (len(b.rooms)-b.listed > limit || b.negligible(&e.history, now)) {
				delete(b.rooms, e.name)
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
