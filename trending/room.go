package trending

import (
	"fmt"

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

// entry is a room on the board: a room that is not empty, or whose history is kept.
// Board.mu protects it.
type entry struct {
	row
	local  int32            // the count of this process, as last seen
	index  [numOrders]int32 // in the heap of each ranking, or noIndex
	queued bool             // in Board.reviews
}

// row is what a list shows of a room. Equal rows look equal at any time.
type row struct {
	name      string
	occupancy occupancy.Occupancy
	history   history
}

// growth explains the row's rank at the time now, in half-lives.
func (c *config) growth(r *row, now float64) (g growth) {
	fast, slow := r.history.at(now)
	g.arrivals = max(0, fast)
	g.usual = max(0, float64(c.count.of(r.occupancy))-slow)
	g.ratio = g.arrivals / (g.usual + c.minimum)
	g.trends = g.arrivals >= c.minimum && g.ratio >= minRatio
	return g
}

type growth struct {
	arrivals, usual, ratio float64
	trends                 bool
}

// room returns the row as it looks at the time now.
func (c *config) room(r *row, now float64) Room {
	g := c.growth(r, now)
	return Room{r.name, r.occupancy, g.arrivals, g.usual, g.ratio}
}
