package fuzz

import (
	"errors"
	"math"
	"time"

	"github.com/occupancy/occupancy"
)

func (m *model) operate(op int) {
	switch op {
	case opJoin, opLeave, opEnter, opExit:
		m.hook(op)
	case opConnect:
		m.connect(m.next(len(m.leases)), fuzzRooms[m.next(len(fuzzRooms))], nil, noMax)
	case opConnectAs:
		m.connect(m.next(len(m.leases)), fuzzRooms[m.next(len(fuzzRooms))], [][]string{
			{"x"}, {"y"}, {"x", "y"}, {"y", "x"}, {"z"}, {"x", "x"}, {""}, {"y", "\xff"},
		}[m.next(8)], m.next(5)-1)
	case opLinger:
		i, d := m.next(len(m.leases)), []time.Duration{1, m.interval, 3*m.interval + 1, time.Second, time.Hour, 0}[m.next(6)]
		if l := m.leases[i]; l != nil && !(l.orphan && !l.closed && !m.closed) {
			m.linger(i, l, d)
		}
	case opLeaseEnter, opLeaseExit, opLeaseClose:
		i, client := m.next(len(m.leases)), ""
		if op != opLeaseClose {
			client = fuzzClients[m.next(len(fuzzClients))]
		}
		if l := m.leases[i]; l != nil {
			m.lease(op, i, l, client)
		}
	case opSubscribe:
		m.subscribe(m.next(len(m.subs)), fuzzRooms[m.next(len(fuzzRooms))])
	case opUnsubscribe:
		i := m.next(len(m.subs))
		s := m.subs[i]
		if s == nil {
			return
		}
		m.note(nil, nil, "%d.Unsubscribe", i)
		m.discarded += uint64(len(s.sub.Events()))
		s.sub.Unsubscribe()
		select {
		case ev, ok := <-s.sub.Events():
			if ok {
				m.failf("after Unsubscribe: %+v", ev)
			}
		default:
			m.failf("Unsubscribe did not close the channel")
		}
		if !s.closed && !m.closed { // after Close the rooms do not change
			m.rooms[s.room].subs--
		}
		s.closed = true
	case opRead:
		i := m.next(len(m.subs))
		if s := m.subs[i]; s != nil && !s.eager {
			m.note(nil, nil, "%d read", i)
			m.readSub(s)
		}
	case opWatch:
		m.watch(m.next(16))
	case opNext:
		i := m.next(len(m.watchers))
		if w := m.watchers[i]; w != nil && w.kind&8 != 0 && m.next(2) == 0 {
			m.selectRoom(i, w, fuzzRooms[m.next(len(fuzzRooms))], m.next(3) > 0)
		} else if w != nil && w.kind&4 == 0 {
			m.note(nil, nil, "%d.Next", i)
			m.drain(w)
		}
	case opWatchClose:
		i := m.next(len(m.watchers))
		if w := m.watchers[i]; w != nil {
			m.note(nil, nil, "%d.Close (watcher)", i)
			_ = w.w.Close()
			w.closed = true
			if _, err := w.w.Next(m.t.Context()); !errors.Is(err, occupancy.ErrClosed) {
				m.failf("Next after Close: %v", err)
			}
		}
	case opRemoteSet:
		m.set(m.next(len(m.remotes)), fuzzRooms[m.next(len(fuzzRooms))], remoteParts[m.next(len(remoteParts))])
	case opRemoteClose:
		i := m.next(len(m.remotes))
		if r := m.remotes[i]; r != nil {
			m.note(nil, nil, "%d.Close (remote)", i)
			_ = r.remote.Close()
			r.closed = true
			if !m.closed {
				clear(r.parts)
			}
		}
	case opLink:
		m.peers = []*modelPeers{
			nil, {answer: occupancy.Occupancy{Connections: 3, PresenceMembers: 1}},
			{answer: occupancy.Occupancy{PresenceMembers: math.MaxInt32}, err: errors.New("no answer")},
			{answer: occupancy.Occupancy{Connections: -1}},
		}[m.next(4)]
		m.relink()
	case opAdvance:
		d := []time.Duration{1, m.interval / 3, m.interval - 1, m.interval, m.interval + 1, 2 * m.interval, time.Hour}[m.next(7)]
		m.note(nil, nil, "Sleep(%v)", d)
		m.sleep(d)
	case opQuiet:
		m.quiet()
	case opClose:
		if m.next(8) == 0 {
			m.note(m.e.Close(), nil, "Close")
			m.closed, m.queue = true, nil // what lingers remains counted
		}
	}
}

func (m *model) hook(op int) {
	b := m.next(2 * len(fuzzRooms))
	name := fuzzRooms[b/2]
	h := byHandle(m.handles[name])
	if b%2 == 0 {
		h = byName(m.e, name)
	}
	room := m.rooms[name]
	if room == nil {
		room = &modelRoom{members: map[string]int{}}
	}
	var want, got error
	switch op {
	case opJoin:
		if want, got = m.refuseHook(name), h.join(); want == nil {
			room.local.Connections++
		}
	case opEnter:
		if want, got = m.refuseHook(name), h.enter(); want == nil {
			m.enter(room, hookClient)
		}
	case opLeave:
		if want, got = m.refuse(name), h.leave(); want == nil && room.local.Connections == 0 {
			want = occupancy.ErrNotJoined
		} else if want == nil {
			room.local.Connections--
		}
	case opExit:
		if want, got = m.refuse(name), h.exit(); want == nil && !m.exit(room, hookClient) {
			want = occupancy.ErrNotEntered
		}
	}
	m.note(got, want, "%s(%.5q)", [...]string{opJoin: "Join", opLeave: "Leave", opEnter: "Enter", opExit: "Exit"}[op], name)
}

func (m *model) set(i int, name string, o occupancy.Occupancy) {
	r := m.remotes[i]
	if r == nil || r.closed && !m.closed && o != (occupancy.Occupancy{}) {
		r = &modelRemote{remote: m.link.Remote("node"), parts: map[string]occupancy.Occupancy{}}
		m.remotes[i] = r
	}
	others := occupancy.Occupancy{}
	for k, other := range m.remotes {
		if k != i && other != nil {
			others = add(others, other.parts[name])
		}
	}
	all := add(others, o)
	want := m.refuse(name)
	switch {
	case r.closed || m.closed:
		want = occupancy.ErrClosed
	case want != nil:
	case o.Connections < 0 || all != capped(all):
		want = occupancy.ErrCount
	case o != occupancy.Occupancy{}:
		want = m.refusePart(name)
	}
	m.note(r.remote.Set(occupancy.Part{Room: name, Occupancy: o}), want, "%d.Set(%.5q, %v)", i, name, o)
	if want == nil {
		r.parts[name] = o
	}
}
