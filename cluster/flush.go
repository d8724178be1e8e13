package cluster

import "github.com/occupancy/occupancy"

// maxWatchBatch is the maximum number of events that a Watcher returns at once. After a
// batch of this length, the Watcher may have more events.
const maxWatchBatch = 4096

// publishRooms publishes the rooms whose counts differ from the last published counts. Each
// digest is one flush and has its own seq.
func (n *Node) publishRooms(rooms []occupancy.RoomEvent) {
	for _, e := range rooms {
		// Publish the counts of the event, and not newer counts of the engine. The engine
		// sends no event for a change that is undone within its interval. Therefore no later
		// event would correct the newer counts.
		counts := toRoomCounts(e.Occupancy)
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

// sendFlush publishes a flush. If Publish fails, the peers request the changes later.
func (n *Node) sendFlush() {
	payload := n.flushWriter.finish(span{base: n.ledger.seq, seq: n.ledger.seq + 1})
	n.ledger.endFlush()
	_ = n.publish(n.ctx, Subject{KindDigest, 0}, payload)
}
