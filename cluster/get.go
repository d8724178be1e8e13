package cluster

import (
	"context"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/internal/core"
)

// linkPeers implements [occupancy.Peers] for a Node.
type linkPeers Node

// Get queries the peers for their current counts of the room and returns the sum.
func (lp *linkPeers) Get(ctx context.Context, room string) (occupancy.Occupancy, error) {
	n := (*Node)(lp)
	var call *core.Call
	ended := n.query(ctx, func(done func()) { call = n.core.Ask(room, done) })
	defer n.wake() // the end of a query allows the next one
	n.mu.Lock()
	defer n.mu.Unlock()
	sum, missing, err := n.core.Result(call, ended, n.now())
	switch {
	case n.ctx.Err() != nil: // checked while mu is locked, because shutdown removes the peers
		return occupancy.Occupancy{}, errClosed
	case err != nil:
		return sum, &PartialError{Missing: missing, Err: err}
	}
	return sum, nil
}

// query starts a query and waits for its end. The function ask is called with mu locked, and passes
// done to the state machine. If the node does not wait any longer before done is called, because
// ctx is done or the time of WithGetTimeout has passed, query returns the reason.
func (n *Node) query(ctx context.Context, ask func(done func())) (ended error) {
	ctx, cancel := context.WithTimeout(ctx, n.getTimeout)
	defer cancel()
	done := make(chan struct{})
	n.mu.Lock()
	ask(func() { close(done) })
	n.mu.Unlock()
	n.wake()
	select {
	case <-done:
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
	return ctx.Err()
}

// wake wakes the goroutine of run, so that it publishes the next query.
func (n *Node) wake() {
	select {
	case n.asked <- struct{}{}:
	default:
	}
}
