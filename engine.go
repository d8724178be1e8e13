package occupancy

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"sync/atomic"
	"time"
)

// Engine counts the connections, presence members and users of rooms and notifies
// subscribers and watchers of changes. Create it with [New] and share it: all its
// methods may be called from any goroutine.
type Engine struct {
	rooms     rooms // not a pointer, which every hook would have to follow
	pub       *publisher
	sched     *scheduler
	lingering *lingering
	link      atomic.Pointer[Link]
}

// Option is a setting of [New].
type Option func(*config)

type config struct {
	interval time.Duration
	maxRooms int
	users    bool
}

// WithInterval sets the minimum time between two events of one room. The default is
// 100ms. With 0 every change is published as soon as possible. The memory of an emptied
// room is released when the interval after its last event is over; if nobody was
// listening to it, after 100ms at most.
func WithInterval(d time.Duration) Option { return func(c *config) { c.interval = d } }

// WithMaxRooms limits the number of occupied rooms, which are those with connections or
// members of this process: a Join, Enter or Connect that would occupy one more room
// returns [ErrTooManyRooms]. Rooms that are only subscribed to do not count as occupied.
// Their number is limited to n, too, and so is the number of rooms of other nodes. So
// neither subscribers nor other nodes can cause a Join to be refused. The number of all
// rooms with subscriptions is limited to 3n. The default, 0, means no limit.
func WithMaxRooms(n int) Option { return func(c *config) { c.maxRooms = n } }

// WithUsers makes the engine count the users of each room: the distinct client IDs among its
// presence members. Two tabs that entered as "alice" are two members and one user.
// All three counts are exact, and are read together as one value. Enter and Exit are slower,
// because they lock one of the 64 parts of the engine's table of users for a moment. Each user of
// a room takes 50 to 85 bytes, and its ID. See [WithUserHash] for the users of several nodes.
func WithUsers() Option { return func(c *config) { c.users = true } }

// New returns an engine, which runs one goroutine until [Engine.Close]. It panics if an
// option is invalid: a negative interval or number of rooms.
func New(opts ...Option) *Engine {
	c := config{interval: 100 * time.Millisecond}
	for _, o := range opts {
		o(&c)
	}
	if c.interval < 0 {
		panic(fmt.Sprintf("occupancy: WithInterval: negative interval %v", c.interval))
	}
	if c.maxRooms < 0 {
		panic(fmt.Sprintf("occupancy: WithMaxRooms: negative number of rooms %d", c.maxRooms))
	}
	e := new(Engine)
	flags := idle
	var users *userTable
	if c.users {
		flags |= tracked
		users = newUserTable()
	}
	e.rooms.init(c.maxRooms, flags)
	e.pub = newPublisher(&e.rooms, users, c.interval)
	e.lingering = newLingering()
	e.sched = newScheduler(e.pub, e.lingering)
	return e
}

// Current returns the room's occupancy, including the other nodes' counts as last
// received. An unknown room is empty. Current is wait-free, does not allocate, and
// works after Close, too.
func (e *Engine) Current(room string) Occupancy {
	c, ok := e.rooms.cells.mapOf(room).Load(room)
	if !ok {
		return Occupancy{}
	}
	w := c.word.Load()
	if w&held == 0 { // so the word is not retired, either
		return countsOf(w).occupancy()
	}
	return c.total().occupancy()
}

// Local returns this process's own part of the room's occupancy. Like Current it is
// wait-free, does not allocate, and works after Close.
func (e *Engine) Local(room string) Occupancy {
	c, ok := e.rooms.cells.mapOf(room).Load(room)
	if !ok {
		return Occupancy{}
	}
	return countsOf(c.local()).occupancy()
}

// Get returns the room's occupancy from the source: this process's own counts plus, if
// the engine is linked, what each of the other nodes answers now. Without a [Link] it
// returns the same as Current. It blocks until the nodes have answered or ctx is done.
//
// Users cannot be added up. With [WithUserHash] they are those of Current or, if they are more, those
// that the other nodes answer, but not more than the members.
//
// The error is ErrClosed, ErrInvalidRoom, ErrCount if the nodes answered an impossible
// count, the error of ctx, or that of [Peers]. Together with an error of Peers, Get
// returns the sum of the parts that are known.
func (e *Engine) Get(ctx context.Context, room string) (Occupancy, error) {
	if err := cmp.Or(e.rooms.check(room), ctx.Err()); err != nil {
		return Occupancy{}, err
	}
	link := e.link.Load()
	if link == nil || link.peers == nil || link.closed.Load() {
		return e.Current(room), nil
	}
	theirs, err := link.peers.Get(ctx, room)
	ours, _ := e.counts(e.Local(room)) // never fails: Local returns possible counts
	part, bad := e.counts(theirs)
	if bad != nil {
		return ours.occupancy(), fmt.Errorf("%w: peers answered %+v", bad, theirs)
	}
	total, _ := ours.plus(part)
	if link.index != nil {
		total.users = min(max(uint32(e.Current(room).Users), part.users), total.members)
	}
	return total.occupancy(), err
}

// counts returns an occupancy as counts. An engine that does not count users ignores those of
// other nodes. The error is ErrCount if the occupancy is impossible.
func (e *Engine) counts(o Occupancy) (counts, error) {
	if o.Connections < 0 || o.PresenceMembers < 0 || o.Users < 0 ||
		o.Connections > maxCount || o.PresenceMembers > maxCount || o.Users > o.PresenceMembers {
		return counts{}, ErrCount
	}
	if e.pub.users == nil {
		o.Users = 0
	}
	return counts{uint32(o.Connections), uint32(o.PresenceMembers), uint32(o.Users)}, nil
}

// All yields every room that is not empty, in no particular order. It is weakly
// consistent: a room that is not empty throughout is yielded once, and a room that
// changes meanwhile may be yielded with any value it had. The loop may call any method
// of the engine.
func (e *Engine) All() iter.Seq2[string, Occupancy] {
	return func(yield func(string, Occupancy) bool) {
		e.rooms.cells.Range(func(c *cell) bool {
			o := c.total().occupancy()
			return o == Occupancy{} || yield(c.name, o)
		})
	}
}

// Interval returns the minimum time between two events of one room, as set by
// [WithInterval].
func (e *Engine) Interval() time.Duration { return e.pub.interval }

// CountsUsers reports whether the engine was created [WithUsers].
func (e *Engine) CountsUsers() bool { return e.pub.users != nil }

// Done returns a channel that is closed when [Engine.Close] has closed the engine.
func (e *Engine) Done() <-chan struct{} { return e.sched.stopped }

// Close closes the engine. Every subscriber receives its room's last occupancy, and then
// its channel is closed. From then on every method that can return an error returns
// ErrClosed, except Close methods, which return nil. Current still works. A server should
// close its connections first, because a Leave after Close is not counted.
//
// Close waits for the engine's goroutine, but not for subscribers. It may be called
// from any goroutine and more than once; the error is always nil.
func (e *Engine) Close() error {
	e.rooms.closed.Store(true)
	e.pub.inbox.signal()
	<-e.sched.stopped
	return nil
}
