package cluster

import (
	"time"

	"github.com/occupancy/occupancy"
)

// run is the node's loop: one goroutine that takes what comes, one at a time, so that
// what a peer says is heard in the order in which the bus delivers it. Nothing but
// heartbeats wakes it while nothing happens.
//
// What is ready together is not taken as a select would have it, at random, but first
// what is due by the clock and then the rest by turns: so a simulation repeats exactly,
// and nothing starves.
func (n *Node) run() {
	timer := time.NewTimer(never)
	sources := []func() bool{n.takeEvent, n.takeMessage, n.takeChanges, n.takeAsk}
	turn := 0
	for n.ctx.Err() == nil {
		now := n.now()
		n.wake(now)
		took := false
		for i := 0; i < len(sources) && !took; i++ {
			turn = (turn + 1) % len(sources)
			took = sources[turn]()
		}
		if took {
			continue
		}
		timer.Reset(min(n.beatDue, n.greet, n.due, n.replyDue()) - now)
		select {
		case e, open := <-n.events:
			n.event(e, open)
		case m := <-n.inbox:
			n.receive(m)
		case rooms, open := <-n.changes:
			n.changed(rooms, open)
		case a := <-n.asks:
			n.ask(a)
		case <-timer.C:
		case <-n.ctx.Done():
		}
	}
}

// The following take one thing, if one is there.

func (n *Node) takeEvent() bool {
	select {
	case e, open := <-n.events:
		n.event(e, open)
		return true
	default:
		return false
	}
}

func (n *Node) takeMessage() bool {
	select {
	case m := <-n.inbox:
		n.receive(m)
		return true
	default:
		return false
	}
}

func (n *Node) takeChanges() bool {
	select {
	case rooms, open := <-n.changes:
		n.changed(rooms, open)
		return true
	default:
		return false
	}
}

func (n *Node) takeAsk() bool {
	select {
	case a := <-n.asks:
		n.ask(a)
		return true
	default:
		return false
	}
}

func (n *Node) event(e BusEvent, open bool) {
	if !open { // the bus is closed
		n.events, e = nil, Disconnected
	}
	n.hear(e)
}

func (n *Node) changed(rooms []occupancy.RoomEvent, open bool) {
	if !open { // the engine is closed
		n.cancel()
		return
	}
	n.tell(rooms)
}

// wake does what is due.
func (n *Node) wake(now time.Duration) {
	if now >= n.greet {
		n.beat(now)
	}
	if now >= n.due || now > n.beatDue+n.heartbeat {
		// Who spoke while this was late is heard first.
		for i := len(n.inbox); i > 0 && now > n.due; i-- {
			n.receive(<-n.inbox)
		}
		n.mu.Lock()
		n.review(now)
		n.mu.Unlock()
		n.send()
	}
	if now >= n.beatDue {
		n.beatDue = max(n.beatDue+n.heartbeat, now+n.heartbeat/2)
		n.retry()
		n.beat(now)
	}
	if now >= n.replyDue() {
		n.reply()
	}
}

// retry has the engine count what it refused, with the heartbeats but for greetings: it
// looks through all rooms of a peer of whom something is refused.
func (n *Node) retry() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.peers {
		p.retry()
	}
}

// beat says that this node lives.
func (n *Node) beat(now time.Duration) {
	n.beats++
	n.beaten, n.greet = now, never
	h := heartbeat{from: n.id, name: []byte(n.name), seq: n.ledger.seq, hash: n.ledger.hash, beat: n.beats}
	n.mu.Lock()
	n.late = n.beatDue + n.heartbeat
	if n.degraded(now) {
		h.flags |= flagDegraded
	}
	n.mu.Unlock()
	n.buf = h.append(n.buf[:0])
	err := n.publish(n.ctx, Subject{KindHeartbeat, 0}, n.buf)
	if err == nil && n.beats > 1 && !n.told {
		// A node before this one has read what the bus said at its beginning. That it
		// publishes means that it is connected.
		n.hear(Connected)
	}
}

// hear takes what the bus says of itself.
func (n *Node) hear(e BusEvent) {
	now := n.now()
	n.told = n.told || e != Lossy
	n.mu.Lock()
	switch e {
	case Connected:
		n.connected = true
		n.doubt(now)
	case Disconnected:
		n.connected = false
	case Lossy:
		n.lossy.Add(1)
		n.settled = max(n.settled, now+n.heartbeat*3/2) // what it was, heartbeats will show
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

// send closes what was not to keep others waiting for mu, and publishes what was to be
// said while it was held.
func (n *Node) send() {
	for _, r := range n.unlinked {
		_ = r.Close()
	}
	clear(n.unlinked)
	n.unlinked = n.unlinked[:0]
	for _, m := range n.outbox {
		_ = n.publish(n.ctx, m.to, m.payload)
		if m.asks != nil {
			m.asks.asked = n.now() // publishing may have taken a while
		}
	}
	clear(n.outbox)
	n.outbox = n.outbox[:0]
}
