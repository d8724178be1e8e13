package occupancy

import (
	"cmp"
	"math"
	"strings"
)

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
	_, err := e.join(c, room)
	return err
}

// Leave counts one connection less. The error is ErrClosed, ErrInvalidRoom, or
// ErrNotJoined if the room has no connection left.
func (e *Engine) Leave(room string) error {
	c, ok := e.rooms.cells.mapOf(room).Load(room)
	if ok && c.tryLeave() {
		return nil
	}
	return e.leave(c, room)
}

// Enter counts one more presence member in the room: the client with this ID, through
// one of its connections. The caller guarantees that each pair of a connection and a
// client ID enters once; [Lease.Enter] does that for its connection. An engine [WithUsers]
// counts the user with this ID, and copies the ID. Other engines ignore the ID. The error is
// one of those of Join or, on an engine WithUsers, ErrInvalidClientID.
func (e *Engine) Enter(room, clientID string) error {
	c, ok := e.rooms.cells.mapOf(room).Load(room)
	if ok && c.tryEnter() {
		return nil
	}
	_, err := e.enter(c, room, clientID)
	return err
}

// Exit counts one presence member less. The error is ErrClosed, ErrInvalidRoom, or
// ErrNotEntered if the room has no presence member left or, on an engine [WithUsers], none
// with this ID.
func (e *Engine) Exit(room, clientID string) error {
	c, ok := e.rooms.cells.mapOf(room).Load(room)
	if ok && c.tryExit() {
		return nil
	}
	return e.exit(c, room, clientID)
}

// place is the part of a room's counts that one call adds or removes, in one step.
type place struct {
	connections uint32   // 0 or 1
	clients     []string // distinct clients, each with one member
	takenOver   bool     // the room must be occupied: the rest of the place is counted already
}

// The following are the general paths of the hooks. c is the room's cell, which may be
// retired, or nil. The plain steps before them need no check of the name, because only valid
// names have cells.

func (e *Engine) join(c *cell, room string) (*cell, error) {
	return e.add(c, room, place{connections: 1}, noLimit, true)
}

func (e *Engine) leave(c *cell, room string) error {
	return e.remove(c, room, place{connections: 1}, ErrNotJoined)
}

func (e *Engine) enter(c *cell, room, clientID string) (*cell, error) {
	if e.pub.users != nil {
		if !validName(clientID) {
			return nil, e.refuseClient()
		}
		clientID = strings.Clone(clientID)
	}
	return e.add(c, room, place{clients: []string{clientID}}, noLimit, true)
}

// refuseClient returns the error for an invalid client ID.
func (e *Engine) refuseClient() error {
	if e.rooms.closed.Load() {
		return e.refuse(ErrClosed)
	}
	return e.refuse(ErrInvalidClientID)
}

func (e *Engine) exit(c *cell, room, clientID string) error {
	return e.remove(c, room, place{clients: []string{clientID}}, ErrNotEntered)
}

const noLimit = math.MaxInt

// add adds a place to the room, and returns the cell in which it counted. The error is
// ErrRoomFull if the room has limit connections or more already. If inline is true, the hook may
// publish the change itself.
func (e *Engine) add(c *cell, room string, added place, limit int, inline bool) (*cell, error) {
	if e.rooms.closed.Load() {
		return nil, e.refuse(ErrClosed)
	}
	for {
		if c == nil {
			var err error
			if c, err = e.rooms.obtain(room); err != nil {
				return nil, e.refuse(err)
			}
		}
		switch ok, err := e.addPlace(c, added, limit, inline); {
		case err != nil:
			return nil, e.refuse(err)
		case ok:
			return c, nil
		}
		c = nil // retired meanwhile: try again
	}
}

// remove removes a place from the room. If the room does not have it, the error is errNone.
func (e *Engine) remove(c *cell, room string, removed place, errNone error) error {
	if e.rooms.closed.Load() {
		return e.refuse(ErrClosed)
	}
	for {
		if c == nil {
			if c = e.rooms.live(room); c == nil {
				return e.refuse(cmp.Or(e.rooms.check(room), errNone)) // Close may have frozen the room meanwhile
			}
		}
		changed, retired := e.removePlace(c, removed, true)
		switch {
		case changed:
			return nil
		case !retired:
			return e.refuse(errNone)
		}
		c = nil
	}
}

// addPlace adds a place to the counts of c, in one step: see add. It reports false if c is retired.
func (e *Engine) addPlace(c *cell, added place, limit int, inline bool) (ok bool, err error) {
	users := e.pub.users
	n := counts{members: uint32(len(added.clients))}
	var locked lockedUsers
	if users != nil {
		locked = users.lock(added.clients)
		n = users.entering(c, added.clients)
	}
	n.connections = added.connections
	before, after, err := c.step(&e.rooms, func(w uint64) (uint64, error) {
		if limit != noLimit && int(c.totalOf(w).connections) >= limit {
			return w, ErrRoomFull
		}
		if added.takenOver && stateOf(w) != occupied {
			return w, errNothing
		}
		return plus(w, n)
	})
	if users != nil {
		if before != retired && err == nil {
			users.enter(c, added.clients)
		}
		users.unlock(locked)
	}
	e.sched.dispatch(c, before, after, inline)
	e.requeue(c, before, locked)
	return before != retired, err
}

// removePlace removes a place from the counts of c, in one step. If c has less than that, because
// Leave or Exit has removed a connection or a member of this place, removePlace removes the rest.
// It reports whether the counts have changed, and whether c is retired instead.
func (e *Engine) removePlace(c *cell, removed place, inline bool) (changed, isRetired bool) {
	users := e.pub.users
	n := counts{members: uint32(len(removed.clients))}
	var locked lockedUsers
	if users != nil {
		locked = users.lock(removed.clients)
		n = users.exiting(c, removed.clients)
	}
	n.connections = removed.connections
	before, after, err := c.step(&e.rooms, func(w uint64) (uint64, error) {
		if fewer := minus(w, n); fewer != w {
			return fewer, nil
		}
		return w, errNothing
	})
	if users != nil {
		if before != retired {
			users.exit(c, removed.clients)
		}
		users.unlock(locked)
	}
	e.sched.dispatch(c, before, after, inline)
	e.requeue(c, before, locked)
	return before != retired && err == nil, before == retired
}

// requeue queues c again if a step may have changed the index after the word, and the room was
// queued before the step: the publisher may have visited it between the two changes.
func (e *Engine) requeue(c *cell, before uint64, changed lockedUsers) {
	if changed.index != nil && before&queued != 0 {
		e.pub.change(c, enqueue)
	}
}

// errNothing refuses a step if there is nothing to remove, or to take over.
const errNothing Error = "nothing to remove or to take over"
