package verify

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/occupancy/occupancy"
)

// TestLinearizable_FindsFaults checks engines with a typical fault each, which must be
// found, and engines without a fault.
func TestLinearizable_FindsFaults(t *testing.T) {
	hooks := scripts["hooks"]
	few := script{
		rooms: 3, callers: 4, calls: 8, limit: 1,
		methods: []method{join, leave, leave, enter, exit, exit, current},
	}
	for _, c := range []struct {
		name   string
		script script
		target func() target
		clean  bool
	}{
		{"a hub without a fault", hooks, func() target { return &hub{} }, true},
		{"a hub with a limit and no fault", few, func() target { return &hub{limit: 1} }, true},
		{"a Join lost to a room that is being dropped", hooks, func() target { return &hub{losesJoin: true} }, false},
		{"a room too many", few, func() target { return &hub{limit: 1, overfills: true} }, false},
		{"a pair read in two steps", hooks, faulty(hooks, func(v room) room { return torn{v} }), false},
		{"a Leave that does not check", hooks, faulty(hooks, func(v room) room { return unchecked{v} }), false},
		{"a Close that counts each time", scripts["leases"], faulty(scripts["leases"], func(v room) room { return overclosed{v} }), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			model, most := sequential(c.script.limit), 5000
			if c.clean {
				most = 500
			}
			for seed := range most {
				target := c.target()
				history := record(c.script, target, uint64(seed))
				_ = target.Close()
				switch verdict := porcupine.CheckOperationsTimeout(model, history, 10*time.Second); {
				case verdict == porcupine.Unknown:
					t.Fatalf("history %d took too long to check", seed)
				case verdict == porcupine.Illegal && c.clean:
					t.Fatalf("history %d has no fault:\n%s", seed, list(history))
				case verdict == porcupine.Illegal:
					t.Logf("seen in history %d", seed)
					return
				}
			}
			if !c.clean {
				t.Fatal("was not seen")
			}
		})
	}
}

// hub is the simplest implementation: a map and a mutex. A hub with a fault unlocks the
// mutex between reading and writing.
type hub struct {
	limit                int
	losesJoin, overfills bool

	mu    sync.Mutex
	rooms map[string]*occupancy.Occupancy
}

// apart unlocks the mutex for a moment, so that one step becomes two.
func (h *hub) apart(fault bool) {
	if fault {
		h.mu.Unlock()
		runtime.Gosched()
		h.mu.Lock()
	}
}

func (h *hub) room(name string, _ bool) room { return hubRoom{h, name} }
func (h *hub) Close() error                  { return nil }

type hubRoom struct {
	h    *hub
	name string
}

func (r hubRoom) add(conns, members int) error {
	h := r.h
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.rooms[r.name]
	if o == nil {
		if h.limit > 0 && len(h.rooms) >= h.limit {
			return occupancy.ErrTooManyRooms
		}
		h.apart(h.overfills)
		if o = h.rooms[r.name]; o == nil {
			o = new(occupancy.Occupancy)
			if h.rooms == nil {
				h.rooms = map[string]*occupancy.Occupancy{}
			}
			h.rooms[r.name] = o
		}
	}
	h.apart(h.losesJoin)
	o.Connections += conns
	o.PresenceMembers += members
	return nil
}

func (r hubRoom) remove(conns, members int, none error) error {
	h := r.h
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.rooms[r.name]
	if o == nil || o.Connections < conns || o.PresenceMembers < members {
		return none
	}
	o.Connections -= conns
	o.PresenceMembers -= members
	if *o == (occupancy.Occupancy{}) {
		delete(h.rooms, r.name)
	}
	return nil
}

func (r hubRoom) Join() error  { return r.add(1, 0) }
func (r hubRoom) Leave() error { return r.remove(1, 0, occupancy.ErrNotJoined) }
func (r hubRoom) Enter() error { return r.add(0, 1) }
func (r hubRoom) Exit() error  { return r.remove(0, 1, occupancy.ErrNotEntered) }

func (r hubRoom) Current() occupancy.Occupancy {
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	if o := r.h.rooms[r.name]; o != nil {
		return *o
	}
	return occupancy.Occupancy{}
}

func (r hubRoom) Local() occupancy.Occupancy                       { return r.Current() }
func (r hubRoom) Get(context.Context) (occupancy.Occupancy, error) { return r.Current(), nil }
func (r hubRoom) Connect() (lease, error)                          { return nil, errors.ErrUnsupported }
func (r hubRoom) Subscribe() (sub *occupancy.Subscription, err error) {
	return nil, errors.ErrUnsupported
}

// faulty returns the real engine with a fault added.
func faulty(s script, wrap func(room) room) func() target {
	return func() target { return wrapped{s.engine(), wrap} }
}

type wrapped struct {
	target
	wrap func(room) room
}

func (w wrapped) room(name string, handle bool) room { return w.wrap(w.target.room(name, handle)) }

// torn reads the connections and then the members, in two calls.
type torn struct{ room }

func (r torn) Current() occupancy.Occupancy {
	o := r.room.Current()
	runtime.Gosched()
	o.PresenceMembers = r.room.Current().PresenceMembers
	return o
}

// unchecked returns nil for a refused Leave.
type unchecked struct{ room }

func (r unchecked) Leave() error {
	_ = r.room.Leave()
	return nil
}

// overclosed leaves the room again when a lease is closed again.
type overclosed struct{ room }

func (r overclosed) Connect() (lease, error) {
	l, err := r.room.Connect()
	return overclosedLease{l, r.room}, err
}

type overclosedLease struct {
	lease
	room room
}

func (l overclosedLease) Close() error {
	if l.Enter("ann") == occupancy.ErrClosed {
		_ = l.room.Leave()
	}
	return l.lease.Close()
}
