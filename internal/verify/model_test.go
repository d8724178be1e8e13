package verify

import (
	"context"
	"errors"
	"flag"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"pgregory.net/rapid"
)

// TestMain has TestModel run more and longer programs than is usual, as they are fast.
func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "1000")
	_ = flag.Set("rapid.steps", "60")
	flag.Parse()
	m.Run()
}

// TestModel runs random programs over the entire API beside the book. After each call
// virtual time stands until the engine has done all that it does, so that what it
// answers and tells is known, but for what DESIGN.md leaves open.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			m := begin(t)
			defer m.e.Close()
			t.Repeat(m.actions())
			m.end(t)
		})
	})
}

// actions are what a program is made of, some more often than others.
func (m *machine) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){"": m.check}
	for _, a := range []struct {
		name  string
		often int
		do    func(*rapid.T)
	}{
		{"hook", 4, m.hook},
		{"connect", 2, m.connect},
		{"lease", 5, m.useLease},
		{"subscribe", 2, m.subscribe},
		{"read", 1, m.read},
		{"unsubscribe", 1, m.unsubscribe},
		{"watch", 1, m.watch},
		{"next", 1, m.next},
		{"unwatch", 1, m.unwatch},
		{"remote", 1, m.remote},
		{"set", 3, m.set},
		{"unremote", 1, m.unremote},
		{"peers", 1, m.setPeers},
		{"get", 1, m.get},
		{"pass", 4, m.pass},
		{"close", 1, m.close},
	} {
		for i := range a.often {
			actions[strings.Repeat(" ", i)+a.name] = a.do
		}
	}
	return actions
}

// machine is an engine, its book, and what was made of both.
type machine struct {
	book
	e       *occupancy.Engine
	handles map[string]*occupancy.Room
	peers   *peers
	closed  bool

	tenancies []*tenancy
	subs      []*sub
	watchers  []*watcher
	remotes   []*remote

	taken     uint64 // events that left a subscription's channel
	published uint64 // different events that were told
	refused   occupancy.Refused
}

var (
	rooms    = []string{"a", "ab", "b", strings.Repeat("ü", 512)}
	noRooms  = []string{"", strings.Repeat("x", 1025), "\xff"}
	clients  = []string{"ann", "bob", "eve"}
	noClient = noRooms
)

func begin(t *rapid.T) *machine {
	m := &machine{
		book: book{
			limit:    rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "limit"),
			interval: rapid.SampledFrom([]time.Duration{100 * time.Millisecond, 0, time.Second}).Draw(t, "interval"),
			rooms:    map[string]*page{},
		},
		handles: map[string]*occupancy.Room{},
	}
	m.e = occupancy.New(occupancy.WithInterval(m.interval), occupancy.WithMaxRooms(m.limit))
	for _, name := range append(noRooms, rooms...) {
		m.handles[name] = m.e.Room(name)
	}
	return m
}

// name draws a room's name, seldom one that no room can have, and says which error a
// call on it has to return whatever it does.
func (m *machine) name(t *rapid.T) (room string, err error) {
	if rapid.IntRange(0, 19).Draw(t, "odd") == 19 {
		room, err = rapid.SampledFrom(noRooms).Draw(t, "no room"), occupancy.ErrRoomName
	} else {
		room = rapid.SampledFrom(rooms).Draw(t, "room")
	}
	if m.closed {
		err = occupancy.ErrClosed
	}
	return room, err
}

func byRoomHandle(t *rapid.T) bool { return rapid.Bool().Draw(t, "by handle") }

// verbs of a room, by its name or its handle.
func (m *machine) verbs(t *rapid.T, room string) verbs {
	if byRoomHandle(t) {
		return byHandle{m.handles[room]}
	}
	return byName{m.e, room}
}

// begins is the error of what may begin the room.
func (m *machine) begins(room string) error {
	if m.full(room) {
		return occupancy.ErrTooManyRooms
	}
	return nil
}

