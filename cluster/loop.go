package cluster

import (
	"context"
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
		timer.Reset(n.tick() - n.now())
		select {
		case e, open := <-n.events:
			n.handleBusEvent(e, open)
		case m := <-n.inbox:
			n.receive(m)
			n.handleBacklog()
		case m := <-n.answers:
			n.receive(m)
		case changes, open := <-n.changes:
			if !open { // the engine is closed
				n.cancel()
				continue
			}
			n.update(func(time.Duration) { n.core.Change(changes) })
			n.waiting.Add(-int64(len(changes)))
		case <-n.asked:
			n.update(func(time.Duration) {})
		case <-timer.C:
		case <-n.ctx.Done():
		}
	}
}

// tick handles the timers that are due, and returns the time of the next one.
func (n *Node) tick() time.Duration {
	// If a check of the leases is late, first handle the heartbeats that already wait in the
	// inbox. Only this goroutine changes core, so it can read core without mu.
	for i := len(n.inbox); i > 0 && n.now() > n.core.CheckAt(); i-- {
		n.receive(<-n.inbox)
	}
	n.runTimers()
	if !n.isReady() && n.core.Ready() {
		close(n.ready)
	}
	n.report()
	return n.core.Deadline()
}

// runTimers handles the timers that are due.
func (n *Node) runTimers() {
	if n.now() >= n.core.Deadline() {
		n.update(func(now time.Duration) { n.core.Tick(now, n.bus.MaxPayload()) })
	}
}

func (n *Node) handleBusEvent(e BusEvent, open bool) {
	if !open { // the bus is closed
		n.events, e = nil, Disconnected
	}
	n.update(func(now time.Duration) {
		switch e {
		case Connected, Disconnected:
			n.core.SetConnected(e == Connected, now)
		case Lossy:
			n.core.SetLossy(now)
		}
	})
}

func (n *Node) receive(m Message) {
	n.update(func(now time.Duration) { n.core.Receive(core.Kind(m.Subject.Kind), m.Payload, now) })
}

// handleBacklog handles the waiting messages if the inbox is more than half full:
// heartbeats first, so that no lease expires because this node is slow.
func (n *Node) handleBacklog() {
	waiting := len(n.inbox)
	if waiting <= cap(n.inbox)/2 {
		return
	}
	n.update(func(time.Duration) { n.core.SetOverloaded(true) })
	rest := make([]Message, 0, waiting)
	for range waiting {
		if m := <-n.inbox; m.Subject.Kind == KindHeartbeat {
			n.receive(m)
		} else {
			rest = append(rest, m)
		}
	}
	for _, m := range rest {
		n.runTimers()
		n.receive(m)
	}
	n.update(func(time.Duration) { n.core.SetOverloaded(len(n.inbox) > cap(n.inbox)/2) })
}

// update changes the state machine, and then performs its outputs.
func (n *Node) update(change func(now time.Duration)) {
	n.mu.Lock()
	change(n.now())
	n.mu.Unlock()
	n.perform(n.ctx)
}

// perform publishes the messages of the state machine and closes its tables. Publishing can
// take a long time, so mu is not locked meanwhile.
func (n *Node) perform(ctx context.Context) {
	n.mu.Lock()
	messages, tables := n.core.Take()
	n.mu.Unlock()
	if len(tables) > 0 {
		go func() { // a table can have a million rooms
			for _, t := range tables {
				_ = t.Close()
			}
		}()
	}
	for _, m := range messages {
		err := n.bus.Publish(ctx, Subject{Kind(m.Kind), m.Shard}, m.Payload)
		n.mu.Lock()
		n.core.Sent(m, err, n.now())
		n.mu.Unlock()
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
		case <-time.After(n.untilFlush()):
		case <-n.ctx.Done():
			return
		}
	}
}

// untilFlush returns the time until the next flush. Flushes are due at multiples of the
// flush interval on the wall clock. Nodes whose clocks agree flush at the same time, so a
// broker can send the digests of many nodes to a connection with one write. Writes are
// most of a broker's work if there are many nodes. Nothing else depends on the wall clock.
func (n *Node) untilFlush() time.Duration {
	now := time.Now()
	return n.flush - now.Sub(now.Truncate(n.flush))
}
