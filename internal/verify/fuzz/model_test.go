package fuzz

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
)

// A program is one byte of configuration, followed by operations. Each operation is a byte
// followed by its arguments.
const (
	opJoin        = iota // room
	opLeave              // room
	opEnter              // room
	opExit               // room
	opConnect            // lease, room
	opLeaseEnter         // lease, client
	opLeaseExit          // lease, client
	opLeaseClose         // lease
	opSubscribe          // subscription, room
	opUnsubscribe        // subscription
	opRead               // subscription
	opWatch              // watcher
	opNext               // watcher
	opWatchClose         // watcher
	opRemoteSet          // remote, room, occupancy
	opRemoteClose        // remote
	opLink               // the answer of the peers
	opAdvance            // duration
	opQuiet
	opClose // only with argument 0, so that most programs are longer
	ops
)

var (
	fuzzRooms   = []string{"a", "ab", "b", "日", "", strings.Repeat("x", 1025), "\xff"}
	fuzzClients = []string{"x", "y", "z", "", "\xff"}
	goodRooms   = fuzzRooms[:4]
	remoteParts = []occupancy.Occupancy{
		{}, {Connections: 1}, {Connections: 2, PresenceMembers: 5}, {Connections: math.MaxInt32},
		{Connections: math.MaxInt32 - 1, PresenceMembers: math.MaxInt32}, {PresenceMembers: 1},
		{Connections: -1}, {PresenceMembers: over},
	}
)

// model is an engine, and a simple model of what it must return.
type model struct {
	t        *testing.T
	e        *occupancy.Engine
	program  []byte
	interval time.Duration
	limit    int
	closed   bool

	rooms    map[string]*modelRoom
	handles  map[string]*occupancy.Room
	leases   [4]*modelLease
	subs     [4]*modelSub // the odd ones read only in opRead
	watchers [4]*modelWatcher
	link     *occupancy.Link
	remotes  [3]*modelRemote
	peers    *modelPeers

	read, discarded uint64 // number of events
	versions        map[string]occupancy.Occupancy
	trace           []string
}

type modelRoom struct {
	local    occupancy.Occupancy
	subs     int
	changed  [2]time.Time // when the total and the local part last did
	received time.Time    // when a subscriber last received an event
}

type modelLease struct {
	lease   *occupancy.Lease
	room    string
	clients map[string]bool
	closed  bool
	// orphan: hooks by name have ended the room. Whether the lease still counts in the
	// room of that name depends on whether the room was dropped in between.
	orphan bool
}

type modelSub struct {
	sub    *occupancy.Subscription
	room   string
	eager  bool
	closed bool
	since  time.Time
	last   occupancy.Event
	lastAt time.Time
	events int
	differ time.Time // since when the last event differs from the room's occupancy
	inbox  mailbox   // if eager
}

// mailbox has the events that the goroutine of an eager listener received.
type mailbox struct {
	mu   sync.Mutex
	mail []arrival
}

type arrival struct {
	events []occupancy.RoomEvent
	at     time.Time
}

func (b *mailbox) put(events ...occupancy.RoomEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mail = append(b.mail, arrival{events, time.Now()})
}

func (b *mailbox) take() []arrival {
	b.mu.Lock()
	defer b.mu.Unlock()
	mail := b.mail
	b.mail = nil
	return mail
}

type modelWatcher struct {
	w      *occupancy.Watcher
	kind   int // local: 1, prefix "a": 2, eager: 4, selected rooms: 8
	closed bool
	view   map[string]occupancy.RoomEvent
	may    map[string]map[occupancy.Occupancy]bool // the values that may be returned
	inbox  mailbox                                 // if eager

	selected map[string]bool // rooms
	added    map[string]bool // those that the next batch contains, maybe with the same version again
}

