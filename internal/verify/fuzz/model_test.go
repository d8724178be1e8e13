package fuzz

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
)

// A program is one byte of configuration, followed by operations. Each operation is a byte
// followed by its arguments. The byte is taken modulo ops, except from connectAs on.
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

const (
	opConnectAs = 240 + iota // lease, room, clients, maximum
	opLinger                 // lease, duration
	opEnd

	withUsers = 132 // from this byte of configuration on, the engine counts users
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
	users    bool
	closed   bool

	rooms    map[string]*modelRoom
	handles  map[string]*occupancy.Room
	leases   [4]*modelLease
	queue    []*modelLease // those that linger, in the order of Linger
	subs     [4]*modelSub  // the odd ones read only in opRead
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
	members  map[string]int // of local, by client; without users, all have the ID ""
	subs     int
	changed  [2]time.Time // when the total and the local part last did
	received time.Time    // when a subscriber last received an event
}

type modelLease struct {
	lease   *occupancy.Lease
	room    string
	client  string // that can take over the place, or ""
	clients map[string]bool
	order   []string  // of the clients, as they entered
	closed  bool      // or lingers
	until   time.Time // if it lingers
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
	m.users = len(program) > 0 && program[0] >= withUsers
	config := m.next(12)
	m.interval = []time.Duration{0, time.Millisecond, 100 * time.Millisecond}[config%3]
	m.limit = []int{0, 1, 2, 3}[config/3]
	opts := []occupancy.Option{occupancy.WithInterval(m.interval), occupancy.WithMaxRooms(m.limit)}
	if m.users {
		opts = append(opts, occupancy.WithUsers())
	}
	m.e = occupancy.New(opts...)
	defer m.e.Close() // after a failure, too: synctest requires that every goroutine ends
	m.relink()
	m.trace = append(m.trace, fmt.Sprintf("New(%v, %d rooms, users %v)", m.interval, m.limit, m.users))
	for _, name := range goodRooms {
		m.rooms[name] = &modelRoom{members: map[string]int{}}
	}
	for _, name := range fuzzRooms {
		m.handles[name] = m.e.Room(name)
	}
	for n := 0; len(m.program) > 0 && n < 300; n++ {
		if b := m.program[0]; b >= opConnectAs {
			m.step(opConnectAs + m.next(opEnd-opConnectAs))
		} else {
			m.step(m.next(ops))
		}
	}
	m.end()
}

// step runs one operation and checks everything that must be exact immediately.
func (m *model) step(op int) {
	if op == opAdvance || op == opQuiet {
		m.operate(op) // time passes, and leases may end in between: see sleep
		return
	}
	m.observe(func() { m.operate(op) })
}

// observe calls do and checks everything that must be exact immediately.
func (m *model) observe(do func()) {
	var before [2]map[string]occupancy.Occupancy
	before[0], before[1] = m.totals()
	existed := m.exist()
	do()
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
			m.endQueued(name)
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
	return occupancy.Occupancy{
		Connections: count(o.Connections), PresenceMembers: count(o.PresenceMembers), Users: count(o.Users),
	}
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
	for len(m.queue) > 0 {
		m.observe(func() { m.closeLease(m.queue[0]) })
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
