package verify

import (
	"maps"
	"slices"
	"time"

	"github.com/occupancy/occupancy"
	"pgregory.net/rapid"
)

// openLease is a lease, of Connect or of a session, and what it counts.
type openLease struct {
	lease   *occupancy.Lease // nil if it is of a session
	room    string
	client  string // that can take over the place
	clients map[string]bool
	order   []string // of the clients, as they entered
	closed  bool     // or lingers
	until   time.Time
}

// drawOptions draws options of Connect, and returns whether a client ID is invalid.
func drawOptions(t *rapid.T) (o options, bad bool) {
	o.most = rapid.SampledFrom([]int{noMax, noMax, noMax, noMax, 0, 1, 2, 3}).Draw(t, "max")
	for range rapid.SampledFrom([]int{0, 0, 1, 1, 1, 2}).Draw(t, "clients") {
		ids := clients
		if rapid.IntRange(0, 19).Draw(t, "odd") == 19 {
			ids, bad = badClients, true
		}
		o.as = append(o.as, rapid.SampledFrom(ids).Draw(t, "client"))
	}
	return o, bad
}

// add makes the client a client of the lease.
func (l *openLease) add(client string) {
	if !l.clients[client] {
		l.clients[client] = true
		l.order = append(l.order, client)
	}
	if l.client == "" {
		l.client = client
	}
}

func (m *machine) connect(t *rapid.T) {
	room, want := m.name(t)
	o, bad := drawOptions(t)
	on := m.room(t, room)
	var made lease
	l := m.connected(t, room, "", o, badClient(want, bad), func() (err error) {
		made, err = on.Connect(o)
		return err
	})
	if l == nil {
		return
	}
	l.lease = made.(*occupancy.Lease)
	m.leases = append(m.leases, l)
	if l.lease.Room() != room {
		t.Fatalf("the lease of %q is of %q", room, l.lease.Room())
	}
}

// connected calls connect and returns the new lease, or nil. client is that of a session, or
// "". want is the error of the arguments.
func (m *machine) connected(t *rapid.T, room, client string, o options, want error, connect func() error) *openLease {
	p := m.state(room)
	l := &openLease{room: room, client: client, clients: map[string]bool{}}
	if want != nil {
		m.sameHook(t, "Connect", connect(), want)
		return nil
	}
	for _, id := range o.as {
		l.add(id)
	}
	old := m.toTakeOver(l, o.as)
	if old == nil {
		full := o.most != noMax && p.total().Connections >= o.most
		want = m.refuseHook(room, nil)
		err := connect()
		if full && (want == nil || o.most > 0 || err == occupancy.ErrRoomFull) {
			want = occupancy.ErrRoomFull // where both errors apply to a room without a cell, either is returned
		}
		m.sameHook(t, "Connect", err, want)
		if want != nil {
			return nil
		}
		p.local.Connections++
	} else {
		m.sameHook(t, "Connect", connect(), nil)
	}
	for id := range l.clients {
		if old == nil || !old.clients[id] {
			p.enter(id)
		}
	}
	if old != nil {
		for _, id := range old.order {
			l.add(id)
		}
	}
	p.note()
	return l
}

// toTakeOver removes the lease that the new lease takes over, and returns it, or nil. clients
// are the clients of the new lease, in order.
func (m *machine) toTakeOver(l *openLease, clients []string) *openLease {
	for _, id := range append([]string{l.client}, clients...) {
		for i, old := range m.lingering {
			if id != "" && old.client == id && old.room == l.room {
				m.lingering = slices.Delete(m.lingering, i, i+1)
				return old
			}
		}
	}
	return nil
}

func (m *machine) useLease(t *rapid.T) {
	l := pick(t, "lease", m.leases)
	client, bad := m.client(t)
	switch method := rapid.SampledFrom([]string{"Enter", "Enter", "Exit", "Close", "Linger"}).Draw(t, "method"); method {
	case "Enter":
		m.sameHook(t, "Lease.Enter", l.lease.Enter(client), m.enterLease(l, client, bad))
	case "Exit":
		m.sameHook(t, "Lease.Exit", l.lease.Exit(client), m.exitLease(l, client, false))
	case "Close":
		m.closeLease(l)
		same(t, "Lease.Close", l.lease.Close(), nil)
	case "Linger":
		d := m.drawLinger(t)
		m.lingerLease(l, d)
		l.lease.Linger(d)
	}
	m.state(l.room).note()
}

// drawLinger draws a time to linger: none, about an interval, or longer than a program takes.
func (m *machine) drawLinger(t *rapid.T) time.Duration {
	d := m.interval
	return rapid.SampledFrom([]time.Duration{1, d / 2, d, d + 1, 2*d + 1, time.Second, time.Hour, 1<<63 - 1, 0, -1}).Draw(t, "linger")
}

// The following are the calls of a lease in the reference. They return the expected error.

func (m *machine) enterLease(l *openLease, client string, bad bool) error {
	switch {
	case m.closed || l.closed:
		return occupancy.ErrClosed
	case bad:
		return occupancy.ErrInvalidClientID
	case !l.clients[client]:
		l.add(client)
		m.state(l.room).enter(client)
	}
	return nil
}