func same(t *rapid.T, what string, got, want error) {
	t.Helper()
	if got != want && !errors.Is(got, want) {
		t.Fatalf("%s returned %v, not %v", what, got, want)
	}
}

// hooked is same for a hook, which Stats counts if it was refused.
func (m *machine) hooked(t *rapid.T, what string, got, want error) {
	t.Helper()
	same(t, what, got, want)
	r := &m.refused
	switch want {
	case occupancy.ErrClosed:
		r.Closed++
	case occupancy.ErrRoomName:
		r.RoomName++
	case occupancy.ErrClientID:
		r.ClientID++
	case occupancy.ErrTooManyRooms:
		r.TooManyRooms++
	case occupancy.ErrNotJoined:
		r.NotJoined++
	case occupancy.ErrNotEntered:
		r.NotEntered++
	}
}

func (m *machine) hook(t *rapid.T) {
	room, want := m.name(t)
	verb := rapid.SampledFrom([]string{"Join", "Leave", "Enter", "Exit"}).Draw(t, "verb")
	p, on := m.page(room), m.verbs(t, room)
	one, call := occupancy.Occupancy{Connections: 1}, on.Join
	count, raw, none := &p.local.Connections, &p.raw.Connections, occupancy.ErrNotJoined
	if verb == "Enter" || verb == "Exit" {
		one, call = occupancy.Occupancy{PresenceMembers: 1}, on.Enter
		count, raw, none = &p.local.PresenceMembers, &p.raw.PresenceMembers, occupancy.ErrNotEntered
	}
	if verb == "Join" || verb == "Enter" {
		if want == nil {
			want = m.begins(room)
		}
		if want == nil {
			p.local, p.raw = sum(p.local, one), sum(p.raw, one)
		}
		m.hooked(t, verb, call(), want)
	} else {
		if *raw == 0 && *count > 0 {
			t.Skip("a lease's")
		}
		switch {
		case want != nil:
		case *count == 0:
			want = none
		default:
			*count--
			*raw--
		}
		if call = on.Leave; verb == "Exit" {
			call = on.Exit
		}
		m.hooked(t, verb, call(), want)
	}
	p.note()
}

// tenancy is a lease and what it counts.
type tenancy struct {
	conn    *occupancy.Conn
	room    string
	clients map[string]bool
	closed  bool
}

func (m *machine) connect(t *rapid.T) {
	room, want := m.name(t)
	if want == nil {
		want = m.begins(room)
	}
	l, err := m.verbs(t, room).Connect()
	m.hooked(t, "Connect", err, want)
	if want != nil {
		return
	}
	p := m.page(room)
	p.local.Connections++
	p.note()
	m.tenancies = append(m.tenancies, &tenancy{conn: l.(*occupancy.Conn), room: room, clients: map[string]bool{}})
}

func (m *machine) useLease(t *rapid.T) {
	l := pick(t, "lease", m.tenancies)
	p := m.page(l.room)
	client, bad := rapid.SampledFrom(clients).Draw(t, "client"), false
	if bad = rapid.IntRange(0, 9).Draw(t, "odd") == 9; bad {
		client = rapid.SampledFrom(noClient).Draw(t, "no client")
	}
	gone := m.closed || l.closed
	switch verb := rapid.SampledFrom([]string{"Enter", "Enter", "Exit", "Close"}).Draw(t, "verb"); verb {
	case "Enter":
		var want error
		switch {
		case gone:
			want = occupancy.ErrClosed
		case bad:
			want = occupancy.ErrClientID
		case !l.clients[client]:
			l.clients[client] = true
			p.local.PresenceMembers++
		}
		m.hooked(t, "Conn.Enter", l.conn.Enter(client), want)
	case "Exit":
		var want error
		switch {
		case gone:
			want = occupancy.ErrClosed
		case !l.clients[client]:
			want = occupancy.ErrNotEntered
		default:
			delete(l.clients, client)
			p.local.PresenceMembers--
		}
		m.hooked(t, "Conn.Exit", l.conn.Exit(client), want)
	case "Close":
		var want error
		if m.closed {
			want = occupancy.ErrClosed
		} else if !l.closed {
			p.local.Connections--
			p.local.PresenceMembers -= len(l.clients)
		}
		l.closed = true
		same(t, "Conn.Close", l.conn.Close(), want)
	}
	p.note()
}

