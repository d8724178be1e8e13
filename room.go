package occupancy

import (
	"context"
	"sync/atomic"
)

// Room is a handle on a room: the engine's methods without the look-up. Make it
// with [Engine.Room], for a connection or for as long as the program runs. It keeps
// no room alive and outlives the room's emptiness: it is a name, and a memory of
// where that was found last. All its methods may be called from any goroutine.
type Room struct {
	e    *Engine
	name string
	cell atomic.Pointer[cell]
}

// Room makes a handle. A name that no room can have makes one whose methods return
// ErrRoomName.
func (e *Engine) Room(name string) *Room {
	r := &Room{e: e, name: name}
	r.cell.Store(gone)
	return r
}

// Name is the room's name.
func (r *Room) Name() string { return r.name }

// gone is the cell of a handle that has found none yet.
var gone = func() *cell {
	c := new(cell)
	c.word.Store(retired)
	return c
}()

// Join is [Engine.Join].
func (r *Room) Join() error {
	if r.cell.Load().tryJoin() {
		return nil
	}
	return r.add(connection)
}

// Leave is [Engine.Leave].
func (r *Room) Leave() error {
	if r.cell.Load().tryLeave() {
		return nil
	}
	return r.e.remove(r.find(), r.name, connection)
}

// Enter is [Engine.Enter].
func (r *Room) Enter() error {
	if r.cell.Load().tryEnter() {
		return nil
	}
	return r.add(member)
}

// Exit is [Engine.Exit].
func (r *Room) Exit() error {
	if r.cell.Load().tryExit() {
		return nil
	}
	return r.e.remove(r.find(), r.name, member)
}

// Connect is [Engine.Connect].
func (r *Room) Connect() (*Conn, error) { return r.e.connect(r.find(), r.name) }

// Subscribe is [Engine.Subscribe].
func (r *Room) Subscribe() (*Subscription, error) { return r.e.Subscribe(r.name) }

// Get is [Engine.Get].
func (r *Room) Get(ctx context.Context) (Occupancy, error) { return r.e.Get(ctx, r.name) }

// Current is [Engine.Current].
func (r *Room) Current() Occupancy {
	if w := r.cell.Load().word.Load(); w&held == 0 {
		return unpack(w)
	}
	if c := r.find(); c != nil {
		return unpack(c.total(c.local()))
	}
	return r.e.Current(r.name)
}

// Local is [Engine.Local].
func (r *Room) Local() Occupancy {
	if c := r.find(); c != nil {
		return unpack(c.local())
	}
	return r.e.Local(r.name)
}

func (r *Room) add(one uint64) error {
	c, err := r.e.add(r.find(), r.name, one)
	if err == nil {
		r.cell.Store(c)
	}
	return err
}

// find is the room's cell, or nil where there is none that is not retired.
func (r *Room) find() *cell {
	c := r.cell.Load()
	if c.word.Load() != retired {
		return c
	}
	if c = r.e.rooms.live(r.name); c != nil {
		r.cell.Store(c)
	}
	return c
}
