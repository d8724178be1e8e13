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
		i, name, byName := m.next(len(m.leases)), fuzzRooms[m.next(len(fuzzRooms))], len(m.program)%2 == 0
		if l := m.leases[i]; l != nil && !l.closed {
			return
		}
		want := m.refuseHook(name)
		connect := m.handles[name].Connect
		if byName {
			connect = func() (*occupancy.Lease, error) { return m.e.Connect(name) }
		}
		lease, err := connect()
		m.note(err, want, "%d = Connect(%.5q)", i, name)
		if err == nil {
			m.leases[i] = &modelLease{lease: lease, room: name, clients: map[string]bool{}}
			m.rooms[name].local.Connections++
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
		time.Sleep(d)
	case opQuiet:
		m.quiet()
	case opClose:
		if m.next(8) == 0 {
			m.note(m.e.Close(), nil, "Close")
			m.closed = true
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
		room = &modelRoom{}
	}
	more := func(count *int, hook func() error, what string) {
		want := m.refuseHook(name)
		m.note(hook(), want, "%s(%.5q)", what, name)
		if want == nil {
			*count++
		}
	}
	less := func(count *int, hook func() error, what string, none error) {
		want := m.refuse(name)
		if want == nil && *count == 0 {
			want = none
		}
		m.note(hook(), want, "%s(%.5q)", what, name)
		if want == nil {
			*count--
		}
	}
	switch op {
	case opJoin:
		more(&room.local.Connections, h.join, "Join")
	case opEnter:
		more(&room.local.PresenceMembers, h.enter, "Enter")
	case opLeave:
		less(&room.local.Connections, h.leave, "Leave", occupancy.ErrNotJoined)
	case opExit:
		less(&room.local.PresenceMembers, h.exit, "Exit", occupancy.ErrNotEntered)
	}
}

func (m *model) lease(op, i int, l *modelLease, client string) {
	room := m.rooms[l.room]
	if l.orphan && op != opLeaseClose && !l.closed && !m.closed {
		return
	}
	var closed error
	if l.closed || m.closed {
		closed = occupancy.ErrClosed
	}
	switch op {
	case opLeaseEnter:
		want := closed
		if bad := client == "" || client == "\xff"; want == nil && bad {
			want = occupancy.ErrInvalidClientID
		}
		m.note(l.lease.Enter(client), want, "%d.Enter(%q)", i, client)
		if want == nil && !l.clients[client] {
			l.clients[client] = true
			room.local.PresenceMembers++
		}
	case opLeaseExit:
		want := closed
		if want == nil && !l.clients[client] {
			want = occupancy.ErrNotEntered
		}
		m.note(l.lease.Exit(client), want, "%d.Exit(%q)", i, client)
		if want == nil {
			delete(l.clients, client)
			room.local.PresenceMembers = max(0, room.local.PresenceMembers-1)
		}
	case opLeaseClose:
		m.note(l.lease.Close(), nil, "%d.Close (lease)", i)
		if !l.closed && !m.closed {
			less := occupancy.Occupancy{
				Connections:     max(0, room.local.Connections-1),
				PresenceMembers: max(0, room.local.PresenceMembers-len(l.clients)),
			}
			if !l.orphan || m.e.Local(l.room) == less {
				room.local = less
			}
		}
		l.closed = true
	}
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
