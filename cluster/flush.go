package cluster

import "github.com/occupancy/occupancy"

// fullBatch is the length of a Watcher's longest batch: after it there may be more.
const fullBatch = 4096

// publishRooms publishes the rooms whose counts differ from the last published ones.
// Each digest is one flush, with a seq of its own.
func (n *Node) publishRooms(rooms []occupancy.RoomEvent) {
	for _, e := range rooms {
		// The event's counts, not newer ones of the engine: if a newer change is undone
		// within the engine's interval, the watcher returns no event that would correct it.
		counts := pack(e.Occupancy)
		if !n.ledger.differs(e.Room, counts) {
			continue
		}
		if !n.flushWriter.add(e.Room, counts) {
			n.sendFlush()
			n.flushWriter.add(e.Room, counts)
		}
		n.ledger.put(e.Room, counts)
	}
	if !n.flushWriter.empty() {
		n.sendFlush()
	}
	n.rooms.Store(int64(n.ledger.live()))
}

// sendFlush publishes a flush. If that fails, the peers request the changes later.
func (n *Node) sendFlush() {
	payload := n.flushWriter.finish(span{base: n.ledger.seq, seq: n.ledger.seq + 1})
	n.ledger.endFlush()
	_ = n.publish(n.ctx, Subject{KindDigest, 0}, payload)
}
