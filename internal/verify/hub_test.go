package verify

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

// hub is the simplest implementation: a map and a mutex. A hub with a fault unlocks the
// mutex in the middle of a step.
type hub struct {
	limit int
	users bool
	fault fault

	mu        sync.Mutex
	rooms     map[string]*counts
	lingering []*hubLease // in the order of Linger
}

type fault string

const (
	losesJoin      fault = "between finding the room and joining it"
	overfillsRooms fault = "between checking the limit and adding the room"
	losesExit      fault = "between reading and writing the number of a client's members"
	overfillsRoom  fault = "between checking Max and joining the room"
	countsTakeOver fault = "between joining and leaving the place that is taken over"
	endsTwice      fault = "between checking that a lease lingers and ending it"
)

// hubWith returns a hub for the script, with a fault or "".
func hubWith(f fault, s script) func() target {
	return func() target {
		return &hub{limit: s.limit, users: s.users, fault: f, rooms: map[string]*counts{}}
	}
}

// counts are the counts of a room.
type counts struct {
	occupancy.Occupancy
	members map[string]int // by client; without users, all have the ID ""
}

// apart unlocks the mutex for a moment if the hub has the fault, so that one step becomes two.
func (h *hub) apart(f fault) {
	if h.fault == f {
		h.mu.Unlock()
		runtime.Gosched()
		h.mu.Lock()
	}
}

func (h *hub) room(name string, _ bool) room { return hubRoom{h, name} }
func (h *hub) Close() error                  { return nil }

// The caller of the following holds mu.

func (h *hub) add(room string, conns int, clients ...string) error {
	c := h.rooms[room]
	if c == nil {
		if h.limit > 0 && len(h.rooms) >= h.limit {
			return occupancy.ErrTooManyRooms
		}
		h.apart(overfillsRooms)
		if c = h.rooms[room]; c == nil {
			c = &counts{members: map[string]int{}}
			h.rooms[room] = c
		}
	}
	h.apart(losesJoin)
	c.Connections += conns
	c.PresenceMembers += len(clients)
	for _, id := range clients {
		c.members[h.key(id)]++
	}
	return nil
}

func (h *hub) key(id string) string {
	if h.users {
		return id
	}
	return ""
}

// remove removes what the room has of the connections and clients, and reports whether it had
// all of them.
func (h *hub) remove(room string, conns int, clients ...string) (all bool) {
	c := h.rooms[room]
	if c == nil {
		return false
	}
	all = c.Connections >= conns
	c.Connections -= min(conns, c.Connections)
	for _, id := range clients {
		id = h.key(id)
		n := c.members[id]
		if n == 0 {
			all = false
			continue
		}
		c.PresenceMembers--
		h.apart(losesExit)
		if c.members[id] = n - 1; n == 1 {
			delete(c.members, id)
		}
	}
	if c.Occupancy == (occupancy.Occupancy{}) && h.rooms[room] == c {
		delete(h.rooms, room)
	}
	return all
}

type hubRoom struct {
	h    *hub
	name string
}

func (r hubRoom) add(conns int, clients ...string) error {
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	return r.h.add(r.name, conns, clients...)
}

func (r hubRoom) remove(none error, conns int, clients ...string) error {
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	if !r.h.remove(r.name, conns, clients...) {
		return none
	}
	return nil
}

func (r hubRoom) Join() error               { return r.add(1) }
func (r hubRoom) Leave() error              { return r.remove(occupancy.ErrNotJoined, 1) }
func (r hubRoom) Enter(client string) error { return r.add(0, client) }
func (r hubRoom) Exit(client string) error  { return r.remove(occupancy.ErrNotEntered, 0, client) }

func (r hubRoom) Current() occupancy.Occupancy {
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	c := r.h.rooms[r.name]
	if c == nil {
		return occupancy.Occupancy{}
	}
	o := c.Occupancy
	if r.h.users {
		o.Users = len(c.members)
	}
	return o
}

func (r hubRoom) Local() occupancy.Occupancy                       { return r.Current() }
func (r hubRoom) Get(context.Context) (occupancy.Occupancy, error) { return r.Current(), nil }

func (r hubRoom) Connect(o options) (lease, error) {
	h := r.h
	h.mu.Lock()
	defer h.mu.Unlock()
	l := &hubLease{h: h, room: r.name, clients: map[string]bool{}, open: true}
	for _, id := range o.as {
		if i := slices.IndexFunc(h.lingering, func(old *hubLease) bool { return old.room == r.name && old.client == id }); i >= 0 {
			old := h.lingering[i]
			h.lingering = slices.Delete(h.lingering, i, i+1)
			if h.fault == countsTakeOver {
				_ = h.add(r.name, 1)
				h.apart(countsTakeOver)
				h.remove(r.name, 1)
			}
			l.client, l.clients = o.as[0], old.clients
			for _, id := range o.as {
				l.enter(id)
			}
			return l, nil
		}
	}
	if c := h.rooms[r.name]; c != nil && o.most != noMax && c.Connections >= o.most {
		return nil, occupancy.ErrRoomFull
	}
	h.apart(overfillsRoom)
	if err := h.add(r.name, 1); err != nil {
		return nil, err
	}
	for _, id := range o.as {
		l.enter(id)
	}
	return l, nil
}

func (r hubRoom) Subscribe() (*occupancy.Subscription, error) { return nil, errors.ErrUnsupported }

type hubLease struct {
	h       *hub
	room    string
	client  string // that can take over the place, or ""
	clients map[string]bool
	open    bool
}

func (l *hubLease) enter(id string) {
	if l.clients[id] || l.h.add(l.room, 0, id) != nil {
		return
	}
	l.clients[id] = true
	if l.client == "" {
		l.client = id
	}
}

func (l *hubLease) Enter(id string) error {
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	if !l.open {
		return occupancy.ErrClosed
	}
	l.enter(id)
	return nil
}

func (l *hubLease) Exit(id string) error {
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	switch {
	case !l.open:
		return occupancy.ErrClosed
	case !l.clients[id]:
		return occupancy.ErrNotEntered
	}
	if delete(l.clients, id); l.client == id {
		l.client = ""
		for other := range l.clients {
			l.client = other // there are two clients at most
		}
	}
	l.h.remove(l.room, 0, id)
	return nil
}

func (l *hubLease) Close() error {
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	if l.open {
		l.open = false
		l.end()
	} else {
		l.stopLingering()
	}
	return nil
}

func (l *hubLease) Linger(d time.Duration) {
	l.h.mu.Lock()
	defer l.h.mu.Unlock()
	if !l.open {
		return
	}
	l.open = false
	l.h.lingering = append(l.h.lingering, l)
	if d < time.Hour { // otherwise longer than a history
		time.AfterFunc(d, func() {
			l.h.mu.Lock()
			defer l.h.mu.Unlock()
			l.stopLingering()
		})
	}
}

// stopLingering ends the lease if it lingers.
func (l *hubLease) stopLingering() {
	if !slices.Contains(l.h.lingering, l) {
		return
	}
	l.h.apart(endsTwice)
	l.h.lingering = slices.DeleteFunc(l.h.lingering, func(other *hubLease) bool { return other == l })
	l.end()
}

func (l *hubLease) end() {
	l.h.remove(l.room, 1, slices.Collect(maps.Keys(l.clients))...)
}
