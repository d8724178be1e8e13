package stress

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/occupancy/occupancy"
)

// sessionUser is a client that has one session at a time. When it breaks, the client opens
// another one, and takes over the place in each room when it joins again.
type sessionUser struct {
	s       *storm
	id      string
	session *occupancy.Session
	rooms   []sessionRoom
}

// sessionRoom is a room of a sessionUser.
type sessionRoom struct {
	joined  bool // in the session
	waiting bool // a place of an earlier session lingers
	entered bool
}

func newSessionUser(s *storm) *sessionUser {
	u := &sessionUser{s: s, id: fmt.Sprint("session", len(s.actors)), rooms: make([]sessionRoom, len(s.rooms))}
	u.session = s.e.Session(u.id)
	return u
}

func (u *sessionUser) step(r *rand.Rand) {
	i := r.IntN(len(u.rooms))
	room, name := &u.rooms[i], u.s.rooms[i]
	switch r.IntN(8) {
	case 0:
		u.join(i, u.session.Join(name), room.entered)
	case 1:
		u.join(i, u.session.Enter(name), true)
	case 2, 3:
		want := room.joined && room.entered
		if err := u.session.Exit(name); (err == nil) != want || err != nil && !errors.Is(err, occupancy.ErrNotEntered) {
			u.s.t.Errorf("%s: Exit of a session: %v, %+v", name, err, *room)
		}
		room.entered = room.entered && !want
	case 4, 5, 6:
		u.leave(i)
	case 7:
		if r.IntN(4) > 0 {
			return
		}
		linger := r.IntN(4) > 0
		for i := range u.rooms {
			if room := &u.rooms[i]; room.joined && linger {
				room.joined, room.waiting = false, true
			} else if room.joined {
				u.s.occupied.unuse(i)
				*room = sessionRoom{}
			}
		}
		if linger {
			u.session.Linger(time.Hour)
		} else {
			_ = u.session.Close()
		}
		u.session = u.s.e.Session(u.id)
	}
}

// join notes a Join or Enter that returned err.
func (u *sessionUser) join(i int, err error, entered bool) {
	switch room := &u.rooms[i]; {
	case err == nil:
		if !room.joined && !room.waiting {
			u.s.occupied.use(i)
		}
		*room = sessionRoom{joined: true, entered: entered}
	case room.joined || room.waiting || u.s.limit == 0 || !errors.Is(err, occupancy.ErrTooManyRooms):
		u.s.t.Errorf("%s: %v, %+v", u.s.rooms[i], err, *room)
	}
}

func (u *sessionUser) leave(i int) {
	room, name := &u.rooms[i], u.s.rooms[i]
	joined := room.joined
	if joined {
		u.s.occupied.unuse(i)
		*room = sessionRoom{}
	}
	if err := u.session.Leave(name); (err == nil) != joined || err != nil && !errors.Is(err, occupancy.ErrNotJoined) {
		u.s.t.Errorf("%s: Leave of a session: %v, %+v", name, err, *room)
	}
}

func (u *sessionUser) part(i int) (local, remote occupancy.Occupancy) {
	if room := u.rooms[i]; room.joined || room.waiting {
		local.Connections = 1
		if room.entered {
			local.PresenceMembers = 1
		}
	}
	return local, remote
}

func (u *sessionUser) clients(i int) map[string]int {
	local, _ := u.part(i)
	return map[string]int{u.id: local.PresenceMembers}
}

func (u *sessionUser) lingering() (n int) {
	for _, room := range u.rooms {
		if room.waiting {
			n++
		}
	}
	return n
}

func (u *sessionUser) endRound() {}

func (u *sessionUser) removeAll() {
	for i := range u.rooms {
		if u.rooms[i].waiting {
			u.join(i, u.session.Join(u.s.rooms[i]), u.rooms[i].entered)
		}
		u.leave(i)
	}
}

// briefUser is a client whose leases linger so briefly that they end while it connects again.
type briefUser struct {
	countless
	s      *storm
	id     string
	leases []*occupancy.Lease // of the current round
}

func (u *briefUser) step(r *rand.Rand) {
	if r.IntN(8) > 0 {
		return
	}
	l, err := u.s.e.Connect(u.s.rooms[r.IntN(len(u.s.rooms))], occupancy.As(u.id))
	if err != nil {
		if u.s.limit == 0 || !errors.Is(err, occupancy.ErrTooManyRooms) {
			u.s.t.Errorf("Connect: %v", err)
		}
		return
	}
	u.leases = append(u.leases, l)
	l.Linger(time.Duration(1 + r.IntN(int(100*time.Microsecond))))
	if r.IntN(4) == 0 {
		_ = u.leases[r.IntN(len(u.leases))].Close()
	}
}

// endRound ends what lingers.
func (u *briefUser) endRound() {
	for _, l := range u.leases {
		_ = l.Close()
	}
	u.leases = nil
}
