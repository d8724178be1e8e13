package peer

import "sync"

// syncMap is the standard library's concurrent map, with tombstones for counters.
type syncMap struct{ rooms sync.Map }

func newSyncMap() Peer { return new(syncMap) }

func (m *syncMap) Join(room string, _ *Conn) {
	for {
		v, ok := m.rooms.Load(room)
		if !ok {
			v, _ = m.rooms.LoadOrStore(room, new(tombstone))
		}
		if v.(*tombstone).join() {
			return
		}
		m.rooms.CompareAndDelete(room, v) // help who killed it
	}
}

func (m *syncMap) Leave(room string, _ *Conn) {
	v, _ := m.rooms.Load(room)
	if v.(*tombstone).leave() {
		m.rooms.CompareAndDelete(room, v)
	}
}

func (m *syncMap) Count(room string) int {
	if v, ok := m.rooms.Load(room); ok {
		return v.(*tombstone).count()
	}
	return 0
}

func (m *syncMap) Close() {}
