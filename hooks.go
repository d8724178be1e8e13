package occupancy

// Join counts one more connection in the room. If the room did not exist, it does now.
//
// Every Join needs one Leave, however the connection ends; [Engine.Connect] takes care
// of that. The four hooks may be called from any goroutine. They never wait for a
// subscriber. If the room exists they do not allocate, except that the engine's queues
// grow while more rooms change within an interval than before. The error is ErrClosed,
// ErrInvalidRoom, ErrTooManyRooms or ErrCount.
func (e *Engine) Join(room string) error {
	c, ok := e.rooms.find(room)
	if ok && c.tryJoin() {
		return nil
	}
	_, err := e.add(c, room, connection, true)
	return err
}

// Leave counts one connection less. The error is ErrClosed, ErrInvalidRoom, or
// ErrNotJoined if the room has no connection left.
func (e *Engine) Leave(room string) error {
	c, ok := e.rooms.find(room)
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
	c, ok := e.rooms.find(room)
	if ok && c.tryEnter() {
		return nil
	}
	_, err := e.add(c, room, member, true)
	return err
}

// Exit counts one presence member less. The error is ErrClosed, ErrInvalidRoom, or
// ErrNotEntered if the room has no presence member left.
func (e *Engine) Exit(room, clientID string) error {
	c, ok := e.rooms.find(room)
	if ok && c.tryExit() {
		return nil
	}
	return e.remove(c, room, member)
}

// add is the general path of Join and Enter. c is the room's cell, which may be retired,
// or nil. add returns the cell in which it counted. If inline is true, the hook may
// publish the change itself.
func (e *Engine) add(c *cell, room string, unit uint64, inline bool) (*cell, error) {
	c, err := e.addOne(c, room, unit, inline)
	return c, e.pub.refused.note(err)
}

// remove is the general path of Leave and Exit.
func (e *Engine) remove(c *cell, room string, unit uint64) error {
	return e.pub.refused.note(e.removeOne(c, room, unit))
}

func (e *Engine) addOne(c *cell, room string, unit uint64, inline bool) (*cell, error) {
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

func (e *Engine) removeOne(c *cell, room string, unit uint64) error {
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

// change makes every step on a room except the counter's plain ones: it applies step to
// the word. This may create or end the room. If the room must be published, change
// pushes the room to the publisher, or may publish it itself if inline is true. change
// reports false if c is retired. The error is that of step, or ErrTooManyRooms.
func (p *publisher) change(c *cell, inline bool, step func(w uint64) (uint64, error)) (bool, error) {
	for {
		w := c.word.Load()
		if w == retired {
			return false, nil
		}
		n, err := step(w)
		if err != nil {
			return true, err
		}
		if changed := n&countMask != w&countMask; changed && (w&idle != 0 || n&countMask == 0) || stateOf(n) == absent {
			n = n&^idle | queued // to be published, or dropped
		}
		ok, err := p.rooms.swap(c, w, n)
		if err != nil {
			if stateOf(w) != absent {
				return true, err
			}
			// The cell may have been created for this step, so the publisher must visit and drop it.
			n = w&^idle | queued
			ok = c.word.CompareAndSwap(w, n)
			if !ok {
				continue
			}
		}
		if ok {
			if w&queued == 0 && n&queued != 0 {
				p.push(c, n&held != 0, inline)
			}
			return true, err
		}
	}
}
