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

// TestMain sets more and longer programs for TestModel than the defaults of rapid.
func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "1000")
	_ = flag.Set("rapid.steps", "60")
	flag.Parse()
	m.Run()
}

// TestModel runs random programs over the entire API and compares them with the reference.
// After each call it waits in virtual time until the engine is idle, so the results and
// events are known, except for what DESIGN.md leaves open.
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

// actions returns the steps of a program. Some are more frequent than others.
func (m *machine) actions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){"": m.check}
	for _, a := range []struct {
		name  string
		times int
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
		{"link", 1, m.relink},
		{"get", 1, m.get},
		{"pass", 4, m.pass},
		{"close", 1, m.close},
	} {
		for i := range a.times {
			actions[strings.Repeat(" ", i)+a.name] = a.do
		}
	}
	return actions
}

// machine is an engine, its reference, and the objects that were created.
type machine struct {
	reference
	e       *occupancy.Engine
	link    *occupancy.Link
	handles map[string]*occupancy.Room
	peers   *peers
	closed  bool

	leases   []*openLease
	subs     []*sub
	watchers []*watcher
	remotes  []*remote

	taken     uint64 // events read or discarded
	published uint64 // different events that were received
	refused   occupancy.Refused
}

var (
	rooms      = []string{"a", "ab", "b", strings.Repeat("ü", 512)}
	badRooms   = []string{"", strings.Repeat("x", 1025), "\xff"}
	clients    = []string{"ann", "bob", "eve"}
	badClients = badRooms
)

func begin(t *rapid.T) *machine {
	m := &machine{
		reference: reference{
			limit:    rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "limit"),
			interval: rapid.SampledFrom([]time.Duration{100 * time.Millisecond, 0, time.Second}).Draw(t, "interval"),
			rooms:    map[string]*roomState{},
		},
		handles: map[string]*occupancy.Room{},
	}
	m.e = occupancy.New(occupancy.WithInterval(m.interval), occupancy.WithMaxRooms(m.limit))
	for _, name := range append(badRooms, rooms...) {
		m.handles[name] = m.e.Room(name)
	}
	m.openLink(t)
	return m
}

// name draws the name of a room, seldom an invalid one, and returns the error that every
// call with it returns.
func (m *machine) name(t *rapid.T) (room string, err error) {
	if rapid.IntRange(0, 19).Draw(t, "odd") == 19 {
		room, err = rapid.SampledFrom(badRooms).Draw(t, "bad room"), occupancy.ErrInvalidRoom
	} else {
		room = rapid.SampledFrom(rooms).Draw(t, "room")
	}
	if m.closed {
		err = occupancy.ErrClosed
	}
	return room, err
}

func byRoomHandle(t *rapid.T) bool { return rapid.Bool().Draw(t, "by handle") }

// room returns a room by its name or by its handle.
func (m *machine) room(t *rapid.T, name string) room {
	if byRoomHandle(t) {
		return byHandle{m.handles[name]}
	}
	return byName{m.e, name}
}

// limited returns ErrTooManyRooms if the limit is reached.
func limited(full bool) error {
	if full {
		return occupancy.ErrTooManyRooms
	}
	return nil
}

func same(t *rapid.T, what string, got, want error) {
	t.Helper()
	if got != want && !errors.Is(got, want) {
		t.Fatalf("%s returned %v, want %v", what, got, want)
	}
}

