package cluster

import "github.com/occupancy/occupancy"

// fullBatch is as many rooms as a Watcher tells at a time: then there may be more.
const fullBatch = 4096

// tell publishes what these rooms are now, where it is not what was published. Each
// digest is a flush, with a seq of its own.
func (n *Node) tell(rooms []occupancy.RoomEvent) {
	for _, e := range rooms {
		// What the watcher told, and not what is newer: if that is undone within the engine's
		// interval, the watcher tells nothing, and the peers would keep it for ever.
		now := pack(e.Occupancy)
		if !n.ledger.differs(e.Room, now) {
			continue
		}
		if !n.flushes.add(e.Room, now) {
			n.flushOut()
			n.flushes.add(e.Room, now)
		}
		n.ledger.put(e.Room, now)
	}
	if !n.flushes.empty() {
		n.flushOut()
	}
	n.rooms.Store(int64(n.ledger.live()))
}

// flushOut publishes the flush. If it does not get out it is lost like any message.
func (n *Node) flushOut() {
	payload := n.flushes.finish(span{base: n.ledger.seq, seq: n.ledger.seq + 1})
	n.ledger.flushed()
	_ = n.publish(n.ctx, Subject{KindDigest, 0}, payload)
}
