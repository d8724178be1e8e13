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
func (e *Engine) Room(name string) *Room { return &Room{e: e, name: name} }

// Name is the room's name.
func (r *Room) Name() string { return r.name }

// Join is [Engine.Join].
func (r *Room) Join() error { return r.enter(connection) }

// Leave is [Engine.Leave].
func (r *Room) Leave() error { return r.leave(connection) }

// Enter is [Engine.Enter].
func (r *Room) Enter() error { return r.enter(member) }

// Exit is [Engine.Exit].
func (r *Room) Exit() error { return r.leave(member) }

// Connect is [Engine.Connect].
func (r *Room) Connect() (*Conn, error) { return r.e.connect(r.find(), r.name) }

// Subscribe is [Engine.Subscribe].
func (r *Room) Subscribe() (*Subscription, error) { return r.e.Subscribe(r.name) }

// Get is [Engine.Get].
func (r *Room) Get(ctx context.Context) (Occupancy, error) { return r.e.Get(ctx, r.name) }

// Current is [Engine.Current].
func (r *Room) Current() Occupancy {
	if c := r.find(); c != nil {
		return unpack(c.total(c.local()))
	}
	return Occupancy{}
}

// Local is [Engine.Local].
func (r *Room) Local() Occupancy {
	if c := r.find(); c != nil {
		return unpack(c.local())
	}
	return Occupancy{}
}

func (r *Room) enter(one uint64) error {
	c := r.cell.Load()
	if c != nil && !r.e.closed.Load() && c.up(one) {
		return nil
	}
	c, err := r.e.add(r.find(), r.name, one)
	if c != nil {
		r.cell.Store(c)
	}
	return err
}

func (r *Room) leave(one uint64) error {
	c := r.cell.Load()
	if c != nil && !r.e.closed.Load() && c.down(one) {
		return nil
	}
	return r.e.remove(r.find(), r.name, one)
}

// find is the room's cell, or nil where there is none: the one found last, unless
// that is retired.
func (r *Room) find() *cell {
	c := r.cell.Load()
	if c == nil || c.word.Load() == retired {
		c = r.e.rooms.live(r.name)
		r.cell.Store(c)
	}
	return c
}
