package cluster

import (
	"context"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/internal/core"
)

// RoomCounts is a room with the counts of the whole service.
type RoomCounts struct {
	Room string `json:"room"`
	occupancy.Occupancy
}

// Interested reports whether this node receives the counts of a room: Current, All and Watch of its
// engine then return the counts of the whole service. With [WithSharding], these are the rooms in
// which this process has connections, members or subscribers, or that a watcher has selected.
// Without it, or [WithEverything], they are all rooms. For another room, call
// [occupancy.Engine.Get]. If the interest has just begun, the counts arrive a moment later.
// Interested does not allocate.
func (n *Node) Interested(room string) bool {
	if n.Role == core.Mesh || n.Everything {
		return true
	}
	own := n.engine.Local(room)
	return own.Connections+own.PresenceMembers > 0 || n.link.Interested(room)
}

// Top returns the k rooms of the service with the most connections, in descending order, but at
// most 256 rooms. It is for lobbies on a node [WithSharding], whose engine does not have all rooms.
// It queries the aggregators, whose rankings are up to one heartbeat interval old. Without
// WithSharding, or [WithEverything], the engine has all rooms: then Top reads the engine.
//
// If ctx is done or the time of [WithGetTimeout] has passed before all aggregators have answered,
// or if the counts of a node are missing, Top returns the rooms that it knows and a
// [PartialError]. After Close, the error is [occupancy.ErrClosed].
func (n *Node) Top(ctx context.Context, k int) ([]RoomCounts, error) {
	k = max(k, 0)
	if n.ctx.Err() != nil {
		return nil, errClosed
	}
	if n.Role == core.Mesh || n.Everything {
		top := core.Largest(k, n.engine.All())
		n.mu.Lock()
		defer n.mu.Unlock()
		missing, err := n.core.MissingNodes(n.now())
		return n.top(top, missing, err)
	}
	var call *core.Top
	ended := n.query(ctx, func(done func()) { call = n.core.AskTop(k, done) })
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.top(n.core.ResultTop(call, ended, n.now()))
}

// top converts the result of Top.
func (n *Node) top(rooms []core.RoomCounts, missing []string, err error) ([]RoomCounts, error) {
	if n.ctx.Err() != nil {
		return nil, errClosed
	}
	all := make([]RoomCounts, len(rooms))
	for i, r := range rooms {
		all[i] = RoomCounts(r)
	}
	if err != nil {
		return all, &PartialError{Missing: missing, Err: err}
	}
	return all, nil
}
