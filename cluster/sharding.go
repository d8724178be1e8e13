package cluster

import (
	"context"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/internal/core"
)

// RoomCounts is the counts of the whole service in a room.
type RoomCounts struct {
	Room string `json:"room"`
	occupancy.Occupancy
}

// Top returns the rooms of the service with the most connections, in descending order: n rooms, or
// 256 if n is greater, or fewer if there are not so many. It is for lobbies on a node
// [WithSharding], whose engine does not have all rooms. It queries the aggregators, whose
// rankings are up to one heartbeat interval old. Without WithSharding, and [WithEverything], it
// reads all rooms of this node's engine.
//
// If an aggregator does not answer until ctx is done or the time of [WithGetTimeout] has passed,
// or if the counts of a node are missing, Top returns the rooms that it knows and a
// [PartialError]. After Close, the error is [occupancy.ErrClosed].
func (n *Node) Top(ctx context.Context, rooms int) ([]RoomCounts, error) {
	rooms = max(rooms, 0)
	if n.ctx.Err() != nil {
		return nil, errClosed
	}
	if n.Role == core.Mesh || n.Everything {
		top := core.Largest(rooms, n.engine.All())
		n.mu.Lock()
		defer n.mu.Unlock()
		missing, err := n.core.MissingNodes(n.now())
		return n.top(top, missing, err)
	}
	ctx, cancel := context.WithTimeout(ctx, n.getTimeout)
	defer cancel()
	done := make(chan struct{})
	n.mu.Lock()
	call := n.core.AskTop(rooms, func() { close(done) })
	n.mu.Unlock()
	n.wake()
	select {
	case <-done:
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.top(n.core.ResultTop(call, ctx.Err(), n.now()))
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