// exitLease removes the client. If keep is true, it can still take over the place.
func (m *machine) exitLease(l *openLease, client string, keep bool) error {
	switch {
	case m.closed || l.closed:
		return occupancy.ErrClosed
	case !l.clients[client]:
		return occupancy.ErrNotEntered
	}
	delete(l.clients, client)
	l.order = slices.DeleteFunc(l.order, func(id string) bool { return id == client })
	if l.client == client && !keep {
		if l.client = ""; len(l.order) > 0 {
			l.client = l.order[0]
		}
	}
	m.state(l.room).exit(client)
	return nil
}

func (m *machine) closeLease(l *openLease) {
	i := slices.Index(m.lingering, l)
	if i >= 0 {
		m.lingering = slices.Delete(m.lingering, i, i+1)
	}
	if !m.closed && (i >= 0 || !l.closed) {
		m.endLease(l)
	}
	l.closed = true
}

// endLease removes what the lease counts.
func (m *machine) endLease(l *openLease) {
	p := m.state(l.room)
	p.local.Connections--
	for client := range l.clients {
		p.exit(client)
	}
	p.note()
}

func (m *machine) lingerLease(l *openLease, d time.Duration) {
	switch {
	case d <= 0:
		m.closeLease(l)
	case !l.closed && !m.closed:
		l.closed, l.until = true, time.Now().Add(d)
		if d > 1<<62 {
			l.until = time.Now().Add(1 << 62)
		}
		m.lingering = append(m.lingering, l)
	}
	l.closed = true
}

// firstDeadline returns when the first lease that lingers ends, or a zero time.
func (m *machine) firstDeadline() (first time.Time) {
	for _, l := range m.lingering {
		if first.IsZero() || l.until.Before(first) {
			first = l.until
		}
	}
	return first
}

// endLingering ends the leases whose time is over.
func (m *machine) endLingering() {
	m.lingering = slices.DeleteFunc(m.lingering, func(l *openLease) bool {
		over := !l.until.After(time.Now())
		if over {
			m.endLease(l)
		}
		return over
	})
}

// openSession is a session and its leases, which may linger.
type openSession struct {
	s      *occupancy.Session
	client string
	bad    bool // the client ID is invalid
	leases map[string]*openLease
	closed bool
}

func (m *machine) openSession(t *rapid.T) {
	client, bad := m.client(t)
	m.sessions = append(m.sessions, &openSession{
		s: m.e.Session(client), client: client, bad: bad, leases: map[string]*openLease{},
	})
}

func (m *machine) useSession(t *rapid.T) {
	s := pick(t, "session", m.sessions)
	switch rapid.SampledFrom([]string{"call", "call", "call", "call", "call", "Rooms", "Linger", "Close"}).Draw(t, "method") {
	case "call":
		m.callSession(t, s)
	case "Rooms":
		rooms := slices.Sorted(s.s.Rooms())
		var want []string
		if !s.closed {
			want = slices.Sorted(maps.Keys(s.leases))
		}
		if !slices.Equal(rooms, want) {
			t.Fatalf("Rooms of a session are %.5q, want %.5q", rooms, want)
		}
	case "Linger":
		d := m.drawLinger(t)
		m.endSession(s, func(l *openLease) { m.lingerLease(l, d) })
		s.s.Linger(d)
	case "Close":
		m.endSession(s, m.closeLease)
		s.leases = nil
		same(t, "Session.Close", s.s.Close(), nil)
	}
}

// endSession closes the session in the reference.
func (m *machine) endSession(s *openSession, end func(*openLease)) {
	for room, l := range s.leases {
		end(l)
		m.state(room).note()
	}
	s.closed = true
}

// callSession calls a method of the session that takes a room.
func (m *machine) callSession(t *rapid.T, s *openSession) {
	room, want := m.name(t)
	if s.closed {
		want = occupancy.ErrClosed
	}
	l := s.leases[room]
	joined := l != nil && want == nil
	switch method := rapid.SampledFrom([]string{"Join", "Join", "Enter", "Enter", "Leave", "Exit"}).Draw(t, "method"); {
	case method == "Join":
		o, bad := drawOptions(t)
		join := func() error { return s.s.Join(room, o.list()...) }
		if joined {
			m.sameHook(t, method, join(), nil)
		} else if l := m.connected(t, room, s.client, o, badClient(want, bad), join); l != nil {
			s.leases[room] = l
		}
	case method == "Enter" && joined:
		m.sameHook(t, method, s.s.Enter(room), m.enterLease(l, s.client, s.bad))
	case method == "Enter":
		o := options{as: []string{s.client}, most: noMax}
		if l := m.connected(t, room, s.client, o, badClient(want, s.bad), func() error { return s.s.Enter(room) }); l != nil {
			s.leases[room] = l
		}
	case method == "Leave":
		switch {
		case joined:
			delete(s.leases, room)
			m.closeLease(l)
		case want == nil:
			want = occupancy.ErrNotJoined
		}
		m.sameHook(t, method, s.s.Leave(room), want)
	case method == "Exit":
		switch {
		case joined:
			want = m.exitLease(l, s.client, true)
		case want == nil:
			want = occupancy.ErrNotEntered
		}
		m.sameHook(t, method, s.s.Exit(room), want)
	}
	m.state(room).note()
}
