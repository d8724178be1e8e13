package cluster

import (
	"time"

	"github.com/occupancy/occupancy"
)

// run is the node's loop: one goroutine that takes what comes, one at a time, so that
// what a peer says is heard in the order in which the bus delivers it. Nothing but
// heartbeats wakes it while nothing happens.
//
// What is ready together is taken in a fixed order and by turns, not as a select would
// have it: so a simulation repeats exactly, and nothing starves.
func (n *Node) run() {
	defer n.cancel() // ends listen, where it was the engine's Close that ended the loop
	timer := time.NewTimer(never)
	events := n.bus.Events()
	var changes <-chan []occupancy.Event
	hear := func(e BusEvent, open bool) {
		if !open { // the bus is closed
			events, e = nil, Disconnected
		}
		n.hear(e)
	}
	for n.ctx.Err() == nil {
		n.wake(n.now())
		// What changes is taken when the time for a flush has come, and gathers until then.
		flushDue := n.flushed + n.flush
		if changes = nil; flushDue <= n.now() {
			changes, flushDue = n.changes, never
		}
		idle := true
		select {
		case e, open := <-events:
			hear(e, open)
			idle = false
		default:
		}
		select {
		case m := <-n.inbox:
			n.receive(m)
			idle = false
		default:
		}
		select {
		case rooms, open := <-changes:
			if !open { // the engine is closed
				return
			}
			n.tell(rooms)
			idle = false
		default:
		}
		select {
		case a := <-n.asks:
			n.ask(a)
			idle = false
		default:
		}
		if !idle {
			continue
		}
		timer.Reset(min(n.beatDue, n.due, flushDue) - n.now())
		select {
		case e, open := <-events:
			hear(e, open)
		case m := <-n.inbox:
			n.receive(m)
		case rooms, open := <-changes:
			if !open {
				return
			}
			n.tell(rooms)
		case a := <-n.asks:
			n.ask(a)
		case <-timer.C:
		case <-n.ctx.Done():
		}
	}
}

// wake does what is due.
func (n *Node) wake(now time.Duration) {
	if now >= n.due || now > n.beatDue+n.heartbeat {
		n.mu.Lock()
		n.review(now)
		n.mu.Unlock()
		n.send()
	}
	if now >= n.beatDue {
		n.beatDue = max(n.beatDue+n.heartbeat, now+n.heartbeat/2)
		n.beat(now)
	}
}

// beat says that this node lives.
func (n *Node) beat(now time.Duration) {
	n.beats++
	h := heartbeat{from: n.id, name: []byte(n.name), seq: n.ledger.seq, hash: n.ledger.hash, beat: n.beats}
	n.mu.Lock()
	n.late = n.beatDue + n.heartbeat
	for _, p := range n.peers {
		p.retry()
	}
	if n.degraded(now) {
		h.flags |= flagDegraded
	}
	n.mu.Unlock()
	n.buf = h.append(n.buf[:0])
	_ = n.publish(n.ctx, Subject{KindHeartbeat, 0}, n.buf)
}

// hear takes what the bus says of itself.
func (n *Node) hear(e BusEvent) {
	now := n.now()
	n.mu.Lock()
	switch e {
	case Connected:
		n.connected = true
		n.doubt(now)
	case Disconnected:
		n.connected = false
	case Lossy:
		n.lossy.Add(1)
		if n.on(ruleLossy) {
			for _, p := range n.peers {
				p.sync = true
				n.catchUp(p, now)
			}
		}
	}
	n.mu.Unlock()
	n.send()
}

// send publishes what was to be said while mu was held.
func (n *Node) send() {
	for _, m := range n.outbox {
		_ = n.publish(n.ctx, m.to, m.payload)
		if m.asks != nil {
			m.asks.asked = n.now() // publishing may have taken a while
		}
	}
	clear(n.outbox)
	n.outbox = n.outbox[:0]
	for _, r := range n.replying {
		n.reply(r)
	}
	n.replying = n.replying[:0]
}
