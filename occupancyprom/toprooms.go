package occupancyprom

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

// MaxTopRooms is the maximum k of [WithTopRooms].
const MaxTopRooms = 1000

// WithTopRooms adds the occupancy of the k most popular rooms of the board, labelled with
// their names. The board must be of the same engine.
//
// Prometheus stores a series for every room that was ever a top room. If the top rooms
// change often, use a small k. WithTopRooms panics if k is not between 1 and
// [MaxTopRooms], or if the board is nil.
func WithTopRooms(k int, board *trending.Board) Option {
	if k <= 0 || k > MaxTopRooms {
		panic(fmt.Sprintf("occupancyprom: WithTopRooms: k is %d, must be 1 to %d", k, MaxTopRooms))
	}
	if board == nil {
		panic("occupancyprom: WithTopRooms: nil board")
	}
	return func(c *collector) { c.top = topRooms{k, board} }
}

type topRooms struct {
	k     int
	board *trending.Board // nil if there are no series for rooms
}

func roomDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("occupancy_room_"+name, help+" Do not add up the nodes.", []string{"room"}, nil)
}

var (
	roomConnectionsDesc = roomDesc("connections", "Connections of the service in a top room.")
	roomMembersDesc     = roomDesc("presence_members", "Presence members of the service in a top room.")
	roomUsersDesc       = roomDesc("users", "Users of the service in a top room, if the engine counts users.")
)

func (t topRooms) describe(descs chan<- *prometheus.Desc) {
	if t.board != nil {
		descs <- roomConnectionsDesc
		descs <- roomMembersDesc
		descs <- roomUsersDesc
	}
}

func (t topRooms) collect(e *occupancy.Engine, out chan<- prometheus.Metric) {
	if t.board == nil {
		return
	}
	for _, r := range t.board.Popular(t.k) {
		o := e.Current(r.Name) // the board may lag behind
		out <- prometheus.MustNewConstMetric(roomConnectionsDesc, prometheus.GaugeValue, float64(o.Connections), r.Name)
		out <- prometheus.MustNewConstMetric(roomMembersDesc, prometheus.GaugeValue, float64(o.PresenceMembers), r.Name)
		out <- prometheus.MustNewConstMetric(roomUsersDesc, prometheus.GaugeValue, float64(o.Users), r.Name)
	}
}
