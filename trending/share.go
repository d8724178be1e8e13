package trending

import (
	"math"
	"slices"

	"github.com/occupancy/occupancy"
)

// Activity is the history of a room, as boards exchange it: two sums of its changes, an
// arrival being +1 and a departure -1. Each change loses half its weight in a half-life in
// Fast, and in 24 half-lives in Slow.
type Activity struct {
	Room string  `json:"room"`
	Fast float64 `json:"fast"`
	Slow float64 `json:"slow"`
}

// History returns the activity of all rooms that have any, also of rooms that have emptied.
// A process that starts imports it from the process that it replaces, or from another node
// of its cluster. Then its board has the same trending rooms. To replace a process, call
// History before the clients are disconnected. History delays the board's updates, but no
// readers: it takes about a tenth of a second for a million rooms.
func (b *Board) History() []Activity {
	b.writing.Lock()
	defer b.writing.Unlock()
	now := b.now()
	var all []Activity
	for _, e := range b.rooms {
		if !b.negligible(&e.history, now) {
			fast, slow := e.history.at(now)
			all = append(all, Activity{e.name, fast, slow})
		}
	}
	return all
}

// Changes returns the arrivals and departures of this process since the last call, by room.
// The first call returns nothing. A node of a cluster sends the result to the other nodes, which
// import it. Then all boards count the arrivals of all nodes. Between two calls, the board
// remembers the rooms that changed.
func (b *Board) Changes() []Activity {
	b.writing.Lock()
	defer b.writing.Unlock()
	var all []Activity
	for room, n := range b.changes {
		all = append(all, Activity{room, n, n})
	}
	b.changes = map[string]float64{}
	return all
}

// Import adds activity of another board, which must have the same half-life and count. See
// [Board.Changes] and [Board.History]. If a node is lost, its clients will return to other
// nodes: import its last counts as departures. Activity with an invalid name or number is
// ignored.
func (b *Board) Import(all []Activity) {
	all = slices.DeleteFunc(slices.Clone(all), func(a Activity) bool {
		valid := math.Abs(a.Fast)+math.Abs(a.Slow) <= math.MaxInt32 // false for NaN
		return !valid || occupancy.ValidRoom(a.Room) != nil || !b.filter(a.Room)
	})
	b.writing.Lock()
	defer b.writing.Unlock()
	now := b.now()
	b.inSteps(len(all), func(i int) {
		a := all[i]
		e := b.rooms[a.Room]
		if e == nil {
			e = b.add(a.Room)
		}
		e.history.add(a.Fast, a.Slow, now)
		b.rank(e, now)
	})
	b.review(now)
	select {
	case b.imported <- struct{}{}:
	default: // imported already holds a token
	}
}
