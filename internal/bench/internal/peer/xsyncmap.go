package peer

import "github.com/puzpuzpuz/xsync/v4"

// xsyncMap is xsync's concurrent map, with tombstones for counters.
type xsyncMap struct {
	rooms *xsync.Map[string, *tombstone]
}

func newXsync() Peer { return xsyncMap{xsync.NewMap[string, *tombstone]()} }

func (m xsyncMap) Join(room string, _ *Conn) {
	for {
		t, ok := m.rooms.Load(room)
		if !ok {
			t, _ = m.rooms.LoadOrStore(room, new(tombstone))
		}
		if t.join() {
			return
		}
		m.drop(room, t) // help who killed it
	}
}

func (m xsyncMap) Leave(room string, _ *Conn) {
	t, _ := m.rooms.Load(room)
	if t.leave() {
		m.drop(room, t)
	}
}

func (m xsyncMap) drop(room string, t *tombstone) {
	m.rooms.Compute(room, func(now *tombstone, _ bool) (*tombstone, xsync.ComputeOp) {
		if now == t {
			return nil, xsync.DeleteOp
		}
		return now, xsync.CancelOp
	})
}

func (m xsyncMap) Count(room string) int {
	if t, ok := m.rooms.Load(room); ok {
		return t.count()
	}
	return 0
}

func (m xsyncMap) Close() {}