func (w *modelWatcher) local() bool { return w.kind&1 != 0 }
func (w *modelWatcher) sees(room string) bool {
	if w.kind&8 != 0 {
		return w.selected[room]
	}
	return w.kind&2 == 0 || strings.HasPrefix(room, "a")
}

type modelRemote struct {
	remote *occupancy.Remote
	parts  map[string]occupancy.Occupancy
	closed bool
}

type modelPeers struct {
	answer occupancy.Occupancy
	err    error
}

func (p *modelPeers) Get(context.Context, string) (occupancy.Occupancy, error) {
	return p.answer, p.err
}

// next returns the next byte of the program, modulo n.
func (m *model) next(n int) int {
	if len(m.program) == 0 {
		return 0
	}
	b := int(m.program[0])
	m.program = m.program[1:]
	return b % n
}

func (m *model) failf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter %s", fmt.Sprintf(format, args...), strings.Join(m.trace, ", "))
}

// note traces a call and checks its error.
func (m *model) note(got, want error, format string, args ...any) {
	m.t.Helper()
	m.trace = append(m.trace, fmt.Sprintf(format, args...))
	if !errors.Is(got, want) || got != nil && want == nil {
		m.failf("error %v, want %v", got, want)
	}
}

func run(t *testing.T, program []byte) {
	m := &model{
		t: t, program: program, rooms: map[string]*modelRoom{}, handles: map[string]*occupancy.Room{},
		versions: map[string]occupancy.Occupancy{},
	}
	config := m.next(12)
	m.interval = []time.Duration{0, time.Millisecond, 100 * time.Millisecond}[config%3]
	m.limit = []int{0, 1, 2, 3}[config/3]
	m.e = occupancy.New(occupancy.WithInterval(m.interval), occupancy.WithMaxRooms(m.limit))
	defer m.e.Close() // after a failure, too: synctest requires that every goroutine ends
	m.relink()
	m.trace = append(m.trace, fmt.Sprintf("New(%v, %d rooms)", m.interval, m.limit))
	for _, name := range goodRooms {
		m.rooms[name] = &modelRoom{}
	}
	for _, name := range fuzzRooms {
		m.handles[name] = m.e.Room(name)
	}
	for n := 0; len(m.program) > 0 && n < 300; n++ {
		m.step(m.next(ops))
	}
	m.end()
}

// step runs one operation and checks everything that must be exact immediately.
func (m *model) step(op int) {
	var before [2]map[string]occupancy.Occupancy
	before[0], before[1] = m.totals()
	existed := m.exist()
	m.operate(op)
	synctest.Wait()

	now := time.Now()
	var after [2]map[string]occupancy.Occupancy
	after[0], after[1] = m.totals()
	quiet := map[string]bool{} // rooms whose change is the first after quiet
	for name, room := range m.rooms {
		quiet[name] = m.wasQuiet(room, now)
		for i := range after {
			if before[i][name] == after[i][name] {
				continue
			}
			room.changed[i] = now
			for _, w := range m.watchers {
				if w != nil && w.local() == (i == 1) {
					w.allow(name, after[i][name])
				}
			}
		}
		if existed[name] && !m.exist()[name] {
			for _, l := range m.leases {
				if l != nil && l.room == name {
					l.orphan = true
				}
			}
		}
	}
	m.checkCounts(after[0], after[1])
	for _, s := range m.subs {
		if s != nil {
			m.checkSub(s, after[0][s.room], now, quiet[s.room])
		}
	}
	for _, w := range m.watchers {
		if w != nil && w.kind&4 != 0 {
			m.checkEager(w)
		}
	}
	m.checkStats()
}

// wasQuiet reports whether a change now is certainly the first after a quiet interval. A
// change of the local part alone counts as a change, as it is published to local watchers.
func (m *model) wasQuiet(room *modelRoom, now time.Time) bool {
	last := room.changed[0]
	if room.changed[1].After(last) {
		last = room.changed[1]
	}
	return !now.Before(last.Add(2*m.interval)) || // every event was published within an interval
		!room.received.Before(last) && !now.Before(room.received.Add(m.interval))
}

