package verify

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
	"github.com/occupancy/occupancy"
)

// state is the state of an engine after sequential calls.
type state struct {
	conns   [maxRooms]int8
	members [maxRooms][maxClient]int8 // without users, the first client stands for all
	leases  [maxLeases]leaseState
	queue   [maxLeases]int8 // the leases that can be taken over: their IDs plus one, in the order of Linger
	subs    [maxSubs]listener
	closing bool // a call may return ErrClosed
	closed  bool
}

// leaseState is a lease.
type leaseState struct {
	phase   phase
	room    int8
	joined  bool  // it counts its connection
	lost    bool  // its room was dropped
	briefly bool  // it lingers for a moment
	clients uint8 // a bit for each
	client  int8  // that can take over the place: its number plus one, or 0
}

// phase is a phase of a lease. From taken on it has a place.
type phase int8

const (
	none    phase = iota // not connected yet, or ended
	checked              // Connect has found no place to take over
	taken                // Connect has taken over a place
	open
	lingers
	ends // does not linger any more, but still counts
)

// listener is a subscription.
type listener struct {
	open bool
	room int8
}

// sequential returns the model of the engine of a script.
//
// The model is nondeterministic in five points. A Leave by name may remove the connection of
// a lease and empty its room. The engine drops an empty room at some later time, and then
// the lease counts nothing any more. So an empty room with open leases has two states.
// A Subscribe at the limit of subscribed rooms may see a concurrent hook or not. Close of a
// lease returns nil whether it counted or came after the engine's Close. A lease that lingers
// for a moment ends at some later time, in two steps: first it cannot be taken over any more,
// and then it does not count any more. Connect looks for a place to take over and then counts, in
// two steps, and so does Close of a lease that lingers.
func sequential(of script) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: byRoom(of),
		Init:      func() []any { return []any{state{}} },
		Step: func(from, input, output any) []any {
			var to []any
			for _, s := range from.(state).later(of) {
				if next, ok := s.step(of, input.(call), output.(result)); ok {
					to = append(to, next)
				}
				if c := input.(call); c.method == leaseClose && s.closing {
					s.dequeue(c.id)
					s.leases[c.id] = leaseState{} // too late to count, but returns nil as well
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
func byRoom(of script) func([]porcupine.Operation) [][]porcupine.Operation {
	return func(all []porcupine.Operation) [][]porcupine.Operation {
		if of.limit > 0 {
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

// later returns the state, and the states that it may become before the next call.
func (s state) later(of script) []state {
	all := []state{s}
	add := func(s state) {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	for done := 0; done < len(all); {
		from := all[done]
		done++
		for room := range int8(maxRooms) {
			if s := from; !s.exists(room) {
				for id := range s.leases {
					if l := &s.leases[id]; l.phase >= taken && l.room == room {
						l.lost = true // the room is dropped
					}
				}
				add(s)
			}
		}
		for id := range s.leases {
			s := from
			l := &s.leases[id]
			switch {
			case l.phase == lingers && l.briefly:
				s.dequeue(id)
				l.phase = ends
				add(s)
			case l.phase == ends:
				s.end(of, id)
				add(s)
			}
		}
	}
	return all
}

// step returns the state after the call, and whether the call can have that result.
func (s state) step(of script, c call, r result) (state, bool) {
	room := int8(c.room)
	client := of.index(c.client)
	switch c.method {
	case current, local, snapshot:
		return s, r.occupancy == s.occupancy(of, room) && r.err == nil
	case unsubscribe:
		s.subs[c.id].open = false
		return s, true
	case closing:
		s.closing = true
		return s, true
	case closed:
		s.closed = true
		return s, r.err == nil
	case leaseLinger:
		s.linger(c)
		return s, true
	case ending:
		if l := &s.leases[c.id]; l.phase == lingers {
			s.dequeue(c.id)
			l.phase = ends
		}
		return s, true
	}
	if r.err == occupancy.ErrClosed && s.closing {
		return s, c.method != leaseClose
	}
	if s.closed {
		return s, false
	}
	switch c.method {
	case leaseEnter, leaseExit, leaseClose:
		want := s.lease(of, c)
		return s, r.err == want
	case checking:
		s.takeOver(of, c)
		return s, true
	case connect:
		want := s.connect(of, c)
		return s, r.err == want
	case get:
		return s, r.occupancy == s.occupancy(of, room) && r.err == nil
	case leave:
		return s, r.err == less(&s.conns[room], occupancy.ErrNotJoined)
	case exit:
		return s, r.err == less(&s.members[room][client], occupancy.ErrNotEntered)
	}
	if c.method == subscribe && r.err == occupancy.ErrTooManyRooms {
		return s, of.limit > 0 && !s.exists(room) && s.subscribed() >= of.limit
	}
	if c.method != subscribe && s.full(of, room) {
		return s, r.err == occupancy.ErrTooManyRooms
	}
	switch c.method {
	case join:
		s.conns[room]++
	case enter:
		s.members[room][client]++
	case subscribe:
		s.subs[c.id] = listener{open: true, room: room}
	}
	return s, r.err == nil
}

// index returns the index of the client in members.
func (of script) index(client int) int {
	if of.users {
		return client
	}
	return 0
}

// enter makes the clients members through the lease.
func (s *state) enter(of script, l *leaseState, clients ...int) {
	for _, client := range clients {
		if bit := uint8(1) << client; l.clients&bit == 0 {
			l.clients |= bit
			s.members[l.room][of.index(client)]++
		}
		if l.client == 0 {
			l.client = int8(client + 1)
		}
	}
}

// takeOver is the first step of Connect.
func (s *state) takeOver(of script, c call) {
	l := &s.leases[c.id]
	l.phase = checked
	if !s.occupied(int8(c.room)) {
		return // hooks by name have removed all places
	}
	for _, client := range c.as {
		for _, id := range s.queue {
			if id == 0 {
				break
			}
			old := &s.leases[id-1]
			if old.client == int8(client+1) && old.room == int8(c.room) && !old.lost {
				s.dequeue(int(id - 1))
				*l, *old = *old, leaseState{}
				l.phase, l.briefly, l.client = taken, false, int8(c.as[0]+1)
				s.enter(of, l, c.as...)
				return
			}
		}
	}
}

// connect is Connect, or its second step, and returns the expected error.
func (s *state) connect(of script, c call) error {
	l := &s.leases[c.id]
	if l.phase == taken {
		l.phase = open
		return nil
	}
	*l = leaseState{}
	switch room := int8(c.room); {
	case s.full(of, room):
		return occupancy.ErrTooManyRooms
	case c.most != noMax && int(s.conns[room]) >= c.most:
		return occupancy.ErrRoomFull
	default:
		s.conns[room]++
		*l = leaseState{phase: open, room: room, joined: true}
	}
	s.enter(of, l, c.as...)
	return nil
}

// linger makes the call Lease.Linger.
func (s *state) linger(c call) {
	l := &s.leases[c.id]
	if l.phase != open {
		return
	}
	l.phase, l.briefly = lingers, c.briefly
	if l.client != 0 {
		s.queue[slices.Index(s.queue[:], 0)] = int8(c.id + 1)
	}
}

// dequeue removes the lease from the queue, if it is there.
func (s *state) dequeue(id int) {
	if i := slices.Index(s.queue[:], int8(id+1)); i >= 0 {
		copy(s.queue[i:], s.queue[i+1:])
		s.queue[maxLeases-1] = 0
	}
}

// end removes the place of the lease.
func (s *state) end(of script, id int) {
	l := &s.leases[id]
	if !l.lost {
		if l.joined {
			_ = less(&s.conns[l.room], nil)
		}
		for client := range maxClient {
			if l.clients&(1<<client) != 0 {
				_ = less(&s.members[l.room][of.index(client)], nil)
			}
		}
	}
	*l = leaseState{}
}

// lease makes a call of a lease and returns the expected error.
func (s *state) lease(of script, c call) error {
	l := &s.leases[c.id]
	bit := uint8(1) << c.client
	switch {
	case c.method == leaseClose:
		s.dequeue(c.id)
		s.end(of, c.id)
	case l.phase != open:
		return occupancy.ErrClosed
	case c.method == leaseExit:
		if l.clients&bit == 0 {
			return occupancy.ErrNotEntered
		}
		l.clients &^= bit
		if l.client == int8(c.client+1) {
			l.client = int8(bits.Len8(l.clients)) // the other client, or none
		}
		if !l.lost {
			_ = less(&s.members[l.room][of.index(c.client)], nil)
		}
	case l.clients&bit == 0:
		if s.full(of, l.room) {
			return occupancy.ErrTooManyRooms
		}
		if l.lost {
			*l = leaseState{phase: open, room: l.room}
		}
		s.enter(of, l, c.client)
	}
	return nil
}

func (s state) occupied(room int8) bool {
	return s.conns[room] != 0 || s.members[room] != [maxClient]int8{}
}

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
func (s state) full(of script, room int8) bool {
	n := 0
	for r := range int8(maxRooms) {
		if s.occupied(r) {
			n++
		}
	}
	return of.limit > 0 && n >= of.limit && !s.occupied(room)
}

func (s state) occupancy(of script, room int8) occupancy.Occupancy {
	o := occupancy.Occupancy{Connections: int(s.conns[room])}
	for _, n := range s.members[room] {
		if o.PresenceMembers += int(n); n > 0 && of.users {
			o.Users++
		}
	}
	return o
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
		fmt.Fprintf(&b, "room%d %d/%v ", room, s.conns[room], s.members[room])
	}
	for id, l := range s.leases {
		if l.phase != none {
			fmt.Fprintf(&b, "lease%d %+v ", id, l)
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
