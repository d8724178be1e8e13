package occupancyprom

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/occupancy/occupancy"
)

// Room is a room that gets series of its own.
type Room struct {
	Name      string
	Occupancy occupancy.Occupancy
}

// MaxTopRooms is the most that [WithTopRooms] allows.
const MaxTopRooms = 1000

// WithTopRooms adds the occupancy of k rooms, labelled with their names. At each scrape
// top says which, the best first: a function that knows without a walk over all rooms,
// like Popular of a trending.Board. Whatever it returns, no more than k are exposed, and
// a name only once.
//
// Prometheus keeps a series for every room that ever was among them: where names come and
// go, take few, or none. WithTopRooms panics unless 0 < k <= [MaxTopRooms] and top is
// not nil.
func WithTopRooms(k int, top func(k int) []Room) Option {
	if k <= 0 || k > MaxTopRooms {
		panic(fmt.Sprintf("occupancyprom: %d top rooms, want 1 to %d", k, MaxTopRooms))
	}
	if top == nil {
		panic("occupancyprom: no function that says which the top rooms are")
	}
	return func(c *Collector) { c.top = topRooms{k, top} }
}

type topRooms struct {
	k   int
	top func(k int) []Room // nil: none
}

var (
	roomConnectionsDesc = prometheus.NewDesc("occupancy_room_connections",
		"Connections in one of the top rooms.", []string{"room"}, nil)
	roomMembersDesc = prometheus.NewDesc("occupancy_room_presence_members",
		"Presence members in one of the top rooms.", []string{"room"}, nil)
)

func (t topRooms) describe(descs chan<- *prometheus.Desc) {
	if t.top != nil {
		descs <- roomConnectionsDesc
		descs <- roomMembersDesc
	}
}

func (t topRooms) collect(out chan<- prometheus.Metric) {
	if t.top == nil {
		return
	}
	// A label that is not UTF-8 or a series that comes twice would fail the whole
	// scrape. Names out of an engine are neither, but these come from a function.
	seen := make(map[string]bool, t.k)
	for _, r := range t.top(t.k) {
		if len(seen) == t.k {
			return
		}
		name := strings.ToValidUTF8(r.Name, "\ufffd")
		if seen[name] {
			continue
		}
		seen[name] = true
		out <- prometheus.MustNewConstMetric(roomConnectionsDesc, prometheus.GaugeValue, float64(r.Occupancy.Connections), name)
		out <- prometheus.MustNewConstMetric(roomMembersDesc, prometheus.GaugeValue, float64(r.Occupancy.PresenceMembers), name)
	}
}