func (m *model) exist() map[string]bool {
	exist := map[string]bool{}
	for name, room := range m.rooms {
		in := room.subs > 0 || room.local != occupancy.Occupancy{}
		for _, r := range m.remotes {
			in = in || r != nil && r.parts[name] != occupancy.Occupancy{}
		}
		if in {
			exist[name] = true
		}
	}
	return exist
}

// totals returns the totals and the local parts of all rooms.
func (m *model) totals() (totals, locals map[string]occupancy.Occupancy) {
	totals, locals = map[string]occupancy.Occupancy{}, map[string]occupancy.Occupancy{}
	for name, room := range m.rooms {
		o := room.local
		for _, r := range m.remotes {
			if r != nil {
				o = add(o, r.parts[name])
			}
		}
		totals[name] = capped(o)
		locals[name] = room.local
	}
	return totals, locals
}

// capped returns a sum, capped at the maximum. Where an int has 32 bits, a sum that is too
// large is negative.
func capped(o occupancy.Occupancy) occupancy.Occupancy {
	count := func(n int) int {
		if n < 0 || n > math.MaxInt32 {
			return math.MaxInt32
		}
		return n
	}
	return occupancy.Occupancy{Connections: count(o.Connections), PresenceMembers: count(o.PresenceMembers)}
}

// errClosed returns ErrClosed after Close.
func (m *model) errClosed() error {
	if m.closed {
		return occupancy.ErrClosed
	}
	return nil
}

// refuse returns the error of any call that takes the name.
func (m *model) refuse(name string) error {
	switch {
	case m.closed:
		return occupancy.ErrClosed
	case m.rooms[name] == nil:
		return occupancy.ErrInvalidRoom
	}
	return nil
}

// kinds returns how many rooms are occupied, are only subscribed to, have a remote part,
// and have both a remote part and a local one.
func (m *model) kinds() (occupied, subscribed, remote, both int) {
	for name, room := range m.rooms {
		local, parts := room.local != occupancy.Occupancy{}, m.hasPart(name)
		switch {
		case local:
			occupied++
		case room.subs > 0 && !parts:
			subscribed++
		}
		if parts {
			remote++
		}
		if local && parts {
			both++
		}
	}
	return occupied, subscribed, remote, both
}

func (m *model) hasPart(name string) bool {
	for _, r := range m.remotes {
		if r != nil && r.parts[name] != (occupancy.Occupancy{}) {
			return true
		}
	}
	return false
}

// refuseHook returns the error of a call that adds a connection or member.
func (m *model) refuseHook(name string) error {
	if err := m.refuse(name); err != nil {
		return err
	}
	occupied, _, _, _ := m.kinds()
	if m.limit > 0 && occupied >= m.limit && m.rooms[name].local == (occupancy.Occupancy{}) {
		return occupancy.ErrTooManyRooms
	}
	return nil
}

// refuseSubscribe returns the error of Subscribe. A few rooms more than the limit are
// accepted while rooms have both a remote part and a local one.
func (m *model) refuseSubscribe(name string) error {
	if err := m.refuse(name); err != nil {
		return err
	}
	_, subscribed, _, both := m.kinds()
	if m.limit > 0 && !m.exist()[name] && subscribed >= m.limit+both {
		return occupancy.ErrTooManyRooms
	}
	return nil
}

// refusePart returns the error of a Set that begins a part.
func (m *model) refusePart(name string) error {
	if err := m.refuse(name); err != nil {
		return err
	}
	if _, _, remote, _ := m.kinds(); m.limit > 0 && remote >= m.limit && !m.hasPart(name) {
		return occupancy.ErrTooManyRooms
	}
	return nil
}

