package verify

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/anishathalye/porcupine"
	"github.com/occupancy/occupancy"
)

// state is all that a history's engine can be in, if calls came one after the other.
type state struct {
	conns, members [maxRooms]int8
	leases         [maxLeases]held
	subs           [maxSubs]held
	closing        bool // a call may be refused, or not yet
	closed         bool
}

// held is a lease or a subscription.
type held struct {
	open    bool
	room    int8
	joined  bool  // the lease counts its connection
	lost    bool  // the room that it counted in was dropped
	clients uint8 // a bit for each
}

// sequential is the model of an engine with so many rooms at most, or 0.
//
// It leaves one thing open. Raw Leaves may take what a lease counts, and so empty its
// room; the engine drops an empty room when it comes to it, and whatever the lease
// had there is lost then. So an empty room that leases point to is in two states.
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
			}
			return to
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%v: %v", input, output) },
		DescribeState:     func(s any) string { return s.(state).String() },
	}
	return m.ToModel()
}

// byRoom splits a history where no room knows of another. All share the Close.
func byRoom(limit int) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(all []porcupine.Operation) [][]porcupine.Operation {
		if limit > 0 {
			return [][]porcupine.Operation{all}
		}
		parts := make([][]porcupine.Operation, maxRooms)
		for _, op := range all {
			c := op.Input.(call)
			for room := range parts {
				if c.room == room || c.verb >= closing {
					parts[room] = append(parts[room], op)
				}
			}
		}
		return parts
	}
}

// exists reports whether anything keeps the room.
func (s state) exists(room int8) bool {
	for _, sub := range s.subs {
		if sub.open && sub.room == room {
			return true
		}
	}
	return s.conns[room] != 0 || s.members[room] != 0
}

// dropped is the state, and as many more as there are ways of empty rooms to have
// been dropped.
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

// step is the state after the call, if the call can have that result.
func (s state) step(limit int, c call, r result) (state, bool) {
	room := int8(c.room)
	switch c.verb {
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
		if c.verb == connClose {
			s.leases[c.id].open = false
		}
		return s, true
	}
	if s.closed {
		return s, false
	}
	switch c.verb {
	case connEnter, connExit, connClose:
		want := s.lease(limit, c)
		return s, r.err == want
	case get:
		return s, r.occupancy == s.occupancy(room) && r.err == nil
	case leave:
		return s, r.err == less(&s.conns[room], occupancy.ErrNotJoined)
	case exit:
		return s, r.err == less(&s.members[room], occupancy.ErrNotEntered)
	}
	if s.full(limit, room) {
		return s, r.err == occupancy.ErrTooManyRooms
	}
	switch c.verb {
	case join:
		s.conns[room]++
	case enter:
		s.members[room]++
	case connect:
		s.conns[room]++
		s.leases[c.id] = held{open: true, room: room, joined: true}
	case subscribe:
		s.subs[c.id] = held{open: true, room: room}
	}
	return s, r.err == nil
}

// lease takes one of a lease's steps and returns the error it has to return.
func (s *state) lease(limit int, c call) error {
	l := &s.leases[c.id]
	client := uint8(1) << c.client
	switch {
	case c.verb == connClose:
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
	case c.verb == connExit:
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
			*l = held{open: true, room: l.room}
		}
		l.clients |= client
		s.members[l.room]++
	}
	return nil
}

// full reports whether the room does not exist and may not begin.
func (s state) full(limit int, room int8) bool {
	exist := 0
	for r := range int8(maxRooms) {
		if s.exists(r) {
			exist++
		}
	}
	return limit > 0 && exist >= limit && !s.exists(room)
}

func (s state) occupancy(room int8) occupancy.Occupancy {
	return occupancy.Occupancy{Connections: int(s.conns[room]), PresenceMembers: int(s.members[room])}
}

// less counts one less, or returns the error where there is none.
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
