package verify

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/occupancy/occupancy"
)

const most = math.MaxInt32 // the maximum of each count of a room

// reference is what the engine must contain after sequential calls, and the history of
// each room.
type reference struct {
	limit     int
	interval  time.Duration
	users     bool
	hashed    bool                       // the link has a hash of users
	interest  bool                       // the link is WithInterest
	reported  map[string]map[uint64]bool // by Link.UserChanges
	rooms     map[string]*roomState
	lingering []*openLease // in the order of Linger
}

// roomState is one room.
type roomState struct {
	local   occupancy.Occupancy
	members map[string]int // of local, by client
	raw     place          // the part of local that hooks added
	parts   map[*remote]part
	subs    int
	users   bool
	hashed  *bool // of the reference

	totals, locals history
	changes        []time.Time                    // of either
	versions       map[uint64]occupancy.Occupancy // the value of each version that any listener received

	received  time.Time // when a subscriber last received a change
	unread    bool      // a subscriber that is not eager may have received one
	snapshots int       // Subscribe and the first Next may add a version that others do not receive
}

// part is a remote part. It is comparable.
type part struct {
	occupancy.Occupancy
	users string // the client IDs, each with a space after it
}

// place is a number of connections, and of members by client.
type place struct {
	connections int
	members     map[string]int
}

// history has the values and the times from which they were valid, the newest last.
type history []moment

type moment struct {
	at    time.Time
	value occupancy.Occupancy
}

func (b *reference) state(room string) *roomState {
	p := b.rooms[room]
	if p == nil {
		p = &roomState{
			users: b.users, members: map[string]int{}, raw: place{members: map[string]int{}},
			hashed: &b.hashed, parts: map[*remote]part{}, versions: map[uint64]occupancy.Occupancy{},
		}
		p.note()
		b.rooms[room] = p
	}
	return p
}

// enter and exit add and remove a member.
func (p *roomState) enter(client string) {
	p.local.PresenceMembers++
	if p.members[client]++; p.users {
		p.local.Users = len(p.members)
	}
}

func (p *roomState) exit(client string) {
	p.local.PresenceMembers--
	if p.members[client]--; p.members[client] == 0 {
		delete(p.members, client)
	}
	if p.users {
		p.local.Users = len(p.members)
	}
}

// total returns the room's occupancy, capped at the maximum. If the link has a hash, a user of
// several parts counts once.
func (p *roomState) total() occupancy.Occupancy {
	all := p.local
	users := maps.Clone(p.members)
	for _, part := range p.parts {
		o := part.Occupancy
		if *p.hashed && part.users != "" {
			o.Users = 0
			for id := range strings.FieldsSeq(part.users) {
				users[id]++
			}
		}
		all = sum(all, o)
	}
	if *p.hashed && p.users {
		all.Users += len(users) - len(p.members)
	}
	all.Users = min(all.Users, all.PresenceMembers)
	return all
}

// remote returns the sum of the remote parts, without users.
func (p *roomState) remote() (all occupancy.Occupancy) {
	for _, part := range p.parts {
		all = sum(all, part.Occupancy)
	}
	return all
}

func sum(a, b occupancy.Occupancy) occupancy.Occupancy {
	return occupancy.Occupancy{
		Connections:     int(min(int64(a.Connections)+int64(b.Connections), most)),
		PresenceMembers: int(min(int64(a.PresenceMembers)+int64(b.PresenceMembers), most)),
		Users:           int(min(int64(a.Users)+int64(b.Users), most)),
	}
}

func (p *roomState) exists() bool {
	return p.subs > 0 || len(p.parts) > 0 || p.local != occupancy.Occupancy{}
}

func (b *reference) exist() (n int) {
	for _, p := range b.rooms {
		if p.exists() {
			n++
		}
	}
	return n
}

// number counts the rooms with the property.
func (b *reference) number(has func(*roomState) bool) (n int) {
	for _, p := range b.rooms {
		if has(p) {
			n++
		}
	}
	return n
}

func (p *roomState) occupied() bool       { return p.local != occupancy.Occupancy{} }
func (p *roomState) onlySubscribed() bool { return p.subs > 0 && !p.occupied() && len(p.parts) == 0 }
func (p *roomState) reported() bool       { return len(p.parts) > 0 }

// fullForHooks reports whether the room may not become occupied.
func (b *reference) fullForHooks(room string) bool {
	return b.limit > 0 && !b.state(room).occupied() && b.number((*roomState).occupied) >= b.limit
}

// fullForSubscribers reports whether the room may not begin by a subscription. Where rooms
// have both a remote part and a local one, the engine may accept as many more: then it is
// uncertain.
func (b *reference) fullForSubscribers(room string) (full, uncertain bool) {
	if b.limit == 0 || b.state(room).exists() {
		return false, false
	}
	n := b.number((*roomState).onlySubscribed)
	both := b.number(func(p *roomState) bool { return p.occupied() && p.reported() })
	return n >= b.limit, n >= b.limit && n < b.limit+both
}

// fullForRemotes reports whether the room may not begin a remote part.
func (b *reference) fullForRemotes(room string) bool {
	return b.limit > 0 && !b.state(room).reported() && b.number((*roomState).reported) >= b.limit
}

// note adds the current values to the histories.
func (p *roomState) note() {
	n := len(p.totals) + len(p.locals)
	p.totals = p.totals.note(p.total())
	p.locals = p.locals.note(p.local)
	if len(p.totals)+len(p.locals) > n {
		p.changes = append(p.changes, time.Now())
	}
}

// quiet reports whether the room was certainly quiet before it changed just now. If a
// listener may have received an event unnoticed, that was at most an interval after a change.
// A change that a capped total hides starts an interval without an event.
func (p *roomState) quiet(interval time.Duration, unread bool) bool {
	if p.totals.capped(interval) {
		return false
	}
	if unread || p.unread {
		before := len(p.changes) - 2
		return before <= 0 || time.Since(p.changes[before]) >= 2*interval
	}
	return p.received.IsZero() || time.Since(p.received) >= interval
}

func (h history) note(v occupancy.Occupancy) history {
	if len(h) > 0 && h.now() == v {
		return h
	}
	return append(h, moment{time.Now(), v})
}

func (h history) now() occupancy.Occupancy { return h[len(h)-1].value }

// changed returns when the value last changed, and false if it never did.
func (h history) changed() (time.Time, bool) { return h[len(h)-1].at, len(h) > 1 }

// unchanged reports whether the value has not changed for d.
func (h history) unchanged(d time.Duration) bool {
	at, ever := h.changed()
	return !ever || time.Since(at) >= d
}

// capped reports whether a value of the last d was capped.
func (h history) capped(d time.Duration) bool {
	from := time.Now().Add(-d)
	for _, m := range slices.Backward(h) {
		if m.value.Connections == most || m.value.PresenceMembers == most || m.value.Users == most {
			return true
		}
		if !m.at.After(from) {
			return false
		}
	}
	return false
}

// had reports whether the value was v at some time in the last d.
func (h history) had(v occupancy.Occupancy, d time.Duration) bool {
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
