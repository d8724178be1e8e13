package occupancy

import (
	"errors"
	"math"
	"sync/atomic"
	"time"
)

// Stats are totals over all rooms, and what the engine has done. The uint64 fields
// count since New. The fields are read one after another, so together they are not a
// snapshot, and the totals may lag behind the hooks: see [Engine.Stats].
type Stats struct {
	Rooms int       // that exist: occupied, subscribed to, or reported by another node
	Total Occupancy // of all rooms, of this process and the linked nodes
	Local Occupancy // of all rooms, of this process

	Subscriptions int // open
	Watchers      int // open
	Lingering     int // leases that linger: see [Lease.Linger]

	// Connections of this process that arrived and departed. Each time a room is
	// published, its net change since the last time counts as one or the other.
	Arrivals   uint64
	Departures uint64

	Published uint64 // events of rooms with a subscriber or watcher
	Delivered uint64 // events handed to a subscriber, including first ones
	Folded    uint64 // events folded into a newer one, which replaced them before the subscriber read them

	Refused    Refused       // hooks that returned an error and changed nothing
	Delays     Delays        // of the published events
	Rounds     uint64        // how often the engine or a hook visited rooms to publish them
	Publishing time.Duration // the time that these rounds took in all; the engine is overloaded if Publishing/Rounds reaches the interval
}

// Stats returns the totals. It never walks the rooms itself. If the totals of rooms
// without listeners are older than a second, it waits until the engine's goroutine has
// walked the rooms, which takes about a tenth of a second for a million. So the totals of
// such rooms lag by a second at most, and all others by an interval. It works after Close.
func (e *Engine) Stats() Stats {
	p := e.pub
	e.sched.freshTotals()
	p.mu.Lock()
	delays := p.delays
	p.mu.Unlock()
	return Stats{
		Rooms:         e.rooms.existing(),
		Total:         p.total.read(),
		Local:         p.local.read(),
		Subscriptions: int(p.openSubscriptions.Load()),
		Watchers:      int(p.openWatchers.Load()),
		Lingering:     e.lingering.len(),
		Arrivals:      p.arrivals.Load(),
		Departures:    p.departures.Load(),
		Published:     p.published.Load(),
		Delivered:     p.delivered.Load(),
		Folded:        p.folded.Load(),
		Refused:       p.refused.read(),
		Delays:        delays,
		Rounds:        p.rounds.Load(),
		Publishing:    time.Duration(p.publishing.Load()),
	}
}

// Refused counts the refused hooks by the error they returned: Join, Leave, Enter and
// Exit of an Engine, a Room or a Session, Connect, and Enter and Exit of a Lease.
type Refused struct {
	Closed          uint64 // ErrClosed
	InvalidRoom     uint64 // ErrInvalidRoom
	InvalidClientID uint64 // ErrInvalidClientID
	TooManyRooms    uint64 // ErrTooManyRooms
	RoomFull        uint64 // ErrRoomFull
	NotJoined       uint64 // ErrNotJoined
	NotEntered      uint64 // ErrNotEntered
	Count           uint64 // ErrCount: the count of a room would be out of range
}

// refusals are the errors of the fields of Refused, in the same order.
var refusals = [...]error{ErrClosed, ErrInvalidRoom, ErrInvalidClientID, ErrTooManyRooms, ErrRoomFull, ErrNotJoined, ErrNotEntered, ErrCount}

// refused holds the counters of Refused. Only a hook that fails writes them.
type refused [len(refusals)]atomic.Uint64

// refuse counts err, the error of a hook, in Stats, and returns it.
func (e *Engine) refuse(err error) error {
	for i := range refusals {
		if errors.Is(err, refusals[i]) {
			e.pub.refused[i].Add(1)
		}
	}
	return err
}

func (r *refused) read() Refused {
	return Refused{r[0].Load(), r[1].Load(), r[2].Load(), r[3].Load(), r[4].Load(), r[5].Load(), r[6].Load(), r[7].Load()}
}

// Delays is a histogram of the delays of events. The delay of an event is the time from
// the moment at which the engine could have published it, until the engine has published
// it. For a room that waits for its interval, this moment is the end of the interval. For
// any other room it is the moment at which the engine's goroutine or the hook begins to
// publish. So a subscriber receives a change at most one interval and the delay after the hook
// returned, plus the time that the Go scheduler takes to run the engine's goroutine and
// the subscriber. Delays grow if the process has too little processor time.
//
// The hooks do not read the clock for this. The first events of subscriptions have no delay.
type Delays struct {
	Counts [len(delayBounds) + 1]uint64 // by the smallest of DelayBounds that is not exceeded; the last is for longer delays
	Sum    time.Duration
}

var delayBounds = [...]time.Duration{
	100 * time.Microsecond, 300 * time.Microsecond,
	time.Millisecond, 3 * time.Millisecond,
	10 * time.Millisecond, 30 * time.Millisecond,
	100 * time.Millisecond, 300 * time.Millisecond,
	time.Second, 3 * time.Second,
}

// DelayBounds returns the bounds of Delays.Counts, in ascending order. They are the same in
// every process, so that histograms can be added up.
func DelayBounds() []time.Duration { return append([]time.Duration(nil), delayBounds[:]...) }

func (d *Delays) add(delay time.Duration) {
	i := 0
	for i < len(delayBounds) && delay > delayBounds[i] {
		i++
	}
	d.Counts[i]++
	d.Sum += max(delay, 0)
}

// tally is what Stats reads.
type tally struct {
	total, local                 sums // as last published
	arrivals, departures         atomic.Uint64
	openSubscriptions            atomic.Int64
	openWatchers                 atomic.Int64
	published, delivered, folded atomic.Uint64
	rounds                       atomic.Uint64
	publishing                   atomic.Int64 // nanoseconds
	refused                      refused      // here and not in Engine, whose cache line every hook reads
	delays                       Delays       // publisher.mu protects it
}

func (t *tally) countRound(took time.Duration) {
	t.rounds.Add(1)
	t.publishing.Add(int64(took))
}

// sums are the counts of all rooms together.
type sums struct{ connections, members, users atomic.Int64 }

// add adds the change of one room's counts.
func (s *sums) add(before, after counts) {
	s.connections.Add(int64(after.connections) - int64(before.connections))
	s.members.Add(int64(after.members) - int64(before.members))
	s.users.Add(int64(after.users) - int64(before.users))
}

func (s *sums) read() Occupancy {
	return Occupancy{capInt(s.connections.Load()), capInt(s.members.Load()), capInt(s.users.Load())}
}

// capInt converts n to an int, which has 32 bits on some processors.
func capInt(n int64) int { return int(min(n, math.MaxInt)) }

// countLocal adds a published change of this process's part of a room to the totals.
func (t *tally) countLocal(before, after counts) {
	t.local.add(before, after)
	switch d := int64(after.connections) - int64(before.connections); {
	case d > 0:
		t.arrivals.Add(uint64(d))
	case d < 0:
		t.departures.Add(uint64(-d))
	}
}
