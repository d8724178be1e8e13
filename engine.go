package occupancy

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"
)

// Engine counts the connections and presence members of rooms and tells who
// listens. Make one with [New] and share it: all its methods may be called from
// any goroutine.
type Engine struct {
	rooms rooms // not a pointer, which every hook would have to follow
	pub   *publisher
	peers atomic.Pointer[Peers]
	close sync.Once
}

// Option is a setting of [New].
type Option func(*config)

type config struct {
	interval time.Duration
	maxRooms int
}

// WithInterval sets the least time between two events of one room; 100ms without
// it. With 0 every change is published as soon as it can be. An emptied room's memory
// comes back when the interval after its last event is over, or 100ms if that is less
// and nobody listened.
func WithInterval(d time.Duration) Option { return func(c *config) { c.interval = d } }

// WithMaxRooms limits how many rooms may exist at a time. What would begin another
// is refused with [ErrTooManyRooms]. With 0, as without it, there is no limit.
func WithMaxRooms(n int) Option { return func(c *config) { c.maxRooms = n } }

// New makes an engine, which runs one goroutine until [Engine.Close]. It panics on
// a negative interval or number of rooms, which no program can mean.
func New(opts ...Option) *Engine {
	c := config{interval: 100 * time.Millisecond}
	for _, o := range opts {
		o(&c)
	}
	if c.interval < 0 {
		panic(fmt.Sprintf("occupancy: negative interval %v", c.interval))
	}
	if c.maxRooms < 0 {
		panic(fmt.Sprintf("occupancy: negative number of rooms %d", c.maxRooms))
	}
	e := new(Engine)
	e.rooms.init(c.maxRooms)
	e.pub = newPublisher(&e.rooms, c.interval)
	return e
}

// Current is the room's occupancy now, with what was last heard of other nodes. A
// room that nobody is in, or that never was, is empty. It is wait-free, does not
// allocate, and works after Close too.
func (e *Engine) Current(room string) Occupancy {
	c, ok := e.rooms.find(room)
	if !ok {
		return Occupancy{}
	}
	w := c.word.Load()
	if w&held == 0 {
		return unpack(w)
	}
	return unpack(c.total(c.local()))
}

// Local is this process's own part of the room's occupancy. Like Current it is
// wait-free, does not allocate, and works after Close.
func (e *Engine) Local(room string) Occupancy {
	c, ok := e.rooms.find(room)
	if !ok {
		return Occupancy{}
	}
	return unpack(c.local())
}

// Peers is how [Engine.Get] asks the other nodes. Get returns the sum of their
// parts of the room, without this node's; it may return what it has together with
// an error that says whose part is missing. It is called from many goroutines.
type Peers interface {
	Get(ctx context.Context, room string) (Occupancy, error)
}

// SetPeers links the engine to the other nodes, for Get. With nil Get answers from
// what this process knows.
func (e *Engine) SetPeers(p Peers) {
	if p == nil {
		e.peers.Store(nil)
		return
	}
	e.peers.Store(&p)
}

// Get asks for the room's occupancy: this process's own part and, where nodes are
// linked with [Engine.SetPeers], what each of them answers now. Without peers it is
// Current. It blocks as long as the peers do; a nil ctx is [context.Background].
//
// The error is ErrClosed, ErrRoomName, ErrCount where the peers answer counts that
// cannot be, ctx's, or the peers'. With an error of the peers comes the sum of
// those parts that are known.
func (e *Engine) Get(ctx context.Context, room string) (Occupancy, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	switch {
	case e.rooms.closed.Load():
		return Occupancy{}, ErrClosed
	case !validName(room):
		return Occupancy{}, ErrRoomName
	case ctx.Err() != nil:
		return Occupancy{}, ctx.Err()
	}
	peers := e.peers.Load()
	if peers == nil {
		return e.Current(room), nil
	}
	theirs, err := (*peers).Get(ctx, room)
	ours, _ := pack(e.Local(room)) // what was unpacked packs
	part, bad := pack(theirs)
	if bad != nil {
		return unpack(ours), fmt.Errorf("%w: peers answered %+v", bad, theirs)
	}
	total, _ := add(ours, part)
	return unpack(total), err
}

// All yields every room that is not empty, in no order. It is weakly consistent: a
// room that is not empty throughout is yielded once, one that changes meanwhile may
// be yielded with any value it had. The loop may call any method of the engine.
func (e *Engine) All() iter.Seq2[string, Occupancy] {
	return func(yield func(string, Occupancy) bool) {
		e.rooms.all(func(c *cell) bool {
			o := unpack(c.total(c.local()))
			return o == Occupancy{} || yield(c.name, o)
		})
	}
}

// Close ends the engine. A server closes its connections first: what they leave after
// the engine is not counted. Every subscriber gets its room's last occupancy and then
// finds its channel closed; whatever can return an error returns ErrClosed from now
// on, and Current still reads. Close waits for the engine's goroutine, not for
// subscribers. It may be called from any goroutine and more than once; the error is
// always nil.
func (e *Engine) Close() error {
	e.close.Do(func() {
		e.rooms.closed.Store(true)
		e.pub.stop()
	})
	return nil
}
