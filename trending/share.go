package trending

import (
	"math"
	"time"

	"github.com/occupancy/occupancy"
)

// History returns what the board remembers of each room, also of rooms that have emptied: two
// sums of the room's changes, and the count that results from these changes. An arrival is +1
// and a departure -1. Each change loses half its weight in a half-life in the first sum, and in
// 24 half-lives in the second. complete reports whether the warm-up has ended.
//
// History takes about 0.2 seconds for a million rooms. Other goroutines do not wait meanwhile.
func (b *Board) History() (rooms map[string][3]float64, complete bool) {
	b.writing.Lock()
	defer b.writing.Unlock()
	now := b.now()
	rooms = map[string][3]float64{}
	visited := 0
	for name, e := range b.rooms {
		if visited++; visited%512 == 0 { // other goroutines can change the map now
			b.writing.Unlock()
			b.writing.Lock()
		}
		if !b.negligible(&e.history, now) {
			fast, slow := e.history.at(now)
			rooms[name] = [3]float64{fast, slow, float64(e.counted + b.expected[name])}
		}
	}
	return rooms, b.warm == nil || !b.warming()
}

// Import replaces what the board remembers of these rooms with the result of [Board.History]
// of another board, which must have the same half-life and count. Numbers that no board can
// have, and invalid names, are ignored.
//
// A process that replaces another one imports the history that the other process saved before
// its clients were disconnected. It sets complete to false, because its clients will return.
//
// If complete is true, the other board counts the same clients, because both engines are
// linked. Import then also adds the changes that only one of the two boards has counted so
// far, and ends the warm-up. Package cluster imports the history of another node in this way.
func (b *Board) Import(rooms map[string][3]float64, complete bool) {
	names := make([]string, 0, len(rooms))
	for name, r := range rooms {
		valid := math.Abs(r[0])+math.Abs(r[1])+math.Abs(r[2]) <= math.MaxInt32 // false for NaN
		if valid && occupancy.ValidRoom(name) == nil && b.filter(name) {
			names = append(names, name)
		}
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	now := b.now()
	b.inSteps(len(names), func(i int) {
		e := b.rooms[names[i]]
		if e == nil {
			e = b.add(names[i])
		}
		r := rooms[e.name]
		e.history = history{}
		e.history.add(r[0], r[1], now)
		if complete {
			later := float64(e.counted+b.expected[e.name]) - r[2]
			e.history.add(later, later, now)
			delete(b.warm, e.name)
		}
		b.rank(e, now)
	})
	if complete {
		for name, w := range b.warm { // the other board has no changes of these rooms
			if e := b.rooms[name]; e != nil && w.ignored != 0 {
				b.inSteps(1, func(int) {
					e.history.add(float64(w.ignored), float64(w.ignored), now)
					b.rank(e, now)
				})
			}
		}
		b.warm = nil
	}
	b.review(now)
	b.listsChanged()
}

// Expect announces that the engine's counts will increase by these parts because another
// node is linked: the increase is not an arrival. If the counts of this node were removed
// before, because it was lost, away is the time since then, and the board no longer counts
// the removal as departures. Otherwise away is 0.
//
// Call Expect before [occupancy.Remote.Set]. Package cluster does so if the board was
// passed to WithTrending. A part that the engine does not count within ten seconds is
// forgotten. If the board counts users and a user is on both nodes, Expect announces this
// user but the count does not increase: the board then counts a departure.
func (b *Board) Expect(parts []occupancy.Part, away time.Duration) {
	b.writing.Lock()
	defer b.writing.Unlock()
	now := b.now()
	if b.expected == nil {
		b.expected = map[string]int32{}
	}
	b.expectedAt = time.Now()
	b.inSteps(len(parts), func(i int) {
		n := toCounts(parts[i].Occupancy)[b.count]
		b.expected[parts[i].Room] += n
		if e := b.rooms[parts[i].Room]; e != nil && away > 0 {
			age := float64(away) / float64(b.halfLife)
			e.history.add(float64(n)*math.Exp2(-age), float64(n)*math.Exp2(-age/slowFactor), now)
			b.rank(e, now)
		}
	})
}
