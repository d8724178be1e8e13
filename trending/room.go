package trending

import (
	"fmt"
	"math"

	"github.com/occupancy/occupancy"
)

// Room is a room in a list. Arrivals, Usual and Ratio explain its place among the trending
// rooms. The documentation of the package defines them.
type Room struct {
	Name      string              `json:"name"`
	Occupancy occupancy.Occupancy `json:"occupancy"`
	Arrivals  float64             `json:"arrivals"` // recent arrivals, less those who left
	Usual     float64             `json:"usual"`    // the usual size of the room
	Ratio     float64             `json:"ratio"`    // Arrivals / (Usual + minimum)
}

// Order is the order of a list.
type Order int

// The orders. Rooms with equal values are sorted by name.
const (
	Popular  Order = iota // greatest count first, see [WithCount]
	Trending              // greatest Ratio first
)

const numOrders = 2

var orderNames = [numOrders]string{"popular", "trending"}

// String returns "popular" or "trending".
func (o Order) String() string {
	if o < 0 || o >= numOrders {
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

// entry is a room on the board: a room that is not empty, or whose history is kept. Its 64
// bytes are one cache line. Board.mu protects it.
type entry struct {
	row
	index [numOrders]int32 // in the heap of each ranking, or unranked or queued
}

// row contains the data of a Room. Equal rows give equal Rooms at any time.
type row struct {
	name    string
	history history
	counts  counts
	counted int32 // the count after the last change that the history contains
}

// counts are the counts of a room, indexed by Count. They are zero if the room is not
// listed.
type counts [3]int32

func toCounts(o occupancy.Occupancy) counts {
	limit := func(n int) int32 { return int32(min(n, math.MaxInt32)) }
	return counts{limit(o.Connections), limit(o.PresenceMembers), limit(o.Users)}
}

func (c counts) empty() bool { return c == counts{} }

// growth returns the numbers of a Room at the moment m, and whether the room trends if it is listed.
func (c *config) growth(r *row, m *moment) (arrivals, usual, ratio float64, trends bool) {
	fast, slow := r.history.at(m)
	arrivals = max(0, fast)
	usual = max(0, float64(r.counts[c.count])-slow)
	ratio = arrivals / (usual + c.minimum)
	return arrivals, usual, ratio, arrivals >= c.minimum && ratio >= minRatio
}

// room returns the row as it looks at the moment m.
func (c *config) room(r *row, m *moment) Room {
	arrivals, usual, ratio, _ := c.growth(r, m)
	o := occupancy.Occupancy{Connections: int(r.counts[Connections]), PresenceMembers: int(r.counts[PresenceMembers]), Users: int(r.counts[Users])}
	return Room{r.name, o, arrivals, usual, ratio}
}
