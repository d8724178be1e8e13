package cluster

import (
	"errors"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/internal/core"
)

// run is the node's main loop. It passes one event at a time to the state machine, so
// messages are handled in the order in which the bus delivers them. While nothing changes,
// only heartbeats wake the loop.
func (n *Node) run() {
	timer := time.NewTimer(core.Never)
	for n.ctx.Err() == nil {
		next := n.tick()
		if !n.isReady() && n.core.Ready() {
			close(n.ready)
		}
		n.report()
		timer.Reset(next - n.now())
		select {
		case e, open := <-n.events:
			if !open { // the bus is closed
				n.events, e = nil, Disconnected
			}
			n.handleBusEvent(e)
			if n.aggregator != nil {
				n.aggregator.events.Send(e)
			}
		case m := <-n.inbox:
			n.receiveAll(m)
		case m := <-n.answers:
			n.receive(m)
		case changes, open := <-n.changes:
			if !open { // the engine is closed
				n.cancel()
				continue
			}
			n.update(func(now time.Duration) { n.core.Change(changes, now) })
			n.waiting.Add(-int64(len(changes)))
		case <-n.asked:
			n.update(func(time.Duration) {})
		case <-timer.C:
		case <-n.ctx.Done():
		}
	}
}

// maxWatchBatch is the maximum number of events that a Watcher returns at once. After a
// batch of this length, the Watcher may have more events.
const maxWatchBatch = 4096

// forwardChanges sends the changes of this process's counts to n.changes and then waits
// for the next flush. During this wait, the watcher collects the changes, each room once.
func (n *Node) forwardChanges(watch *occupancy.Watcher) {
	defer func() { _ = watch.Close() }()
	for {
		rooms, err := watch.Next(n.ctx)
		if err != nil {
			if errors.Is(err, occupancy.ErrClosed) {
				close(n.changes)
			}
			return
		}
		n.waiting.Add(int64(len(rooms)))
		changes := make([]core.Change, len(rooms))
		for i, e := range rooms {
			changes[i].RoomEvent = e
			changes[i].Entered, changes[i].Exited = n.link.UserChanges(e.Room)
			changes[i].Interested = n.Role == core.Client && n.link.Interested(e.Room)
		}
		select {
		case n.changes <- changes:
		case <-n.ctx.Done():
			return
		}
		if len(rooms) >= maxWatchBatch {
			continue // the watcher may have more changes that are due
		}
		select {
		case <-time.After(n.untilFlush(0)):
		case <-n.ctx.Done():
			return
		}
	}
}