// relink replaces the link. All its remotes and local watchers end.
func (m *model) relink() {
	if m.link != nil {
		m.note(m.link.Close(), nil, "Link.Close")
		for _, r := range m.remotes {
			if r != nil {
				r.closed = true
				if !m.closed {
					clear(r.parts)
				}
			}
		}
		for _, w := range m.watchers {
			if w != nil && w.local() {
				w.closed = true
			}
		}
	}
	var peers occupancy.Peers
	if m.peers != nil {
		peers = m.peers
	}
	link, err := m.e.Link(peers)
	m.note(err, m.errClosed(), "Link(%+v)", m.peers)
	if err == nil {
		m.link = link
		if _, err := m.e.Link(nil); !errors.Is(err, occupancy.ErrLinked) {
			m.failf("the second Link: %v", err)
		}
	}
}

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

func (m *model) subscribe(i int, name string) {
	if s := m.subs[i]; s != nil && !s.closed {
		return
	}
	want := m.refuseSubscribe(name)
	sub, err := m.e.Subscribe(name)
	if _, subscribed, _, both := m.kinds(); want == nil && m.limit > 0 && both > 0 && subscribed >= m.limit && !m.exist()[name] && err != nil {
		want = occupancy.ErrTooManyRooms // it may be exact as well
	}
	m.note(err, want, "%d = Subscribe(%.5q)", i, name)
	if err != nil {
		return
	}
	m.rooms[name].subs++
	now := time.Now()
	s := &modelSub{sub: sub, room: name, eager: i%2 == 0, since: now}
	m.subs[i] = s
	select {
	case ev := <-sub.Events():
		totals, _ := m.totals()
		if ev.Occupancy != totals[name] {
			m.failf("the snapshot is %+v, want %v", ev, totals[name])
		}
		m.receive(s, ev, time.Time{})
	default:
		m.failf("no snapshot")
	}
	if s.eager {
		go func() {
			for ev := range sub.Events() {
				s.inbox.put(occupancy.RoomEvent{Room: name, Event: ev})
			}
		}()
	}
}

// receive checks an event of a subscription.
func (m *model) receive(s *modelSub, ev occupancy.Event, at time.Time) {
	m.read++
	switch {
	case s.sub.Room() != s.room || ev.Type != occupancy.EventUpdated:
		m.failf("%q: %+v", s.room, ev)
	case s.events > 0 && ev.Version <= s.last.Version:
		m.failf("out of order: %+v after %+v", ev, s.last)
	case s.events > 0 && ev.Occupancy == s.last.Occupancy && (s.eager || ev.Version == s.last.Version+1):
		m.failf("published twice: %+v after %+v", ev, s.last)
	case s.eager && !s.lastAt.IsZero() && at.Sub(s.lastAt) < m.interval && !m.closed:
		m.failf("two events within %v: %+v after %+v", at.Sub(s.lastAt), ev, s.last)
	}
	m.version(occupancy.RoomEvent{Room: s.room, Event: ev}, false)
	s.events++
	s.last, s.lastAt = ev, at
}

// version checks that each version of a room has one value.
func (m *model) version(ev occupancy.RoomEvent, local bool) {
	key := fmt.Sprint(local, ev.Version, ev.Room)
	if was, known := m.versions[key]; known && was != ev.Occupancy {
		m.failf("%+v, but this version was %v before", ev, was)
	}
	m.versions[key] = ev.Occupancy
}

// readSub reads a subscription that is not eager. It holds at most one event.
func (m *model) readSub(s *modelSub) {
	for n := 0; ; n++ {
		select {
		case ev, ok := <-s.sub.Events():
			if !ok {
				if !s.closed && !m.closed {
					m.failf("the channel is closed")
				}
				return
			}
			if n > 0 {
				m.failf("more than one event: %+v after %+v", ev, s.last)
			}
			m.receive(s, ev, time.Now())
		default:
			if s.closed || m.closed {
				m.failf("the channel of an ended subscription is open")
			}
			totals, _ := m.totals()
			if room := m.rooms[s.room]; !time.Now().Before(room.changed[0].Add(m.interval)) && s.last.Occupancy != totals[s.room] {
				m.failf("the last event is %+v, want %v", s.last, totals[s.room])
			}
			return
		}
	}
}

