package stress

import (
	"errors"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

// caller calls the hooks by name and by handle, and uses leases.
type caller struct {
	s        *storm
	unpaired bool // also leaves what others joined, and has no leases
	id       string
	at       int // the room where it is, or -1
	handles  []*occupancy.Room
	added    []occupancy.Occupancy // to each room by hooks
	leases   []*openLease
	waiting  []*openLease // those that linger, in the order of Linger; id can take them over

	// closedLate is what leases counted that were closed when the engine's Close had
	// begun. Whether that Close counted is not known.
	closedLate map[int]occupancy.Occupancy
}

type openLease struct {
	*occupancy.Lease
	room    int
	clients map[string]bool
	own     bool // the caller's client entered first and is still in, so no other caller can take over the place
}

func (c *caller) hooks(room int, r *rand.Rand) hooks {
	if r.IntN(2) == 0 {
		return byName(c.s.e, c.s.rooms[room])
	}
	return byHandle(c.handles[room])
}

// step makes one call in the current room. The caller removes all that it added before it
// goes to another room, so that rooms often end.
func (c *caller) step(r *rand.Rand) {
	if c.at < 0 {
		if r.IntN(4) > 0 {
			runtime.Gosched() // so that the publisher can drop the room
			return
		}
		c.at = r.IntN(len(c.s.rooms))
	}
	room, h := c.at, c.hooks(c.at, r)
	switch r.IntN(14) {
	case 0, 1, 2:
		if c.accepted(room, h.join()) {
			c.added[room].Connections++
		}
	case 3, 4:
		if c.accepted(room, h.enter()) {
			c.added[room].PresenceMembers++
		}
	case 5, 6:
		c.remove(room, h, 1)
	case 7:
		c.connect(room, r)
	case 8, 9:
		if len(c.leases) > 0 {
			c.use(r.IntN(len(c.leases)), r)
		}
	case 10:
		c.readCounts(room)
	default:
		c.remove(room, h, 1<<30)
		c.closeAll()
		c.at = -1
	}
}

// accepted checks the error of a call that adds a connection or member, and reports
// whether it was accepted.
func (c *caller) accepted(room int, err error) bool {
	switch {
	case err == nil:
		c.s.occupied.use(room)
	case errors.Is(err, occupancy.ErrTooManyRooms) && c.s.limit > 0 && c.has(room) == occ(0, 0):
	case errors.Is(err, occupancy.ErrClosed) && c.s.closes:
	default:
		c.s.t.Errorf("%s: %v, while this goroutine has %v there", c.s.rooms[room], err, c.has(room))
	}
	return err == nil
}

// remove calls Leave and Exit, each at most so often. An unpaired caller goes on until it
// is refused.
func (c *caller) remove(room int, h hooks, most int) {
	added := &c.added[room]
	for n := 0; n < most && (added.Connections > 0 || c.unpaired) && c.removeOne(room, h.leave, occupancy.ErrNotJoined); n++ {
		added.Connections--
	}
	for n := 0; n < most && (added.PresenceMembers > 0 || c.unpaired) && c.removeOne(room, h.exit, occupancy.ErrNotEntered); n++ {
		added.PresenceMembers--
	}
}

// removeOne reports whether the hook was accepted.
func (c *caller) removeOne(room int, hook func() error, refusal error) bool {
	c.s.occupied.unuse(room)
	err := hook()
	if err != nil && !(c.unpaired && errors.Is(err, refusal)) && !(c.s.closes && errors.Is(err, occupancy.ErrClosed)) {
		c.s.t.Errorf("%s: %v, while this goroutine has %v there", c.s.rooms[room], err, c.has(room))
	}
	return err == nil
}

func (c *caller) connect(room int, r *rand.Rand) {
	if c.unpaired || len(c.leases) > 2 {
		return
	}
	connect := func(opts ...occupancy.ConnectOption) (*occupancy.Lease, error) {
		return c.s.e.Connect(c.s.rooms[room], opts...)
	}
	if r.IntN(2) == 0 {
		connect = c.handles[room].Connect
	}
	opts := []occupancy.ConnectOption{occupancy.Max(10_000)}[r.IntN(2):]
	clients := map[string]bool{}
	if r.IntN(3) > 0 {
		opts = append(opts, occupancy.As(c.id))
		clients[c.id] = true
		if r.IntN(2) == 0 {
			opts = append(opts, occupancy.As("A"))
			clients["A"] = true
		}
	}
	l, err := connect(opts...)
	if !c.accepted(room, err) {
		return
	}
	i := slices.IndexFunc(c.waiting, func(old *openLease) bool { return clients[c.id] && old.room == room })
	if i >= 0 {
		maps.Copy(clients, c.waiting[i].clients)
		c.waiting = slices.Delete(c.waiting, i, i+1)
		c.s.occupied.unuse(room) // accepted has counted the place again
	}
	c.leases = append(c.leases, &openLease{l, room, clients, clients[c.id]})
}

// use calls a method of a lease.
func (c *caller) use(i int, r *rand.Rand) {
	l := c.leases[i]
	client := string(rune('A' + r.IntN(3)))
	if r.IntN(4) == 0 {
		client = c.id
	}
	var err error
	switch r.IntN(6) {
	case 0:
		if err = l.Enter(client); err == nil {
			l.clients[client] = true
		}
	case 1: // two goroutines of one connection
		var wg sync.WaitGroup
		wg.Go(func() { _ = l.Enter(client) })
		if err = l.Enter(client); err == nil {
			l.clients[client] = true
		}
		wg.Wait()
	case 2:
		err = l.Exit(client)
		if !l.clients[client] && errors.Is(err, occupancy.ErrNotEntered) {
			err = nil
		} else if err == nil {
			if !l.clients[client] {
				c.s.t.Errorf("Exit of %s was accepted, although the client has not entered", client)
			}
			delete(l.clients, client)
			l.own = l.own && client != c.id
		}
	case 3, 4:
		c.leases = slices.Delete(c.leases, i, i+1)
		c.close(l, r.IntN(4) == 0)
	case 5:
		if l.own {
			l.Linger(time.Hour)
			c.leases = slices.Delete(c.leases, i, i+1)
			c.waiting = append(c.waiting, l)
		}
	}
	if err != nil && !(c.s.closes && errors.Is(err, occupancy.ErrClosed)) {
		c.s.t.Errorf("lease of %s: %v", c.s.rooms[l.room], err)
	}
}

// close closes a lease, once or in two goroutines.
func (c *caller) close(l *openLease, twice bool) {
	c.s.occupied.unuse(l.room)
	var wg sync.WaitGroup
	if twice {
		wg.Go(func() { _ = l.Close() })
	}
	err := l.Close()
	wg.Wait()
	if err != nil {
		c.s.t.Errorf("Close of a lease: %v", err)
	}
	if c.engineClosed() {
		if c.closedLate == nil {
			c.closedLate = map[int]occupancy.Occupancy{}
		}
		late := occ(1, len(l.clients))
		if c.s.users {
			late.Users = len(l.clients)
		}
		c.closedLate[l.room] = add(c.closedLate[l.room], late)
	}
}

// closeAll closes all leases, those that linger as well.
func (c *caller) closeAll() {
	for _, l := range slices.Concat(c.leases, c.waiting) {
		c.close(l, false)
	}
	c.leases, c.waiting = nil, nil
}

// engineClosed reports whether Close of the engine has begun.
func (c *caller) engineClosed() bool {
	return c.s.closes && errors.Is(c.s.e.Join(""), occupancy.ErrClosed)
}

// has returns what this caller has added to a room.
func (c *caller) has(room int) occupancy.Occupancy {
	has := c.added[room]
	for _, l := range slices.Concat(c.leases, c.waiting) {
		if l.room == room {
			has = add(has, occ(1, len(l.clients)))
		}
	}
	return has
}

func (c *caller) clients(room int) map[string]int {
	clients := map[string]int{"client": c.added[room].PresenceMembers}
	for _, l := range slices.Concat(c.leases, c.waiting) {
		if l.room == room {
			for id := range l.clients {
				clients[id]++
			}
		}
	}
	return clients
}

func (c *caller) lingering() int { return len(c.waiting) }

// readCounts checks that every way to read the counts includes what this caller added.
func (c *caller) readCounts(room int) {
	if c.unpaired {
		return // may have removed more than it added
	}
	e, name, has := c.s.e, c.s.rooms[room], c.has(room)
	for what, got := range map[string]occupancy.Occupancy{
		"Current": e.Current(name), "Local": e.Local(name),
		"Current by handle": c.handles[room].Current(), "Local by handle": c.handles[room].Local(),
	} {
		if !atLeast(got, has) {
			c.s.t.Errorf("%s: %s is %v, while this goroutine alone has %v there", name, what, got, has)
		}
	}
	all := byRoom{}
	for name, o := range e.All() {
		if _, again := all[name]; again {
			c.s.t.Errorf("All yields %s twice", name)
		}
		all[name] = o
	}
	for i, name := range c.s.rooms {
		if has := c.has(i); !atLeast(all[name], has) {
			c.s.t.Errorf("%s: All has %v, while this goroutine alone has %v there", name, all[name], has)
		}
	}
}

func (c *caller) part(room int) (local, remote occupancy.Occupancy) { return c.has(room), remote }

func (c *caller) endRound() {}

func (c *caller) removeAll() {
	c.closeAll()
	for room := range c.added {
		c.remove(room, byHandle(c.handles[room]), 1<<30)
	}
}

// certainRooms counts the rooms that certainly exist, because a goroutine has added
// something to them and has not begun to remove it.
type certainRooms struct {
	mu    sync.Mutex
	users []int // of each room
	rooms int
	most  int // the maximum of rooms
	begun int // how often a room began
}

// use is called after something was added.
func (c *certainRooms) use(room int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users[room]++; c.users[room] == 1 {
		c.rooms++
		c.begun++
		c.most = max(c.most, c.rooms)
	}
}

// unuse is called before something is removed.
func (c *certainRooms) unuse(room int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users[room]--; c.users[room] == 0 {
		c.rooms--
	}
}

// remoteNode sets the parts of another node.
type remoteNode struct {
	s      *storm
	remote *occupancy.Remote
	parts  []occupancy.Occupancy
}

func newRemoteNode(s *storm) *remoteNode {
	return &remoteNode{s: s, remote: s.link.Remote("node"), parts: make([]occupancy.Occupancy, len(s.rooms))}
}

func (n *remoteNode) step(r *rand.Rand) {
	if r.IntN(50) == 0 && !n.s.closes {
		n.removeAll()
		if err := n.remote.Set(part(n.s.rooms[0], occ(1, 0))); !errors.Is(err, occupancy.ErrClosed) {
			n.s.t.Errorf("Set after Close: %v", err)
		}
		n.remote = n.s.link.Remote("node")
		return
	}
	var o occupancy.Occupancy
	if r.IntN(8) == 0 {
		o = occ(r.IntN(3), r.IntN(3))
		if n.s.users {
			o.Users = r.IntN(o.PresenceMembers + 1)
		}
	}
	n.set(r.IntN(len(n.parts)), o)
	if room := r.IntN(len(n.parts)); n.remote.Get(n.s.rooms[room]).Occupancy != n.parts[room] {
		n.s.t.Errorf("Remote.Get returned %v, want %v", n.remote.Get(n.s.rooms[room]), n.parts[room])
	}
}

func (n *remoteNode) set(room int, o occupancy.Occupancy) {
	none, was := occ(0, 0), n.parts[room]
	if was != none && o == none {
		n.s.reported.unuse(room)
	}
	switch err := n.remote.Set(part(n.s.rooms[room], o)); {
	case err == nil:
		n.parts[room] = o
		if was == none && o != none {
			n.s.reported.use(room)
		}
	case errors.Is(err, occupancy.ErrTooManyRooms) && n.s.limit > 0 && was == none && o != none:
	case errors.Is(err, occupancy.ErrClosed) && n.s.closes:
	default:
		n.s.t.Errorf("Set of %s to %v, was %v: %v", n.s.rooms[room], o, was, err)
	}
}

func (n *remoteNode) part(room int) (local, remote occupancy.Occupancy) { return local, n.parts[room] }

func (n *remoteNode) clients(int) map[string]int { return nil }
func (n *remoteNode) lingering() int             { return 0 }
func (n *remoteNode) endRound()                  {}

func (n *remoteNode) removeAll() {
	for room, o := range n.parts {
		if o != occ(0, 0) {
			n.s.reported.unuse(room)
			n.parts[room] = occ(0, 0)
		}
	}
	_ = n.remote.Close()
}

// countless is an actor that adds nothing to the counts.
type countless struct{}

func (countless) part(int) (local, remote occupancy.Occupancy) { return local, remote }
func (countless) clients(int) map[string]int                   { return nil }
func (countless) lingering() int                               { return 0 }
func (countless) endRound()                                    {}
func (countless) removeAll()                                   {}

// statsReader reads the statistics.
type statsReader struct {
	countless
	s    *storm
	last occupancy.Stats
}

func (a *statsReader) step(*rand.Rand) {
	got, last := a.s.e.Stats(), a.last
	a.last = got
	if got.Published < last.Published || got.Delivered < last.Delivered || got.Folded < last.Folded ||
		got.Arrivals < last.Arrivals || got.Departures < last.Departures || got.Rounds < last.Rounds {
		a.s.t.Errorf("%+v after %+v", got, last)
	}
	if got.Total.Connections < 0 || got.Total.PresenceMembers < 0 || got.Local.Connections < 0 || got.Local.PresenceMembers < 0 ||
		got.Subscriptions < 0 || got.Watchers < 0 {
		a.s.t.Errorf("negative: %+v", got)
	}
	if got.Rooms < 0 || got.Rooms > len(a.s.rooms) {
		a.s.t.Errorf("%+v, there are only %d names", got, len(a.s.rooms))
	}
}