// remote is another node's part. Which rooms it has, their pages say.
type remote struct {
	r      *occupancy.Remote
	closed bool
}

func (m *machine) remote(t *rapid.T) {
	if len(m.remotes) == 3 {
		t.Skip("enough")
	}
	m.remotes = append(m.remotes, &remote{r: m.e.Remote("node")})
}

var parts = rapid.SampledFrom([]int{0, 1, 2, 0, 1, most, -1, math.MaxInt})

func fits(n int) bool { return 0 <= n && n <= most }

func (m *machine) set(t *rapid.T) {
	r := pick(t, "remote", m.remotes)
	room, want := m.name(t)
	part := occupancy.Occupancy{Connections: parts.Draw(t, "connections"), PresenceMembers: parts.Draw(t, "members")}
	p := m.page(room)
	was := p.parts[r]
	delete(p.parts, r)
	others := p.theirs()
	if was != (occupancy.Occupancy{}) {
		p.parts[r] = was
	}
	switch {
	case r.closed:
		want = occupancy.ErrClosed
	case want != nil:
	case !fits(part.Connections) || !fits(part.PresenceMembers):
		want = occupancy.ErrCount
	case part == was:
	case int64(others.Connections)+int64(part.Connections) > most,
		int64(others.PresenceMembers)+int64(part.PresenceMembers) > most:
		want = occupancy.ErrCount
	case part == occupancy.Occupancy{}:
		delete(p.parts, r)
	default:
		if want = m.begins(room); want == nil {
			p.parts[r] = part
		}
	}
	same(t, "Set", r.r.Set(room, part), want)
	p.note()
}

func (m *machine) unremote(t *rapid.T) {
	r := pick(t, "remote", m.remotes)
	r.r.Close()
	r.closed = true
	if m.closed {
		return
	}
	for _, p := range m.rooms {
		delete(p.parts, r)
		p.note()
	}
}

// peers answers for other nodes.
type peers struct {
	part occupancy.Occupancy
	err  error
}

func (p *peers) Get(context.Context, string) (occupancy.Occupancy, error) { return p.part, p.err }

func (m *machine) setPeers(t *rapid.T) {
	if m.peers = nil; rapid.Bool().Draw(t, "none") {
		m.e.SetPeers(nil)
		return
	}
	m.peers = &peers{part: occupancy.Occupancy{
		Connections: parts.Draw(t, "connections"), PresenceMembers: parts.Draw(t, "members"),
	}}
	if rapid.Bool().Draw(t, "fail") {
		m.peers.err = errors.New("one is missing")
	}
	m.e.SetPeers(m.peers)
}

func (m *machine) get(t *rapid.T) {
	room, want := m.name(t)
	var ctx context.Context
	switch rapid.SampledFrom([]string{"background", "nil", "canceled"}).Draw(t, "context") {
	case "background":
		ctx = t.Context()
	case "canceled":
		c, cancel := context.WithCancel(t.Context())
		cancel()
		if ctx = c; want == nil {
			want = context.Canceled
		}
	}
	p, o := m.page(room), occupancy.Occupancy{}
	switch {
	case want != nil:
	case m.peers == nil:
		o = p.total()
	case !fits(m.peers.part.Connections) || !fits(m.peers.part.PresenceMembers):
		o, want = p.local, occupancy.ErrCount
	default:
		o, want = sum(p.local, m.peers.part), m.peers.err
	}
	got, err := m.verbs(t, room).Get(ctx)
	same(t, "Get", err, want)
	if got != o {
		t.Fatalf("Get of %q returned %+v, not %+v", room, got, o)
	}
}

