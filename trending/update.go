package trending

import (
	"maps"
	"time"

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

	expectTime = 10 * time.Second // after it, the parts of Expect are forgotten
)

// apply updates the rankings. If initial is true, clients that connect are not arrivals.
func (b *Board) apply(events []occupancy.RoomEvent, initial bool) {
	defer b.addBusy(time.Now())
	listed := make([]bool, len(events))
	for i := range events {
		listed[i] = b.filter(events[i].Room)
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	if !initial {
		b.warm = nil
	}
	if b.expected != nil && time.Since(b.expectedAt) > expectTime {
		b.expected = nil
	}
	// In a loop of their own, the cache misses of several lookups overlap.
	entries := make([]*entry, len(events))
	for i := range events {
		entries[i] = b.rooms[events[i].Room]
	}
	now := b.now()
	b.inSteps(len(events), func(i int) { b.update(entries[i], events[i], listed[i], now) })
	b.review(now)
}

// applyRest applies the changes that the watcher had not returned when it was closed.
func (b *Board) applyRest() {
	var rest []occupancy.RoomEvent
	add := func(room string, o occupancy.Occupancy) {
		rest = append(rest, occupancy.RoomEvent{Room: room, Event: occupancy.Event{Occupancy: o}})
	}
	b.writing.Lock()
	seen := 0
	for room, o := range b.engine.All() {
		e := b.rooms[room]
		if e != nil && !e.counts.empty() {
			seen++
		}
		if e == nil && b.filter(room) || e != nil && e.counts != toCounts(o) {
			add(room, o)
		}
	}
	if seen < b.listed { // some rooms have emptied
		for room, e := range b.rooms {
			if o := b.engine.Current(room); o == (occupancy.Occupancy{}) && !e.counts.empty() {
				add(room, o)
			}
		}
	}
	b.writing.Unlock()
	b.apply(rest, b.warming())
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

// update applies an event. On the board, a room that is not listed is empty.
func (b *Board) update(e *entry, ev occupancy.RoomEvent, listed bool, now *moment) {
	expected := b.expected[ev.Room]
	delete(b.expected, ev.Room)
	total := toCounts(ev.Occupancy)
	counted := total[b.count]
	if !listed {
		total = counts{}
	}
	if e == nil {
		if total.empty() {
			return
		}
		e = b.add(ev.Room)
	}
	switch wasEmpty := e.counts.empty(); {
	case wasEmpty && !total.empty():
		b.listed++
		b.peak = max(b.peak, b.listed)
	case !wasEmpty && total.empty():
		b.listed--
	}
	e.counts = total
	change := counted - e.counted - expected
	e.counted = counted
	if b.warm != nil && change != 0 { // in the warm-up, only clients that return count
		w := b.warm[e.name]
		ignored := max(0, change-w.away)
		change -= ignored
		b.warm[e.name] = warmRoom{w.away - change, w.ignored + ignored}
	}
	if change != 0 {
		e.history.add(float64(change), float64(change), now)
	}
	b.rank(e, now)
}

func (b *Board) add(room string) *entry {
	e := &entry{row: row{name: room}, index: [numOrders]int32{unranked, unranked}}
	b.rooms[room] = e
	b.mapSize = max(b.mapSize, len(b.rooms))
	return e
}

// rank moves the entry to its place in both rankings. An entry that trends is visited again
// later, to bring its key up to date or to remove it from the ranking. So is an empty room,
// to forget it. The other entries change only with their events.
func (b *Board) rank(e *entry, now *moment) {
	listed := !e.counts.empty() && int(e.counts[Users]) >= b.minUsers
	_, _, ratio, trends := b.growth(&e.row, now)
	trends = trends && listed
	if e.index[Trending] == unranked && (trends || e.counts.empty()) {
		e.index[Trending] = queued
		b.reviews = append(b.reviews, review{e, now.now + reviewEvery})
	}
	b.rankings[Popular].set(e, float64(e.counts[b.count]), listed)
	var key float64
	if trends {
		key = bound(ratio, now.now)
	}
	b.rankings[Trending].set(e, key, trends)
}

// review visits the entries that are due. If the histories of too many empty rooms are kept,
// it also forgets those that were visited longest ago.
func (b *Board) review(now *moment) {
	limit := max(b.peak, minHistories)
	next := 0
	due := func() bool {
		return next < len(b.reviews) && (b.reviews[next].due <= now.now || len(b.rooms)-b.listed > limit)
	}
	for due() {
		b.inSteps(stepSize, func(int) {
			if !due() {
				return
			}
			e := b.reviews[next].entry
			next++
			forgettable := e.counted == 0 && b.negligible(&e.history, now)
			if e.counts.empty() && (forgettable || len(b.rooms)-b.listed > limit) {
				delete(b.rooms, e.name)
				delete(b.warm, e.name)
				return
			}
			b.rankings[Trending].set(e, 0, false)
			e.index[Trending] = unranked
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
