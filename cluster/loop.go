package cluster

import (
	"time"

	"github.com/occupancy/occupancy"
)

// run is the node's main loop. It handles one event at a time, so messages are handled in
// the order in which the bus delivers them. While nothing changes, only heartbeats wake
// the loop.
//
// If several events are ready, the loop handles the timers first. It then takes one event
// from each channel, in a fixed order. A select statement would choose a channel at random.
// The fixed order makes simulations reproducible, and no channel waits forever.
func (n *Node) run() {
	timer := time.NewTimer(never)
	sources := []func() bool{n.takeEvent, n.takeMessage, n.takeChanges, n.takeGet}
	turn := 0
	for n.ctx.Err() == nil {
		now := n.now()
		n.runDue(now)
		handled := false
		for i := 0; i < len(sources) && !handled; i++ {
			turn = (turn + 1) % len(sources)
			handled = sources[turn]()
		}
		if handled {
			continue
		}
		timer.Reset(min(n.nextBeat, n.greetAt, n.checkAt, n.replyAt()) - now)
		select {
		case e, open := <-n.events:
			n.handleBusEvent(e, open)
		case m := <-n.inbox:
			n.receive(m)
		case rooms, open := <-n.changes:
			n.handleChanges(rooms, open)
		case call := <-n.gets:
			n.sendQuery(call)
		case <-timer.C:
		case <-n.ctx.Done():
		}
	}
}

// Each of the following functions handles one event of a channel and reports whether an
// event was ready.

func (n *Node) takeEvent() bool {
	select {
	case e, open := <-n.events:
		n.handleBusEvent(e, open)
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
		n.handleChanges(rooms, open)
		return true
	default:
		return false
	}
}

func (n *Node) takeGet() bool {
	select {
	case call := <-n.gets:
		n.sendQuery(call)
		return true
	default:
		return false
	}
}

func (n *Node) handleBusEvent(e BusEvent, open bool) {
	if !open { // the bus is closed
		n.events, e = nil, Disconnected
	}
	n.setBusState(e)
}

func (n *Node) handleChanges(rooms []occupancy.RoomEvent, open bool) {
	if !open { // the engine is closed
		n.cancel()
		return
	}
	n.publishRooms(rooms)
}

// runDue handles the timers that are due.
func (n *Node) runDue(now time.Duration) {
	if now >= n.greetAt {
		n.sendHeartbeat(now)
	}
	if now >= n.checkAt || now > n.nextBeat+n.heartbeat {
		// If this check is late, first handle the heartbeats that already wait in the inbox.
		for i := len(n.inbox); i > 0 && now > n.checkAt; i-- {
			n.receive(<-n.inbox)
		}
		n.mu.Lock()
		n.checkPeers(now)
		n.mu.Unlock()
		n.sendOutbox()
	}
	if now >= n.nextBeat {
		n.nextBeat = max(n.nextBeat+n.heartbeat, now+n.heartbeat/2)
		n.retryRefused()
		n.sendHeartbeat(now)
	}
	if now >= n.replyAt() {
		n.sendReply()
	}
}

// retryRefused sets the refused counts of all peers again.
func (n *Node) retryRefused() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range n.peers {
		p.retryRefused()
	}
}

func (n *Node) sendHeartbeat(now time.Duration) {
	n.beats++
	n.lastBeat, n.greetAt = now, never
	h := heartbeat{from: n.id, name: []byte(n.name), seq: n.ledger.seq, hash: n.ledger.hash, beat: n.beats}
	n.mu.Lock()
	n.beatDeadline = n.nextBeat + n.heartbeat
	if n.degraded(now) {
		h.flags |= flagDegraded
	}
	n.mu.Unlock()
	n.buf = h.append(n.buf[:0])
	err := n.publish(n.ctx, Subject{KindHeartbeat, 0}, n.buf)
	if err == nil && n.beats > 1 && !n.busStateKnown {
		// Another node has used this Bus earlier and has read its first event. The bus is
		// connected, because Publish succeeds.
		n.setBusState(Connected)
	}
}

// setBusState handles an event of the bus.
func (n *Node) setBusState(e BusEvent) {
	now := n.now()
	n.busStateKnown = n.busStateKnown || e != Lossy
	n.mu.Lock()
	switch e {
	case Connected:
		n.connected = true
		n.renewLeases(now)
	case Disconnected:
		n.connected = false
	case Lossy:
		n.lossy.Add(1)
		n.freshAt = max(n.freshAt, now+n.heartbeat*3/2) // by this time, the peers' heartbeats show which changes were lost
		if n.enabled(ruleLossy) {
			for _, p := range n.peers {
				p.wantSync = true
				n.requestSync(p, now)
			}
		}
	}
	n.mu.Unlock()
	n.sendOutbox()
}

// sendOutbox closes the Remotes of dropped peers and publishes the messages in the
// outbox. The caller must not hold mu, because both can take a long time.
func (n *Node) sendOutbox() {
	for _, r := range n.closing {
		_ = r.Close()
	}
	clear(n.closing)
	n.closing = n.closing[:0]
	for _, m := range n.outbox {
		_ = n.publish(n.ctx, m.to, m.payload)
		if m.syncPeer != nil {
			m.syncPeer.syncSent = n.now() // the time after Publish, which can block
		}
	}
	clear(n.outbox)
	n.outbox = n.outbox[:0]
}
