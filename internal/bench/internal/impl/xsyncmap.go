package impl

import "github.com/puzpuzpuz/xsync/v4"

// xsyncMap is the concurrent map of xsync, with retirable counters.
type xsyncMap struct {
	rooms *xsync.Map[string, *retirableCounter]
}

func newXsyncMap() Counter { return xsyncMap{xsync.NewMap[string, *retirableCounter]()} }

func (m xsyncMap) Join(room string, _ *Conn) {
	for {
		c, ok := m.rooms.Load(room)
		if !ok {
			c, _ = m.rooms.LoadOrStore(room, new(retirableCounter))
		}
		if c.join() {
			return
		}
		m.remove(room, c) // Leave may not have removed the counter yet
	}
}

func (m xsyncMap) Leave(room string, _ *Conn) {
	c, _ := m.rooms.Load(room)
	if c.leave() {
		m.remove(room, c)
	}
}

func (m xsyncMap) remove(room string, c *retirableCounter) {
	m.rooms.Compute(room, func(current *retirableCounter, _ bool) (*retirableCounter, xsync.ComputeOp) {
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
