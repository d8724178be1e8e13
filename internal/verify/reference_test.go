package verify

import (
	"math"
	"slices"
	"time"

	"github.com/occupancy/occupancy"
)

const most = math.MaxInt32 // that a room holds

// book is the reference: what an engine has to hold after calls that came one by one,
// and what each room was at which time.
type book struct {
	limit    int
	interval time.Duration
	rooms    map[string]*page
}

// page is one room.
type page struct {
	local occupancy.Occupancy
	raw   occupancy.Occupancy // of local, what no lease counts
	parts map[*remote]occupancy.Occupancy
	subs  int

	totals, locals past
	changes        []time.Time                    // of either
	versions       map[uint64]occupancy.Occupancy // of all events, whoever got them

	told   time.Time // when a subscriber was last seen to be told of a change
	unseen bool      // or may have been told unseen: there was one that nobody read
	asides int       // Subscribe and a first Next may make news a version that others are not told
}

// past is what a value was, and since when; the newest last.
type past []moment

type moment struct {
	at    time.Time
	value occupancy.Occupancy
}

func (b *book) page(room string) *page {
	p := b.rooms[room]
	if p == nil {
		p = &page{parts: map[*remote]occupancy.Occupancy{}, versions: map[uint64]occupancy.Occupancy{}}
		p.note()
		b.rooms[room] = p
	}
	return p
}

// total is the room's occupancy: all parts, each count up to the most.
func (p *page) total() occupancy.Occupancy { return sum(p.local, p.theirs()) }

// theirs is all other nodes' parts.
func (p *page) theirs() (all occupancy.Occupancy) {
	for _, part := range p.parts {
		all = sum(all, part)
	}
	return all
}

func sum(a, b occupancy.Occupancy) occupancy.Occupancy {
	return occupancy.Occupancy{
		Connections:     int(min(int64(a.Connections)+int64(b.Connections), most)),
		PresenceMembers: int(min(int64(a.PresenceMembers)+int64(b.PresenceMembers), most)),
	}
}

func (p *page) exists() bool {
	return p.subs > 0 || len(p.parts) > 0 || p.local != occupancy.Occupancy{}
}

func (b *book) exist() (n int) {
	for _, p := range b.rooms {
		if p.exists() {
			n++
		}
	}
	return n
}

// full reports whether the room may not begin.
func (b *book) full(room string) bool {
	return b.limit > 0 && !b.page(room).exists() && b.exist() >= b.limit
}

// note writes down what the room has become.
func (p *page) note() {
	n := len(p.totals) + len(p.locals)
	p.totals = p.totals.note(p.total())
	p.locals = p.locals.note(p.local)
	if len(p.totals)+len(p.locals) > n {
		p.changes = append(p.changes, time.Now())
	}
}

// quiet reports whether the room, which changed just now, had been quiet. Where
// somebody may have been told unseen, that was an interval after a change at the most.
func (p *page) quiet(interval time.Duration, unseen bool) bool {
	if unseen || p.unseen {
		before := len(p.changes) - 2
		return before <= 0 || time.Since(p.changes[before]) >= 2*interval
	}
	return p.told.IsZero() || time.Since(p.told) >= interval
}

func (h past) note(v occupancy.Occupancy) past {
	if len(h) > 0 && h.now() == v {
		return h
	}
	return append(h, moment{time.Now(), v})
}

func (h past) now() occupancy.Occupancy { return h[len(h)-1].value }

// changed is when the value last changed, and false if it never did.
func (h past) changed() (time.Time, bool) { return h[len(h)-1].at, len(h) > 1 }

// stood reports whether the value is what it was d ago.
func (h past) stood(d time.Duration) bool {
	at, ever := h.changed()
	return !ever || time.Since(at) >= d
}

// had reports whether the value was v at some time in the last d.
func (h past) had(v occupancy.Occupancy, d time.Duration) bool {
	from := time.Now().Add(-d)
	for _, m := range slices.Backward(h) {
		if m.value == v {
			return true
		}
		if !m.at.After(from) {
			return false
		}
	}
	return false
}