// sameHook is same for a hook, which is part of Stats.Refused.
func (m *machine) sameHook(t *rapid.T, what string, got, want error) {
	t.Helper()
	same(t, what, got, want)
	r := &m.refused
	switch want {
	case occupancy.ErrClosed:
		r.Closed++
	case occupancy.ErrInvalidRoom:
		r.InvalidRoom++
	case occupancy.ErrInvalidClientID:
		r.InvalidClientID++
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
	method := rapid.SampledFrom([]string{"Join", "Leave", "Enter", "Exit"}).Draw(t, "method")
	p, on := m.state(room), m.room(t, room)
	one, call := occupancy.Occupancy{Connections: 1}, on.Join
	count, raw, none := &p.local.Connections, &p.raw.Connections, occupancy.ErrNotJoined
	if method == "Enter" || method == "Exit" {
		one, call = occupancy.Occupancy{PresenceMembers: 1}, on.Enter
		count, raw, none = &p.local.PresenceMembers, &p.raw.PresenceMembers, occupancy.ErrNotEntered
	}
	if method == "Join" || method == "Enter" {
		if want == nil {
			want = limited(m.fullForHooks(room))
		}
		if want == nil {
			p.local, p.raw = sum(p.local, one), sum(p.raw, one)
		}
		m.sameHook(t, method, call(), want)
	} else {
		if *raw == 0 && *count > 0 {
			t.Skip("would remove what a lease counts")
		}
		switch {
		case want != nil:
		case *count == 0:
			want = none
		default:
			*count--
			*raw--
		}
		if call = on.Leave; method == "Exit" {
			call = on.Exit
		}
		m.sameHook(t, method, call(), want)
	}
	p.note()
}

// openLease is a lease and what it counts.
type openLease struct {
	lease   *occupancy.Lease
	room    string
	clients map[string]bool
	closed  bool
}

func (m *machine) connect(t *rapid.T) {
	room, want := m.name(t)
	if want == nil {
		want = limited(m.fullForHooks(room))
	}
	l, err := m.room(t, room).Connect()
	m.sameHook(t, "Connect", err, want)
	if want != nil {
		return
	}
	p := m.state(room)
	p.local.Connections++
	p.note()
	if l.(*occupancy.Lease).Room() != room {
		t.Fatalf("the lease of %q is of %q", room, l.(*occupancy.Lease).Room())
	}
	m.leases = append(m.leases, &openLease{lease: l.(*occupancy.Lease), room: room, clients: map[string]bool{}})
}

func (m *machine) useLease(t *rapid.T) {
	l := pick(t, "lease", m.leases)
	p := m.state(l.room)
	client, bad := rapid.SampledFrom(clients).Draw(t, "client"), false
	if bad = rapid.IntRange(0, 9).Draw(t, "odd") == 9; bad {
		client = rapid.SampledFrom(badClients).Draw(t, "bad client")
	}
	closed := m.closed || l.closed
	switch method := rapid.SampledFrom([]string{"Enter", "Enter", "Exit", "Close"}).Draw(t, "method"); method {
	case "Enter":
		var want error
		switch {
		case closed:
			want = occupancy.ErrClosed
		case bad:
			want = occupancy.ErrInvalidClientID
		case !l.clients[client]:
			l.clients[client] = true
			p.local.PresenceMembers++
		}
		m.sameHook(t, "Lease.Enter", l.lease.Enter(client), want)
	case "Exit":
		var want error
		switch {
		case closed:
			want = occupancy.ErrClosed
		case !l.clients[client]:
			want = occupancy.ErrNotEntered
		default:
			delete(l.clients, client)
			p.local.PresenceMembers--
		}
		m.sameHook(t, "Lease.Exit", l.lease.Exit(client), want)
	case "Close":
		if !m.closed && !l.closed {
			p.local.Connections--
			p.local.PresenceMembers -= len(l.clients)
		}
		l.closed = true
		same(t, "Lease.Close", l.lease.Close(), nil)
	}
	p.note()
}

func (m *machine) get(t *rapid.T) {
	room, want := m.name(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if rapid.Bool().Draw(t, "canceled") {
		if cancel(); want == nil {
			want = context.Canceled
		}
	}
	p, o := m.state(room), occupancy.Occupancy{}
	switch {
	case want != nil:
	case m.peers == nil:
		o = p.total()
	case !fits(m.peers.part.Connections) || !fits(m.peers.part.PresenceMembers):
		o, want = p.local, occupancy.ErrCount
	default:
		o, want = sum(p.local, m.peers.part), m.peers.err
	}
	got, err := m.room(t, room).Get(ctx)
	same(t, "Get", err, want)
	if got != o {
		t.Fatalf("Get of %q returned %+v, want %+v", room, got, o)
	}
}

// pass lets time pass, mostly about an interval.
func (m *machine) pass(t *rapid.T) {
	d := m.interval
	time.Sleep(rapid.SampledFrom([]time.Duration{1, d / 2, max(d, 2) - 1, max(d, 1), d + 1, 3*d + 1, time.Second}).Draw(t, "time"))
}

func (m *machine) close(t *rapid.T) {
	if !m.closed && rapid.IntRange(0, 7).Draw(t, "really") != 7 {
		t.Skip("seldom, because little happens afterwards")
	}
	m.closed = true
	same(t, "Close", m.e.Close(), nil)
}

// check compares all counts and events with the reference.
func (m *machine) check(t *rapid.T) {
	synctest.Wait()
	var conns, members int64
	var localSum occupancy.Occupancy
	notEmpty, unchanged := map[string]occupancy.Occupancy{}, true
	for name, p := range m.rooms {
		total := p.total()
		for _, v := range []room{byName{m.e, name}, byHandle{m.handles[name]}} {
			if got := v.Current(); got != total {
				t.Fatalf("%q: Current is %+v, want %+v", name, got, total)
			}
			if got := v.Local(); got != p.local {
				t.Fatalf("%q: Local is %+v, want %+v", name, got, p.local)
			}
		}
		if total != (occupancy.Occupancy{}) {
			notEmpty[name] = total
		}
		conns += int64(total.Connections)
		members += int64(total.PresenceMembers)
		localSum = sum(localSum, p.local)
		lag := m.interval
		if p.subs == 0 {
			lag = max(lag, time.Second) // Stats may lag that much where nobody listens
		}
		unchanged = unchanged && p.totals.unchanged(lag) && p.locals.unchanged(lag)
	}
	if all := maps.Collect(m.e.All()); !maps.Equal(all, notEmpty) {
		t.Fatalf("All is %v, want %v", all, notEmpty)
	}
	for _, s := range m.subs {
		m.receive(t, s)
	}
	for _, w := range m.watchers {
		if w.eager && !w.closed {
			m.drain(t, w)
		}
	}
	m.checkStats(t, conns, members, localSum, unchanged || m.closed)
}

func (m *machine) checkStats(t *rapid.T, conns, members int64, local occupancy.Occupancy, exact bool) {
	s := m.e.Stats()
	total := occupancy.Occupancy{Connections: int(min(conns, math.MaxInt)), PresenceMembers: int(min(members, math.MaxInt))}
	if exact && (s.Total != total ||
		s.Local != local || s.Arrivals-s.Departures != uint64(local.Connections)) {
		t.Fatalf("Stats %+v, want %d connections and %d members, %+v of this process", s, conns, members, local)
	}
	subs, watchers, unread := 0, 0, uint64(0)
	for _, sub := range m.subs {
		unread += uint64(len(sub.s.Events()))
		if !sub.closed && !m.closed {
			subs++
		}
	}
	for _, w := range m.watchers {
		if !w.closed {
			watchers++
		}
	}
	if s.Subscriptions != subs || s.Watchers != watchers || !m.closed && s.Rooms != m.exist() {
		t.Fatalf("Stats %+v, want %d rooms, %d subscriptions and %d watchers", s, m.exist(), subs, watchers)
	}
	if s.Delivered != s.Folded+m.taken+unread {
		t.Fatalf("Stats %+v, want %d events read and %d unread", s, m.taken, unread)
	}
	if s.Refused != m.refused {
		t.Fatalf("Stats %+v, want %+v refused", s, m.refused)
	}
	if s.Published < m.published {
		t.Fatalf("Stats %+v, want at least %d events published", s, m.published)
	}
}

// end waits until everything is published and closes the engine. Every listener must have
// the last value.
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
			t.Fatal("a subscription is open after Close")
		}
	}
}

// pick draws one element.
func pick[T any](t *rapid.T, label string, from []T) T {
	if len(from) == 0 {
		t.Skip("none")
	}
	return from[rapid.IntRange(0, len(from)-1).Draw(t, label)]
}
