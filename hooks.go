package occupancy

// Join counts one more connection in the room. If the room did not exist, it does now.
//
// Every Join needs one Leave, however the connection ends; [Engine.Connect] takes care
// of that. The four hooks may be called from any goroutine. They never wait for a
// subscriber. If the room exists they do not allocate, except that the engine's queues
// grow while more rooms change within an interval than before. The error is ErrClosed,
// ErrInvalidRoom, ErrTooManyRooms or ErrCount.
func (e *Engine) Join(room string) error {
	c, ok := e.rooms.cells.mapOf(room).Load(room)
	if ok && c.tryJoin() {
		return nil
	}
	_, err := e.add(c, room, connection, true)
	return err
}

// Leave counts one connection less. The error is ErrClosed, ErrInvalidRoom, or
// ErrNotJoined if the room has no connection left.
func (e *Engine) Leave(room string) error {
	c, ok := e.rooms.cells.mapOf(room).Load(room)
	if ok && c.tryLeave() {
		return nil
	}
	return e.remove(c, room, connection)
}

// Enter counts one more presence member in the room: the client with this ID, through
// one of its connections. The caller guarantees that each pair of a connection and a
// client ID enters once; [Lease.Enter] does that for its connection. The engine counts
// members only, so it ignores the ID and does not check it. The errors are those of Join.
func (e *Engine) Enter(room, clientID string) error {
	c, ok := e.rooms.cells.mapOf(room).Load(room)
	if ok && c.tryEnter() {
		return nil
	}
	_, err := e.add(c, room, member, true)
	return err
}

// Exit counts one presence member less. The error is ErrClosed, ErrInvalidRoom, or
// ErrNotEntered if the room has no presence member left.
func (e *Engine) Exit(room, clientID string) error {
	c, ok := e.rooms.cells.mapOf(room).Load(room)
	if ok && c.tryExit() {
		return nil
	}
	return e.remove(c, room, member)
}

// add is the general path of Join and Enter. c is the room's cell, which may be retired,
// or nil. add returns the cell in which it counted. If inline is true, the hook may
// publish the change itself.
func (e *Engine) add(c *cell, room string, unit uint64, inline bool) (*cell, error) {
	c, err := e.addUncounted(c, room, unit, inline)
	return c, e.pub.refused.note(err)
}

// remove is the general path of Leave and Exit.
func (e *Engine) remove(c *cell, room string, unit uint64) error {
	return e.pub.refused.note(e.removeUncounted(c, room, unit))
}

func (e *Engine) addUncounted(c *cell, room string, unit uint64, inline bool) (*cell, error) {
	if e.rooms.closed.Load() {
		return nil, ErrClosed
	}
	for {
		if c == nil {
			var err error
			if c, err = e.rooms.obtain(room); err != nil {
				return nil, err
			}
		}
		ok, err := e.pub.change(c, inline, func(w uint64) (uint64, error) { return plus(w, unit) })
		if ok {
			return c, err
		}
		c = nil // retired meanwhile: try again
	}
}

func (e *Engine) removeUncounted(c *cell, room string, unit uint64) error {
	if e.rooms.closed.Load() {
		return ErrClosed
	}
	var errNone error = ErrNotJoined // an interface from the start: a conversion at the return would allocate
	if unit == member {
		errNone = ErrNotEntered
	}
	for {
		if c == nil {
			if c = e.rooms.live(room); c == nil {
				switch {
				case e.rooms.closed.Load(): // again, because Close may have frozen the room meanwhile
					return ErrClosed
				case !validName(room):
					return ErrInvalidRoom
				}
				return errNone
			}
		}
		ok, err := e.pub.change(c, true, func(w uint64) (uint64, error) {
			if n := minus(w, unit, 1); n != w {
				return n, nil
			}
			return w, errNone
		})
		if ok {
			return err
		}
		c = nil
	}
}
