package occupancyprom

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/occupancy/occupancy"
)

// Room is a room and its occupancy, for [WithTopRooms].
type Room struct {
	Name      string
	Occupancy occupancy.Occupancy
}

// MaxTopRooms is the maximum k of [WithTopRooms].
const MaxTopRooms = 1000

// WithTopRooms adds the occupancy of up to k rooms, labelled with their names. Each scrape
// calls top, which returns the most important rooms first. top should be fast, like
// Popular of a trending.Board, and should not walk all rooms. The collector ignores rooms
// after the first k, and repeated names.
//
// Prometheus stores a series for every room that was ever a top room. If the top rooms
// change often, use a small k. WithTopRooms panics if k is not between 1 and
// [MaxTopRooms], or if top is nil.
func WithTopRooms(k int, top func(k int) []Room) Option {
	if k <= 0 || k > MaxTopRooms {
		panic(fmt.Sprintf("occupancyprom: WithTopRooms: k is %d, must be 1 to %d", k, MaxTopRooms))
	}
	if top == nil {
		panic("occupancyprom: WithTopRooms: top is nil")
	}
	return func(c *Collector) { c.top = topRooms{k, top} }
}

type topRooms struct {
	k   int
	top func(k int) []Room // nil if there are no series for rooms
}

var (
	roomConnectionsDesc = prometheus.NewDesc("occupancy_room_connections",
		"Connections in a top room.", []string{"room"}, nil)
	roomMembersDesc = prometheus.NewDesc("occupancy_room_presence_members",
		"Presence members in a top room.", []string{"room"}, nil)
	roomUsersDesc = prometheus.NewDesc("occupancy_room_users",
		"Users in a top room, if the engine counts users.", []string{"room"}, nil)
)

func (t topRooms) describe(descs chan<- *prometheus.Desc) {
	if t.top != nil {
		descs <- roomConnectionsDesc
		descs <- roomMembersDesc
		descs <- roomUsersDesc
	}
}

func (t topRooms) collect(out chan<- prometheus.Metric) {
	if t.top == nil {
		return
	}
	// A label that is not UTF-8, or a repeated series, makes the whole scrape fail. The
	// engine's names are safe, but top may return any string.
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
		out <- prometheus.MustNewConstMetric(roomUsersDesc, prometheus.GaugeValue, float64(r.Occupancy.Users), name)
	}
}
