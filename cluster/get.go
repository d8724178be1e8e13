package cluster

import (
	"context"

	"github.com/occupancy/occupancy"
)

// linkPeers implements [occupancy.Peers] for a Node.
type linkPeers Node

// Get queries the peers for their current counts of the room and returns the sum.
func (lp *linkPeers) Get(ctx context.Context, room string) (occupancy.Occupancy, error) {
	n := (*Node)(lp)
	ctx, cancel := context.WithTimeout(ctx, n.getTimeout)
	defer cancel()
	done := make(chan struct{})
	n.mu.Lock()
	call := n.core.Ask(room, func() { close(done) })
	n.mu.Unlock()
	n.wake()
	select {
	case <-done:
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
	defer n.wake() // the end of a query allows the next one
	n.mu.Lock()
	defer n.mu.Unlock()
	sum, missing, err := n.core.Result(call, ctx.Err(), n.now())
	switch {
	case n.ctx.Err() != nil: // checked while mu is locked, because shutdown removes the peers
		return occupancy.Occupancy{}, errClosed
	case err != nil:
		return sum, &PartialError{Missing: missing, Err: err}
	}
	return sum, nil
}

// wake wakes the goroutine of run, so that it publishes the next query.
func (n *Node) wake() {
	select {
	case n.asked <- struct{}{}:
	default:
	}
}
