package trending

import (
	"fmt"

	"github.com/occupancy/occupancy"
)

// Room is a room as a list shows it.
type Room struct {
	Name      string              `json:"name"`
	Occupancy occupancy.Occupancy `json:"occupancy"`
	// Heat is what the room's arrivals were worth when the list was made.
	Heat float64 `json:"heat"`
}

// Order is what a list of rooms goes by.
type Order int

// The orders. Rooms that are equal follow each other by name.
const (
	Popular  Order = iota // most connections first
	Trending              // greatest heat first
)

const orders = 2

var orderNames = [orders]string{"popular", "trending"}

// String is the order's name, "popular" or "trending".
func (o Order) String() string {
	if !o.valid() {
		return fmt.Sprintf("Order(%d)", int(o))
	}
	return orderNames[o]
}

// ParseOrder finds the order of that name, for flags and query parameters.
func ParseOrder(name string) (Order, error) {
	for o, n := range orderNames {
		if n == name {
			return Order(o), nil
		}
	}
	return 0, fmt.Errorf("trending: no order %q", name)
}

func (o Order) valid() bool { return 0 <= o && o < orders }

func (o Order) mustBeValid() {
	if !o.valid() {
		panic("trending: " + o.String() + " does not exist")
	}
}

// standing is a room on the board. Board.mu protects it.
type standing struct {
	name        string
	connections int32
	members     int32
	warmth      warmth
	at          [orders]int32 // in each ranking; gone where it left the board
}

const gone = -1

// line is what a list says of a room. It changes with what happens in the room, and
// not with time.
type line struct {
	name      string
	occupancy occupancy.Occupancy
	warmth    warmth
}

func (s *standing) line() line {
	o := occupancy.Occupancy{Connections: int(s.connections), PresenceMembers: int(s.members)}
	return line{s.name, o, s.warmth}
}

func (l line) room(now float64) Room {
	return Room{Name: l.name, Occupancy: l.occupancy, Heat: l.warmth.heat(now)}
}

// key is what o compares, the greater first.
func (s *standing) key(o Order) float64 {
	if o == Popular {
		return float64(s.connections)
	}
	return float64(s.warmth)
}
