package occupancy

import (
	"sync/atomic"
	"time"
)

// Stats are totals over all rooms, and what the engine has done. The uint64 fields
// count since New. The fields are read one after another, so together they are not a
// snapshot, and the totals may lag behind the hooks by an interval.
type Stats struct {
	Rooms int       // that exist: occupied, subscribed to, or reported by another node
	Total Occupancy // of all rooms, of this process and the linked nodes
	Local Occupancy // of all rooms, of this process

	Subscriptions int // open
	Watchers      int // open

	// Connections of this process that arrived and departed. Each time a room is
	// published, its net change since the last time counts as one or the other.
	Arrivals   uint64
	Departures uint64

	Published uint64 // events of rooms with a subscriber or watcher
	Delivered uint64 // events handed to a subscriber, including first ones
	Folded    uint64 // events folded into a newer one, which replaced them before the subscriber read them

	Refused    Refused       // hooks that returned an error and changed nothing
	Rounds     uint64        // how often the engine or a hook visited rooms to publish them
	Publishing time.Duration // the time that these rounds took in all; the engine is overloaded if Publishing/Rounds reaches the interval
}

// Stats returns the totals. It never walks the rooms itself. If the totals of rooms
// without listeners are older than a second, it waits until the engine's goroutine has
// walked the rooms, which takes about a tenth of a second for a million. So the totals of
// such rooms lag by a second at most, and all others by an interval. It works after Close.
func (e *Engine) Stats() Stats {
	p := e.pub
	p.freshTotals()
	return Stats{
		Rooms:         e.rooms.existing(),
		Total:         p.total.read(),
		Local:         p.local.read(),
		Subscriptions: int(p.subscriptions.Load()),
		Watchers:      int(p.watchers.Load()),
		Arrivals:      p.arrivals.Load(),
		Departures:    p.departures.Load(),
		Published:     p.published.Load(),
		Delivered:     p.delivered.Load(),
		Folded:        p.folded.Load(),
		Refused:       p.refused.read(),
		Rounds:        p.rounds.Load(),
		Publishing:    time.Duration(p.publishing.Load()),
	}
}

// Refused counts the refused hooks by the error they returned: Join, Leave, Enter and
// Exit of an Engine or a Room, Connect, and Enter and Exit of a Lease.
type Refused struct {
	Closed          uint64 // ErrClosed
	InvalidRoom     uint64 // ErrInvalidRoom
	InvalidClientID uint64 // ErrInvalidClientID
	TooManyRooms    uint64 // ErrTooManyRooms
	NotJoined       uint64 // ErrNotJoined
	NotEntered      uint64 // ErrNotEntered
	Count           uint64 // ErrCount: the count of a room would be out of range
}

// refusals are the errors of the fields of Refused, in the same order.
var refusals = [...]Error{ErrClosed, ErrInvalidRoom, ErrInvalidClientID, ErrTooManyRooms, ErrNotJoined, ErrNotEntered, ErrCount}

// refused holds the counters of Refused. Only a hook that fails writes them.
type refused [len(refusals)]atomic.Uint64

// note counts err, the error of a hook or nil, and returns it.
func (r *refused) note(err error) error {
	for i := range refusals {
		if err == refusals[i] {
			r[i].Add(1)
		}
	}
	return err
}

func (r *refused) read() Refused {
	return Refused{r[0].Load(), r[1].Load(), r[2].Load(), r[3].Load(), r[4].Load(), r[5].Load(), r[6].Load()}
}