// checkSub checks the events that an eager subscription received in this step.
func (m *model) checkSub(s *modelSub, now occupancy.Occupancy, at time.Time, atOnce bool) {
	if !s.eager {
		if len(s.sub.Events()) > 1 {
			m.failf("holds %d events", len(s.sub.Events()))
		}
		return
	}
	for _, a := range s.inbox.take() {
		m.receive(s, a.events[0].Event, a.at)
		if a.events[0].Occupancy != now {
			m.failf("received %+v, want %v", a.events[0], now)
		}
		if a.at.After(m.rooms[s.room].received) {
			m.rooms[s.room].received = a.at
		}
	}
	if s.closed {
		return
	}
	if s.last.Occupancy == now {
		s.differ = time.Time{}
		return
	}
	if s.differ.IsZero() {
		s.differ = at
	}
	if m.closed || at.Sub(s.differ) >= m.interval {
		m.failf("no event for %v although %q is %v; the last is %+v", at.Sub(s.differ), s.room, now, s.last)
	}
	if atOnce && s.since.Before(at) {
		m.failf("%q is %v: the first change after a quiet interval was not published immediately", s.room, now)
	}
}

func (m *model) watch(kind int) {
	i := slices.IndexFunc(m.watchers[:], func(w *modelWatcher) bool { return w == nil || w.closed })
	if i < 0 {
		return
	}
	switch {
	case kind&8 != 0:
		kind &^= 1 | 2
	case kind&1 != 0:
		kind &^= 2 // a watcher of local parts has no prefix
	}
	w := &modelWatcher{
		kind: kind, view: map[string]occupancy.RoomEvent{}, may: map[string]map[occupancy.Occupancy]bool{},
		selected: map[string]bool{}, added: map[string]bool{},
	}
	totals, locals := m.totals()
	if w.local() {
		totals = locals
	}
	for name, room := range m.rooms {
		recent := time.Now().Before(room.changed[kind&1].Add(m.interval))
		if (totals[name] != occupancy.Occupancy{}) || recent {
			w.allow(name, totals[name])
		}
	}
	var err error
	switch {
	case kind&8 != 0:
		rooms := goodRooms[:2]
		for _, name := range rooms {
			w.selected[name], w.added[name] = true, true
			w.allow(name, totals[name])
		}
		w.w, err = m.e.Watch(occupancy.Rooms(rooms...))
	case w.local():
		w.w, err = m.link.Watch()
	case kind&2 != 0:
		w.w, err = m.e.Watch(occupancy.WithPrefix("a"))
	default:
		w.w, err = m.e.Watch()
	}
	m.note(err, m.errClosed(), "%d = Watch(%d)", i, kind)
	if err != nil {
		return
	}
	m.watchers[i] = w
	if kind&4 == 0 {
		return
	}
	ctx := m.t.Context()
	go func() {
		for {
			batch, err := w.w.Next(ctx)
			if err != nil {
				return
			}
			w.inbox.put(batch...)
		}
	}()
}

func (w *modelWatcher) allow(room string, o occupancy.Occupancy) {
	if w.may[room] == nil {
		w.may[room] = map[occupancy.Occupancy]bool{}
	}
	w.may[room][o] = true
}

// receiveBatch checks a batch.
func (m *model) receiveBatch(w *modelWatcher, batch []occupancy.RoomEvent) {
	if len(batch) == 0 {
		m.failf("Next returned no event")
	}
	once := map[string]bool{}
	for _, ev := range batch {
		switch {
		case !w.sees(ev.Room) || once[ev.Room] || ev.Type != occupancy.EventUpdated:
			m.failf("%+v in %+v", ev, batch)
		case !w.may[ev.Room][ev.Occupancy]:
			m.failf("%+v: the room has not had this value since the last Next", ev)
		case ev.Version <= w.view[ev.Room].Version && !(w.added[ev.Room] && ev.Version == w.view[ev.Room].Version):
			m.failf("out of order: %+v after %+v", ev, w.view[ev.Room])
		}
		m.version(ev, w.local())
		once[ev.Room] = true
		delete(w.added, ev.Room)
		w.view[ev.Room] = ev
	}
}

