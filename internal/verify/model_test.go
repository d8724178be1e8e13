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
		{"open session", 1, m.openSession},
		{"session", 5, m.useSession},
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

	leases   []*openLease // of Connect
	sessions []*openSession
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
			users:    rapid.Bool().Draw(t, "users"),
			rooms:    map[string]*roomState{},
		},
		handles: map[string]*occupancy.Room{},
	}
	opts := []occupancy.Option{occupancy.WithInterval(m.interval), occupancy.WithMaxRooms(m.limit)}
	if m.users {
		opts = append(opts, occupancy.WithUsers())
	}
	m.e = occupancy.New(opts...)
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
	case occupancy.ErrRoomFull:
		r.RoomFull++
	case occupancy.ErrNotJoined:
		r.NotJoined++
	case occupancy.ErrNotEntered:
		r.NotEntered++
	}
}

func (m *machine) hook(t *rapid.T) {
	room, want := m.name(t)
	p, on := m.state(room), m.room(t, room)
	client, bad := m.client(t)
	if bad = bad && m.users; !m.users {
		client = "" // the engine ignores it
	}
	switch method := rapid.SampledFrom([]string{"Join", "Leave", "Enter", "Exit"}).Draw(t, "method"); method {
	case "Join":
		if want = m.refuseHook(room, want); want == nil {
			p.local.Connections++
			p.raw.connections++
		}
		m.sameHook(t, method, on.Join(), want)
	case "Enter":
		if want = m.refuseHook(room, badClient(want, bad)); want == nil {
			p.enter(client)
			p.raw.members[client]++
		}
		m.sameHook(t, method, on.Enter(client), want)
	case "Leave":
		switch n := p.local.Connections; {
		case p.raw.connections == 0 && n > 0:
			t.Skip("would remove what a lease counts")
		case want == nil && n == 0:
			want = occupancy.ErrNotJoined
		case want == nil:
			p.local.Connections--
			p.raw.connections--
		}
		m.sameHook(t, method, on.Leave(), want)
	case "Exit":
		n := p.members[client]
		if !m.users {
			n = p.local.PresenceMembers
		}
		switch {
		case p.raw.members[client] == 0 && n > 0:
			t.Skip("would remove what a lease counts")
		case want == nil && n == 0:
			want = occupancy.ErrNotEntered
		case want == nil:
			p.exit(client)
			p.raw.members[client]--
		}
		m.sameHook(t, method, on.Exit(client), want)
	}
	p.note()
}

// refuseHook returns the error of a call that adds to the room. err is the error of its arguments.
func (m *machine) refuseHook(room string, err error) error {
	if err == nil {
		err = limited(m.fullForHooks(room))
	}
	return err
}

// client draws a client ID, seldom an invalid one.
func (m *machine) client(t *rapid.T) (client string, bad bool) {
	if rapid.IntRange(0, 9).Draw(t, "odd") == 9 {
		return rapid.SampledFrom(badClients).Draw(t, "bad client"), true
	}
	return rapid.SampledFrom(clients).Draw(t, "client"), false
}

// badClient returns the error of a call with a bad client ID. err is that of its room.
func badClient(err error, bad bool) error {
	if bad && err != occupancy.ErrClosed {
		return occupancy.ErrInvalidClientID
	}
	return err
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
	default:
		if part, possible := m.accept(m.peers.part); possible {
			o, want = sum(p.local, part), m.peers.err
			if m.users && m.hashed {
				o.Users = min(max(p.total().Users, part.Users), o.PresenceMembers)
			}
		} else {
			o, want = p.local, occupancy.ErrCount
		}
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
	m.advance(t, rapid.SampledFrom([]time.Duration{1, d / 2, max(d, 2) - 1, max(d, 1), d + 1, 3*d + 1, time.Second}).Draw(t, "time"))
}

// advance lets so much time pass, and ends the leases whose time to linger is over meanwhile.
func (m *machine) advance(t *rapid.T, d time.Duration) {
	for end := time.Now().Add(d); ; {
		next := m.firstDeadline()
		if next.IsZero() || next.After(end) {
			time.Sleep(time.Until(end))
			return
		}
		time.Sleep(time.Until(next) - 1)
		m.check(t) // what was published before
		time.Sleep(time.Nanosecond)
		m.endLingering()
		m.check(t)
	}
}

func (m *machine) close(t *rapid.T) {
	if !m.closed && rapid.IntRange(0, 7).Draw(t, "really") != 7 {
		t.Skip("seldom, because little happens afterwards")
	}
	m.closeEngine(t)
}

// closeEngine closes the engine. What lingers remains counted.
func (m *machine) closeEngine(t *rapid.T) {
	m.closed, m.lingering = true, nil
	same(t, "Close", m.e.Close(), nil)
}

// check compares all counts and events with the reference.
func (m *machine) check(t *rapid.T) {
	synctest.Wait()
	var conns, members, users int64
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
		users += int64(total.Users)
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
	m.checkStats(t, occupancy.Occupancy{Connections: capInt(conns), PresenceMembers: capInt(members), Users: capInt(users)}, localSum, unchanged || m.closed)
}

// capInt converts n to an int, which has 32 bits on some processors.
func capInt(n int64) int { return int(min(n, math.MaxInt)) }

func (m *machine) checkStats(t *rapid.T, total, local occupancy.Occupancy, exact bool) {
	s := m.e.Stats()
	if exact && (s.Total != total ||
		s.Local != local || s.Arrivals-s.Departures != uint64(local.Connections)) {
		t.Fatalf("Stats %+v, want %+v, %+v of this process", s, total, local)
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
	if s.Subscriptions != subs || s.Watchers != watchers || s.Lingering != len(m.lingering) || !m.closed && s.Rooms != m.exist() {
		t.Fatalf("Stats %+v, want %d rooms, %d subscriptions, %d watchers and %d lingering leases", s, m.exist(), subs, watchers, len(m.lingering))
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
	m.advance(t, 2*m.interval)
	m.check(t)
	for _, w := range m.watchers {
		if !w.closed {
			m.drain(t, w)
		}
	}
	m.closeEngine(t)
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
