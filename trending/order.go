package trending

import (
	"fmt"

	"github.com/occupancy/occupancy"
)

// Room is a room in a list.
type Room struct {
	Name      string              `json:"name"`
	Occupancy occupancy.Occupancy `json:"occupancy"`
	// Heat is the room's heat when the list was made.
	Heat float64 `json:"heat"`
}

// Order is the order of a list.
type Order int

// The orders. Rooms with equal values are sorted by name.
const (
	Popular  Order = iota // most connections first
	Trending              // greatest heat first
)

const numOrders = 2

var orderNames = [numOrders]string{"popular", "trending"}

// String returns "popular" or "trending".
func (o Order) String() string {
	if !o.valid() {
		return fmt.Sprintf("Order(%d)", int(o))
	}
	return orderNames[o]
}

// ParseOrder returns the order with the given name, for flags and query parameters.
func ParseOrder(name string) (Order, error) {
	for o, n := range orderNames {
		if n == name {
			return Order(o), nil
		}
	}
	return 0, fmt.Errorf("trending: no order named %q: want popular or trending", name)
}

func (o Order) valid() bool { return 0 <= o && o < numOrders }

func (o Order) mustBeValid() {
	if !o.valid() {
		panic("trending: invalid order " + o.String())
	}
}

// entry is a room on the board. Board.mu protects it.
type entry struct {
	name        string
	connections int32
	members     int32
	score       score
	index       [numOrders]int32 // in the heap of each ranking, or noIndex
}

// noIndex is the index of an entry that was removed from the ranking.
const noIndex = -1

// key returns the entry's value in the order o. The entry with the greatest key is first.
func (e *entry) key(o Order) float64 {
	if o == Popular {
		return float64(e.connections)
	}
	return float64(e.score)
}

// row is one room of a subscribed list. It contains the score and not the heat, because
// the score does not change as time passes.
type row struct {
	name      string
	occupancy occupancy.Occupancy
	score     score
}

func (e *entry) row() row {
	o := occupancy.Occupancy{Connections: int(e.connections), PresenceMembers: int(e.members)}
	return row{e.name, o, e.score}
}

func (r row) room(now float64) Room {
	return Room{Name: r.name, Occupancy: r.occupancy, Heat: r.score.heat(now)}
}