// pass lets time pass: about as long as the interval, where things are decided.
func (m *machine) pass(t *rapid.T) {
	d := m.interval
	time.Sleep(rapid.SampledFrom([]time.Duration{1, d / 2, max(d, 2) - 1, max(d, 1), d + 1, 3*d + 1}).Draw(t, "time"))
}

func (m *machine) close(t *rapid.T) {
	if !m.closed && rapid.IntRange(0, 7).Draw(t, "really") != 7 {
		t.Skip("seldom, as nothing much follows")
	}
	m.closed = true
	same(t, "Close", m.e.Close(), nil)
}

// check compares all that can be read with the book, and hears all that is told.
func (m *machine) check(t *rapid.T) {
	synctest.Wait()
	var conns, members int64
	full, stood := map[string]occupancy.Occupancy{}, true
	for name, p := range m.rooms {
		total := p.total()
		for _, v := range []verbs{byName{m.e, name}, byHandle{m.handles[name]}} {
			if got := v.Current(); got != total {
				t.Fatalf("%q: Current is %+v, not %+v", name, got, total)
			}
			if got := v.Local(); got != p.local {
				t.Fatalf("%q: Local is %+v, not %+v", name, got, p.local)
			}
		}
		if total != (occupancy.Occupancy{}) {
			full[name] = total
		}
		conns += int64(total.Connections)
		members += int64(total.PresenceMembers)
		stood = stood && p.totals.stood(m.interval)
	}
	if all := maps.Collect(m.e.All()); !maps.Equal(all, full) {
		t.Fatalf("All is %v, not %v", all, full)
	}
	for _, s := range m.subs {
		m.hear(t, s)
	}
	for _, w := range m.watchers {
		if w.eager && !w.closed {
			m.drain(t, w)
		}
	}
	m.checkStats(t, conns, members, stood || m.closed)
}

func (m *machine) checkStats(t *rapid.T, conns, members int64, exact bool) {
	s := m.e.Stats()
	if exact && (s.Connections != int(conns) || s.PresenceMembers != int(members)) {
		t.Fatalf("Stats %+v, but there are %d connections and %d members", s, conns, members)
	}
	subs, watchers, wait := 0, 0, uint64(0)
	for _, sub := range m.subs {
		wait += uint64(len(sub.s.Events()))
		if !sub.closed && !m.closed {
			subs++
		}
	}
	for _, w := range m.watchers {
		if w.counted && !w.closed {
			watchers++
		}
	}
	if s.Subscriptions != subs || s.Watchers != watchers || !m.closed && s.Rooms != m.exist() {
		t.Fatalf("Stats %+v, but there are %d rooms, %d subscriptions and %d watchers", s, m.exist(), subs, watchers)
	}
	if s.Delivered != s.Folded+m.taken+wait {
		t.Fatalf("Stats %+v, but %d events were read and %d wait", s, m.taken, wait)
	}
	if s.Refused != m.refused || s.MaxRooms != m.limit || s.Interval != m.interval {
		t.Fatalf("Stats %+v, but %+v was refused, of at most %d rooms, at every %v", s, m.refused, m.limit, m.interval)
	}
	if s.Published < m.published {
		t.Fatalf("Stats %+v, but %d events were told", s, m.published)
	}
}

// end lets the engine come to rest, and then closes it: whoever was told least of
// all has to have the last word.
func (m *machine) end(t *rapid.T) {
	time.Sleep(2 * m.interval)
	m.check(t)
	for _, w := range m.watchers {
		if !w.closed {
			m.drain(t, w)
		}
	}
	m.closed = true
	same(t, "Close", m.e.Close(), nil)
	m.check(t)
	for _, s := range m.subs {
		m.take(t, s)
		if _, open := <-s.s.Events(); open {
			t.Fatal("a subscription goes on after Close")
		}
	}
}

// pick draws one of those that there are.
func pick[T any](t *rapid.T, label string, from []T) T {
	if len(from) == 0 {
		t.Skip("none")
	}
	return from[rapid.IntRange(0, len(from)-1).Draw(t, label)]
}