// upToDate checks that a watcher has returned all changes older than an interval.
func (m *model) upToDate(w *modelWatcher) {
	totals, locals := m.totals()
	if w.local() {
		totals = locals
	}
	for name, room := range m.rooms {
		if !w.sees(name) || time.Now().Before(room.changed[w.kind&1].Add(m.interval)) {
			continue
		}
		if got := w.view[name].Occupancy; got != totals[name] {
			m.failf("a watcher did not return that %q is %v; it has %v", name, totals[name], got)
		}
		if w.added[name] {
			m.failf("a watcher did not return %q, which was selected", name)
		}
		delete(w.may, name)
	}
}

// selectRoom adds a room to a watcher of selected rooms, or removes it.
func (m *model) selectRoom(i int, w *modelWatcher, name string, add bool) {
	if !add {
		m.note(nil, nil, "%d.Remove(%.5q)", i, name)
		w.w.Remove(name)
		delete(w.selected, name)
		delete(w.added, name)
		delete(w.may, name)
		delete(w.view, name)
		return
	}
	want := m.refuse(name)
	if w.closed || m.closed {
		want = occupancy.ErrClosed
	}
	m.note(w.w.Add(name), want, "%d.Add(%.5q)", i, name)
	if want == nil {
		totals, _ := m.totals()
		w.selected[name], w.added[name] = true, true
		w.allow(name, totals[name])
	}
}

func (m *model) checkEager(w *modelWatcher) {
	if w.closed || m.closed {
		return
	}
	for _, a := range w.inbox.take() {
		m.receiveBatch(w, a.events)
	}
	m.upToDate(w)
}

// drain calls Next until it would block.
func (m *model) drain(w *modelWatcher) {
	for {
		ctx, cancel := context.WithCancel(m.t.Context())
		var batch []occupancy.RoomEvent
		var err error
		done := make(chan struct{})
		go func() {
			batch, err = w.w.Next(ctx)
			close(done)
		}()
		synctest.Wait()
		cancel()
		<-done
		switch {
		case w.closed || m.closed:
			if !errors.Is(err, occupancy.ErrClosed) {
				m.failf("Next after Close: %v, %v", batch, err)
			}
			return
		case err == nil:
			m.receiveBatch(w, batch)
			continue
		case !errors.Is(err, context.Canceled):
			m.failf("Next: %v", err)
		}
		m.upToDate(w)
		return
	}
}

// checkCounts checks every way to read the counts.
func (m *model) checkCounts(totals, locals map[string]occupancy.Occupancy) {
	all := map[string]occupancy.Occupancy{}
	for name, o := range m.e.All() {
		if _, again := all[name]; again {
			m.failf("All yields %q twice", name)
		}
		all[name] = o
	}
	want := maps.Clone(totals)
	maps.DeleteFunc(want, func(_ string, o occupancy.Occupancy) bool { return o == occupancy.Occupancy{} })
	if !maps.Equal(all, want) {
		m.failf("All has %v, want %v", all, want)
	}
	for _, name := range fuzzRooms {
		h := m.handles[name]
		if got, want := m.e.Current(name), totals[name]; got != want || h.Current() != want {
			m.failf("Current(%.5q) is %v, by handle %v, want %v", name, got, h.Current(), want)
		}
		if got, want := m.e.Local(name), locals[name]; got != want || h.Local() != want {
			m.failf("Local(%.5q) is %v, by handle %v, want %v", name, got, h.Local(), want)
		}
		m.checkGet(name, totals[name], locals[name])
	}
}

