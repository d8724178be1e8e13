package occupancy

import (
	"context"
	"sync/atomic"
)

// Room is a handle for one room: it has the engine's methods, without the look-up by
// name. Create it with [Engine.Room], for one connection or for the life of the
// program. A handle keeps no room alive, and stays valid when the room empties. All its
// methods may be called from any goroutine.
type Room struct {
	e    *Engine
	name string
	cell atomic.Pointer[cell]
}

// Room returns a handle for the room. If the name is invalid, the methods of the handle
// return ErrInvalidRoom.
func (e *Engine) Room(name string) *Room {
	r := &Room{e: e, name: name}
	r.cell.Store(noCell)
	return r
}

// Name returns the room's name.
func (r *Room) Name() string { return r.name }

// noCell is the cell of a handle that has not found its room's cell yet.
var noCell = func() *cell {
	c := new(cell)
	c.word.Store(retired)
	return c
}()

// Join is like [Engine.Join] for this room.
func (r *Room) Join() error {
	if r.cell.Load().tryJoin() {
		return nil
	}
	c, err := r.e.join(r.live(), r.name)
	return r.keep(c, err)
}

// Leave is like [Engine.Leave] for this room.
func (r *Room) Leave() error {
	if r.cell.Load().tryLeave() {
		return nil
	}
	return r.e.leave(r.live(), r.name)
}

// Enter is like [Engine.Enter] for this room.
func (r *Room) Enter(clientID string) error {
	if r.cell.Load().tryEnter() {
		return nil
	}
	c, err := r.e.enter(r.live(), r.name, clientID)
	return r.keep(c, err)
}

// Exit is like [Engine.Exit] for this room.
func (r *Room) Exit(clientID string) error {
	if r.cell.Load().tryExit() {
		return nil
	}
	return r.e.exit(r.live(), r.name, clientID)
}

// Connect is like [Engine.Connect] for this room.
func (r *Room) Connect(opts ...ConnectOption) (*Lease, error) {
	return r.e.connect(r.live(), r.name, opts)
}

// Subscribe is like [Engine.Subscribe] for this room.
func (r *Room) Subscribe() (*Subscription, error) { return r.e.Subscribe(r.name) }

// Get is like [Engine.Get] for this room.
func (r *Room) Get(ctx context.Context) (Occupancy, error) { return r.e.Get(ctx, r.name) }

// Current is like [Engine.Current] for this room.
func (r *Room) Current() Occupancy {
	if w := r.cell.Load().word.Load(); w&held == 0 { // so the word is not retired, either
		return countsOf(w).occupancy()
	}
	if c := r.live(); c != nil {
		return c.total().occupancy()
	}
	return r.e.Current(r.name)
}

// Local is like [Engine.Local] for this room.
func (r *Room) Local() Occupancy {
	if c := r.live(); c != nil {
		return countsOf(c.local()).occupancy()
	}
	return r.e.Local(r.name)
}

// keep remembers the cell in which a hook has counted.
func (r *Room) keep(c *cell, err error) error {
	if err == nil {
		r.cell.Store(c)
	}
	return err
}

// live returns the room's cell, or nil if it has none. The cell was not retired a moment ago.
func (r *Room) live() *cell {
	c := r.cell.Load()
	if c.word.Load() != retired {
		return c
	}
	if c = r.e.rooms.live(r.name); c != nil {
		r.cell.Store(c)
	}
	return c
}
