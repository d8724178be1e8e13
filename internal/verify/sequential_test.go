package verify

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/anishathalye/porcupine"
	"github.com/occupancy/occupancy"
)

// state is the state of an engine after sequential calls.
type state struct {
	conns, members [maxRooms]int8
	leases         [maxLeases]handle
	subs           [maxSubs]handle
	closing        bool // a call may return ErrClosed
	closed         bool
}

// handle is a lease or a subscription.
type handle struct {
	open    bool
	room    int8
	joined  bool  // the lease counts its connection
	lost    bool  // its room was dropped
	clients uint8 // a bit for each
}

// sequential returns the model of an engine with that limit, or 0.
//
// The model is nondeterministic in three points. A Leave by name may remove the connection of
// a lease and empty its room. The engine drops an empty room at some later time, and then
// the lease counts nothing any more. So an empty room with open leases has two states.
// A Subscribe at the limit of subscribed rooms may see a concurrent hook or not. Close of a
// lease returns nil whether it counted or came after the engine's Close.
func sequential(limit int) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: byRoom(limit),
		Init:      func() []any { return []any{state{}} },
		Step: func(from, input, output any) []any {
			var to []any
			for _, s := range from.(state).dropped() {
				if next, ok := s.step(limit, input.(call), output.(result)); ok {
					to = append(to, next)
				}
				if c := input.(call); c.method == leaseClose && s.closing {
					s.leases[c.id].open = false // too late to count, but returns nil as well
					to = append(to, s)
				}
			}
			return to
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v: %v", input, output) },
		DescribeState:     func(s any) string { return s.(state).String() },
	}
	return m.ToModel()
}

// byRoom splits a history into one for each room, as without a limit they are independent.
// Close is part of all.
func byRoom(limit int) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(all []porcupine.Operation) [][]porcupine.Operation {
		if limit > 0 {
			return [][]porcupine.Operation{all}
		}
		parts := make([][]porcupine.Operation, maxRooms)
		for _, op := range all {
			c := op.Input.(call)
			for room := range parts {
				if c.room == room || c.method >= closing {
					parts[room] = append(parts[room], op)
				}
			}
		}
		return parts
	}
}

// exists reports whether the room exists.
func (s state) exists(room int8) bool {
	for _, sub := range s.subs {
		if sub.open && sub.room == room {
			return true
		}
	}
	return s.occupied(room)
}

// dropped returns the state, and the states in which empty rooms have been dropped.
func (s state) dropped() []state {
	all := []state{s}
	for room := range int8(maxRooms) {
		if s.exists(room) {
			continue
		}
		for _, s := range all {
			was := s
			for i := range s.leases {
				if l := &s.leases[i]; l.open && l.room == room {
					l.lost = true
				}
			}
			if s != was {
				all = append(all, s)
			}
		}
	}
	return all
}

// step returns the state after the call, and whether the call can have that result.
func (s state) step(limit int, c call, r result) (state, bool) {
	room := int8(c.room)
	switch c.method {
	case current, local, snapshot:
		return s, r.occupancy == s.occupancy(room) && r.err == nil
	case unsubscribe:
		s.subs[c.id].open = false
		return s, true
	case closing:
		s.closing = true
		return s, true
	case closed:
		s.closed = true
		return s, r.err == nil
	}
	if r.err == occupancy.ErrClosed && s.closing {
		return s, c.method != leaseClose
	}
	if s.closed {
		return s, false
	}
	switch c.method {
	case leaseEnter, leaseExit, leaseClose:
		want := s.lease(limit, c)
		return s, r.err == want
	case get:
		return s, r.occupancy == s.occupancy(room) && r.err == nil
	case leave:
		return s, r.err == less(&s.conns[room], occupancy.ErrNotJoined)
	case exit:
		return s, r.err == less(&s.members[room], occupancy.ErrNotEntered)
	}
	if c.method == subscribe && r.err == occupancy.ErrTooManyRooms {
		return s, limit > 0 && !s.exists(room) && s.subscribed() >= limit
	}
	if c.method != subscribe && s.full(limit, room) {
		return s, r.err == occupancy.ErrTooManyRooms
	}
	switch c.method {
	case join:
		s.conns[room]++
	case enter:
		s.members[room]++
	case connect:
		s.conns[room]++
		s.leases[c.id] = handle{open: true, room: room, joined: true}
	case subscribe:
		s.subs[c.id] = handle{open: true, room: room}
	}
	return s, r.err == nil
}

// lease makes a call of a lease and returns the expected error.
func (s *state) lease(limit int, c call) error {
	l := &s.leases[c.id]
	client := uint8(1) << c.client
	switch {
	case c.method == leaseClose:
		if l.open && !l.lost {
			if l.joined {
				_ = less(&s.conns[l.room], nil)
			}
			for range bits.OnesCount8(l.clients) {
				_ = less(&s.members[l.room], nil)
			}
		}
		l.open = false
	case !l.open:
		return occupancy.ErrClosed
	case c.method == leaseExit:
		if l.clients&client == 0 {
			return occupancy.ErrNotEntered
		}
		l.clients &^= client
		if !l.lost {
			_ = less(&s.members[l.room], nil)
		}
	case l.clients&client == 0:
		if s.full(limit, l.room) {
			return occupancy.ErrTooManyRooms
		}
		if l.lost {
			*l = handle{open: true, room: l.room}
		}
		l.clients |= client
		s.members[l.room]++
	}
	return nil
}

func (s state) occupied(room int8) bool { return s.conns[room] != 0 || s.members[room] != 0 }

// subscribed returns the number of rooms with a subscription.
func (s state) subscribed() int {
	rooms := map[int8]bool{}
	for _, sub := range s.subs {
		if sub.open {
			rooms[sub.room] = true
		}
	}
	return len(rooms)
}

// full reports whether the room may not become occupied.
func (s state) full(limit int, room int8) bool {
	n := 0
	for r := range int8(maxRooms) {
		if s.occupied(r) {
			n++
		}
	}
	return limit > 0 && n >= limit && !s.occupied(room)
}

func (s state) occupancy(room int8) occupancy.Occupancy {
	return occupancy.Occupancy{Connections: int(s.conns[room]), PresenceMembers: int(s.members[room])}
}

// less subtracts one, or returns the error if the count is zero.
func less(count *int8, none error) error {
	if *count == 0 {
		return none
	}
	*count--
	return nil
}

func (s state) String() string {
	var b strings.Builder
	for room := range maxRooms {
		fmt.Fprintf(&b, "room%d %d/%d ", room, s.conns[room], s.members[room])
	}
	for i, l := range s.leases {
		if l.open {
			fmt.Fprintf(&b, "lease%d(joined=%v clients=%02b lost=%v) ", i, l.joined, l.clients, l.lost)
		}
	}
	if s.closing {
		b.WriteString("closing ")
	}
	if s.closed {
		b.WriteString("closed")
	}
	return b.String()
}
