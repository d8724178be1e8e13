package fuzz

import (
	"maps"
	"slices"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
)

const noMax = -1

// enter counts a member of the client.
func (m *model) enter(room *modelRoom, client string) {
	room.members[m.key(client)]++
	room.count(m.users)
}

// exit removes a member of the client, and reports whether there was one.
func (m *model) exit(room *modelRoom, client string) bool {
	key := m.key(client)
	if room.members[key] == 0 {
		return false
	}
	if room.members[key]--; room.members[key] == 0 {
		delete(room.members, key)
	}
	room.count(m.users)
	return true
}

func (m *model) key(client string) string {
	if m.users {
		return client
	}
	return ""
}

func (r *modelRoom) count(users bool) {
	r.local.PresenceMembers, r.local.Users = 0, 0
	for _, n := range r.members {
		if r.local.PresenceMembers += n; users {
			r.local.Users++
		}
	}
}

// add makes the client a client of the lease.
func (l *modelLease) add(client string) {
	if !l.clients[client] {
		l.clients[client] = true
		l.order = append(l.order, client)
	}
	if l.client == "" {
		l.client = client
	}
}

func (m *model) connect(i int, name string, as []string, most int) {
	byName := len(m.program)%2 == 0
	if l := m.leases[i]; l != nil && !l.closed {
		return
	}
	room := m.rooms[name]
	var opts []occupancy.ConnectOption
	want := m.refuse(name)
	for _, client := range as {
		opts = append(opts, occupancy.As(client))
		if badClient(client) && !m.closed {
			want = occupancy.ErrInvalidClientID
		}
	}
	if most != noMax {
		opts = append(opts, occupancy.Max(most))
	}
	var old *modelLease
	if want == nil {
		if old = m.toTakeOver(name, as); old == nil {
			want = m.refuseHook(name)
		}
	}
	connect := m.handles[name].Connect
	if byName {
		connect = func(opts ...occupancy.ConnectOption) (*occupancy.Lease, error) { return m.e.Connect(name, opts...) }
	}
	totals, _ := m.totals()
	full := room != nil && old == nil && most != noMax && totals[name].Connections >= most
	lease, err := connect(opts...)
	if full && (want == nil || want == occupancy.ErrTooManyRooms && (most > 0 || err == occupancy.ErrRoomFull)) {
		want = occupancy.ErrRoomFull // where both errors apply to a room without a cell, either is returned
	}
	m.note(err, want, "%d = Connect(%.5q, %q, %d)", i, name, as, most)
	if err != nil {
		return
	}
	l := &modelLease{lease: lease, room: name, clients: map[string]bool{}}
	if old != nil {
		m.dequeue(old)
	} else {
		room.local.Connections++
	}
	for _, client := range as {
		if !l.clients[client] && (old == nil || !old.clients[client]) {
			m.enter(room, client)
		}
		l.add(client)
	}
	if old != nil {
		for _, client := range old.order {
			l.add(client)
		}
	}
	m.leases[i] = l
}

func (m *model) dequeue(l *modelLease) {
	m.queue = slices.DeleteFunc(m.queue, func(other *modelLease) bool { return other == l })
}

func badClient(client string) bool { return client == "" || client == "\xff" }

// toTakeOver returns the lease that a new one takes over, or nil.
func (m *model) toTakeOver(room string, as []string) *modelLease {
	if r := m.rooms[room]; r == nil || r.local == (occupancy.Occupancy{}) {
		return nil // hooks by name have removed all places
	}
	for _, client := range as {
		for _, l := range m.queue {
			if l.room == room && l.client == client {
				return l
			}
		}
	}
	return nil
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
		if want == nil && badClient(client) {
			want = occupancy.ErrInvalidClientID
		}
		m.note(l.lease.Enter(client), want, "%d.Enter(%q)", i, client)
		if want == nil && !l.clients[client] {
			l.add(client)
			m.enter(room, client)
		}
	case opLeaseExit:
		want := closed
		if want == nil && !l.clients[client] {
			want = occupancy.ErrNotEntered
		}
		m.note(l.lease.Exit(client), want, "%d.Exit(%q)", i, client)
		if want == nil {
			delete(l.clients, client)
			l.order = slices.DeleteFunc(l.order, func(id string) bool { return id == client })
			if l.client == client {
				if l.client = ""; len(l.order) > 0 {
					l.client = l.order[0]
				}
			}
			m.exit(room, client)
		}
	case opLeaseClose:
		m.note(nil, nil, "%d.Close (lease)", i)
		m.closeLease(l)
	}
}

// closeLease closes a lease, which may linger.
func (m *model) closeLease(l *modelLease) {
	m.note(l.lease.Close(), nil, "Close")
	if counts := !l.closed || slices.Contains(m.queue, l); counts && !m.closed {
		m.ended(l)
	}
	l.closed = true
}

// ended removes the place of a lease.
func (m *model) ended(l *modelLease) {
	m.dequeue(l)
	room := m.rooms[l.room]
	was, members := room.local, maps.Clone(room.members)
	room.local.Connections = max(0, room.local.Connections-1)
	for client := range l.clients {
		m.exit(room, client)
	}
	if l.orphan && m.e.Local(l.room) != room.local {
		room.local, room.members = was, members
	}
}

func (m *model) linger(i int, l *modelLease, d time.Duration) {
	m.note(nil, nil, "%d.Linger(%v)", i, d)
	if d <= 0 {
		m.closeLease(l)
		return
	}
	l.lease.Linger(d)
	if !l.closed && !m.closed {
		l.until = time.Now().Add(d)
		m.queue = append(m.queue, l)
	}
	l.closed = true
}

// endQueued ends the leases that linger in a room that hooks by name have ended. They count nothing.
func (m *model) endQueued(room string) {
	for _, l := range slices.Clone(m.queue) {
		if l.room == room {
			m.closeLease(l)
		}
	}
}

// sleep lets so much time pass, and ends the leases whose time to linger is over meanwhile.
func (m *model) sleep(d time.Duration) {
	for end := time.Now().Add(d); ; {
		next := end.Add(1)
		for _, l := range m.queue {
			if l.until.Before(next) {
				next = l.until
			}
		}
		if next.After(end) {
			m.observe(func() { time.Sleep(time.Until(end)) })
			return
		}
		m.observe(func() { time.Sleep(time.Until(next) - 1) })
		m.observe(func() { time.Sleep(time.Nanosecond); m.expire() })
	}
}

// expire ends the leases whose time to linger is over.
func (m *model) expire() {
	synctest.Wait()
	for _, l := range slices.Clone(m.queue) {
		if !l.until.After(time.Now()) {
			m.ended(l)
		}
	}
}
