package verify

import (
	"runtime"
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
	clients, lingering := scripts["leases as clients"], scripts["lingering"]
	users := scripts["users and hooks by name"]
	for _, c := range []struct {
		name   string
		script script
		target func() target
		clean  bool
	}{
		{"a hub without a fault", hooks, hubWith("", hooks), true},
		{"a hub with a limit and no fault", few, hubWith("", few), true},
		{"a hub with users and no fault", users, hubWith("", users), true},
		{"a hub with clients and no fault", clients, hubWith("", clients), true},
		{"a hub with lingering leases and no fault", lingering, hubWith("", lingering), true},
		{"a Join lost to a room that is being dropped", hooks, hubWith(losesJoin, hooks), false},
		{"a room too many", few, hubWith(overfillsRooms, few), false},
		{"a user that two simultaneous exits leave behind", users, hubWith(losesExit, users), false},
		{"a connection too many", clients, hubWith(overfillsRoom, clients), false},
		{"a take-over that counts", lingering, hubWith(countsTakeOver, lingering), false},
		{"a place that ends after it was taken over", lingering, hubWith(endsTwice, lingering), false},
		{"a pair read in two steps", hooks, faulty(hooks, func(v room) room { return torn{v} }), false},
		{"a Leave that does not check", hooks, faulty(hooks, func(v room) room { return unchecked{v} }), false},
		{"a Close that counts each time", scripts["leases"], faulty(scripts["leases"], func(v room) room { return overclosed{v} }), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			model, most := sequential(c.script), 5000
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

func (r overclosed) Connect(o options) (lease, error) {
	l, err := r.room.Connect(o)
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
