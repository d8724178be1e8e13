package impl

import "github.com/puzpuzpuz/xsync/v4"

// xsyncMap is the concurrent map of xsync, with retirable counters.
type xsyncMap struct {
	rooms *xsync.Map[string, *retirable]
}

func newXsyncMap() Counter { return xsyncMap{xsync.NewMap[string, *retirable]()} }

func (m xsyncMap) Join(room string, _ *Conn) {
	for {
		c, ok := m.rooms.Load(room)
		if !ok {
			c, _ = m.rooms.LoadOrStore(room, new(retirable))
		}
		if c.join() {
			return
		}
		m.remove(room, c) // in case Leave has not removed it yet
	}
}

func (m xsyncMap) Leave(room string, _ *Conn) {
	c, _ := m.rooms.Load(room)
	if c.leave() {
		m.remove(room, c)
	}
}

func (m xsyncMap) remove(room string, c *retirable) {
	m.rooms.Compute(room, func(current *retirable, _ bool) (*retirable, xsync.ComputeOp) {
		if current == c {
			return nil, xsync.DeleteOp
		}
		return current, xsync.CancelOp
	})
}

func (m xsyncMap) Count(room string) int {
	if c, ok := m.rooms.Load(room); ok {
		return c.count()
	}
	return 0
}

func (m xsyncMap) Close() {}
