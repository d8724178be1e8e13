package impl

import "sync"

// syncMap is the concurrent map of the standard library, with retirable counters.
type syncMap struct{ rooms sync.Map }

func newSyncMap() Counter { return new(syncMap) }

func (m *syncMap) Join(room string, _ *Conn) {
	for {
		v, ok := m.rooms.Load(room)
		if !ok {
			v, _ = m.rooms.LoadOrStore(room, new(retirableCounter))
		}
		if v.(*retirableCounter).join() {
			return
		}
		m.rooms.CompareAndDelete(room, v) // Leave may not have removed the counter yet
	}
}

func (m *syncMap) Leave(room string, _ *Conn) {
	v, _ := m.rooms.Load(room)
	if v.(*retirableCounter).leave() {
		m.rooms.CompareAndDelete(room, v)
	}
}

func (m *syncMap) Count(room string) int {
	if v, ok := m.rooms.Load(room); ok {
		return v.(*retirableCounter).count()
	}
	return 0
}

func (m *syncMap) Close() {}