func (m *model) checkGet(name string, want, local occupancy.Occupancy) {
	bad := m.refuse(name)
	if bad != nil {
		want = occupancy.Occupancy{}
	}
	if bad == nil && m.peers != nil {
		if want, bad = capped(add(local, m.peers.answer)), m.peers.err; m.peers.answer.Connections < 0 {
			want, bad = local, occupancy.ErrCount
		}
	}
	for _, get := range []func(context.Context) (occupancy.Occupancy, error){
		m.handles[name].Get,
		func(ctx context.Context) (occupancy.Occupancy, error) { return m.e.Get(ctx, name) },
	} {
		if got, err := get(m.t.Context()); got != want || !errors.Is(err, bad) || err != nil && bad == nil {
			m.failf("Get(%.5q) returned %v, %v; want %v, %v", name, got, err, want, bad)
		}
	}
}

func (m *model) checkStats() {
	got := m.e.Stats()
	subs, watchers, unread := 0, 0, 0
	for _, s := range m.subs {
		if s != nil && !s.closed {
			unread += len(s.sub.Events())
			if !m.closed {
				subs++
			}
		}
	}
	for _, w := range m.watchers {
		if w != nil && !w.closed && w.w != nil {
			watchers++
		}
	}
	if got.Rooms != len(m.exist()) || got.Subscriptions != subs || got.Watchers != watchers {
		m.failf("%+v, want the rooms %v, %d subscriptions and %d watchers", got, m.exist(), subs, watchers)
	}
	if want := m.read + m.discarded + uint64(unread) + got.Folded; got.Delivered != want {
		m.failf("%+v: %d events were read, %d discarded and %d are unread", got, m.read, m.discarded, unread)
	}
}

// quiet waits until everything is published, and checks what must be exact then.
func (m *model) quiet() {
	m.note(nil, nil, "quiet")
	time.Sleep(2*m.interval + 1)
	synctest.Wait()
	if m.closed {
		return
	}
	for _, s := range m.subs {
		if s != nil && !s.eager && !s.closed {
			m.readSub(s)
		}
	}
	for _, w := range m.watchers {
		if w != nil && w.kind&4 == 0 && !w.closed {
			m.drain(w)
		}
	}
	time.Sleep(time.Second) // the totals of rooms without listeners lag by that much at most
	var sum, localSum occupancy.Occupancy
	totals, locals := m.totals()
	for name, o := range totals {
		sum, localSum = add(sum, o), add(localSum, locals[name])
	}
	if got := m.e.Stats(); got.Total != sum || got.Local != localSum || got.Arrivals-got.Departures != uint64(localSum.Connections) {
		m.failf("%+v, want %v in all rooms and %v of this process", got, sum, localSum)
	}
}

// end removes everything, with operations of the model.
func (m *model) end() {
	do := func(op int, args ...byte) {
		m.program = args
		m.step(op)
	}
	do(opQuiet)
	for i := range m.leases {
		do(opLeaseClose, byte(i))
	}
	for i, name := range goodRooms {
		for n := m.rooms[name].local.Connections; n > 0; n-- {
			do(opLeave, byte(2*i))
		}
		for n := m.rooms[name].local.PresenceMembers; n > 0; n-- {
			do(opExit, byte(2*i))
		}
	}
	for i := range m.remotes {
		do(opRemoteClose, byte(i))
	}
	for i := range m.subs {
		do(opUnsubscribe, byte(i))
	}
	do(opQuiet)
	for i := range m.watchers {
		do(opWatchClose, byte(i))
	}
	none := occupancy.Occupancy{}
	if got := m.e.Stats(); !m.closed && (got.Rooms+got.Subscriptions+got.Watchers > 0 || got.Total != none || got.Local != none) {
		m.failf("after everything was removed: %+v", got)
	}
	do(opClose, 0)
}
