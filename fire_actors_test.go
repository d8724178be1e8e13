package occupancy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

// worker joins and leaves: by name and by handle, with raw hooks and with leases.
type worker struct {
	s       *storm
	thief   bool // leaves what others joined too, and has no leases then
	at      int  // the room it visits, or -1
	handles []*occupancy.Room
	raw     []occupancy.Occupancy // what it has in each room by raw hooks
	leases  []*lease
}

type lease struct {
	room    int
	conn    *occupancy.Conn
	clients map[string]bool
}

// actions are the raw hooks of one room, by name or by handle.
type actions interface {
	Join() error
	Leave() error
	Enter() error
	Exit() error
}

type named struct {
	e    *occupancy.Engine
	room string
}

func (n named) Join() error  { return n.e.Join(n.room) }
func (n named) Leave() error { return n.e.Leave(n.room) }
func (n named) Enter() error { return n.e.Enter(n.room) }
func (n named) Exit() error  { return n.e.Exit(n.room) }

func (w *worker) actions(room int, r *rand.Rand) actions {
	if r.IntN(2) == 0 {
		return named{w.s.e, w.s.rooms[room]}
	}
	return w.handles[room]
}

// step visits one room after another: some calls there, then leaves it as it was. So
// a room ends whenever the last visitor goes.
func (w *worker) step(r *rand.Rand) {
	if w.at < 0 {
		if r.IntN(4) > 0 {
			runtime.Gosched() // the publisher gets a chance to drop the room
			return
		}
		w.at = r.IntN(len(w.s.rooms))
	}
	room, v := w.at, w.actions(w.at, r)
	switch r.IntN(14) {
	case 0, 1, 2:
		w.take(room, occupancy.Occupancy{Connections: 1}, v.Join())
	case 3, 4:
		w.take(room, occupancy.Occupancy{PresenceMembers: 1}, v.Enter())
	case 5, 6:
		w.giveBack(room, v, 1)
	case 7:
		w.connect(room, r)
	case 8, 9:
		if len(w.leases) > 0 {
			w.use(r.IntN(len(w.leases)), r)
		}
	case 10:
		w.look(room)
	default:
		w.giveBack(room, v, 1<<30)
		for len(w.leases) > 0 && w.close(0, false) {
		}
		w.at = -1
	}
}

// take notes what a call that adds has added.
func (w *worker) take(room int, one occupancy.Occupancy, err error) bool {
	switch {
	case err == nil:
		w.raw[room] = add(w.raw[room], one)
		w.s.sure.enter(room)
	case errors.Is(err, occupancy.ErrTooManyRooms) && w.s.limit > 0 && w.has(room) == occupancy.Occupancy{}:
	case errors.Is(err, occupancy.ErrClosed) && w.s.closes:
	default:
		w.s.t.Errorf("%s: %v, while this goroutine has %v there", w.s.rooms[room], err, w.has(room))
	}
	return err == nil
}

// giveBack leaves and exits up to so often; a thief goes on until there is nothing to
// take.
func (w *worker) giveBack(room int, v actions, most int) {
	raw := &w.raw[room]
	for n := 0; n < most && (raw.Connections > 0 || w.thief) && w.drop(room, v.Leave, occupancy.ErrNotJoined); n++ {
		raw.Connections--
	}
	for n := 0; n < most && (raw.PresenceMembers > 0 || w.thief) && w.drop(room, v.Exit, occupancy.ErrNotEntered); n++ {
		raw.PresenceMembers--
	}
}

// drop reports whether the hook took one away.
func (w *worker) drop(room int, hook func() error, none error) bool {
	w.s.sure.leave(room)
	err := hook()
	if err != nil && !(w.thief && errors.Is(err, none)) && !(w.s.closes && errors.Is(err, occupancy.ErrClosed)) {
		w.s.t.Errorf("%s: %v, while this goroutine has %v there", w.s.rooms[room], err, w.has(room))
	}
	return err == nil
}

func (w *worker) connect(room int, r *rand.Rand) {
	if w.thief || len(w.leases) > 2 {
		return
	}
	connect := func() (*occupancy.Conn, error) { return w.s.e.Connect(w.s.rooms[room]) }
	if r.IntN(2) == 0 {
		connect = w.handles[room].Connect
	}
	conn, err := connect()
	if w.take(room, occupancy.Occupancy{}, err) {
		w.leases = append(w.leases, &lease{room, conn, map[string]bool{}})
	}
}

// use does something with a lease.
func (w *worker) use(i int, r *rand.Rand) {
	l := w.leases[i]
	client := string(rune('A' + r.IntN(3)))
	var err error
	switch r.IntN(5) {
	case 0:
		if err = l.conn.Enter(client); err == nil {
			l.clients[client] = true
		}
	case 1: // from two goroutines, as two frames of one connection
		var wg sync.WaitGroup
		wg.Go(func() { _ = l.conn.Enter(client) })
		if err = l.conn.Enter(client); err == nil {
			l.clients[client] = true
		}
		wg.Wait()
	case 2:
		err = l.conn.Exit(client)
		if !l.clients[client] && errors.Is(err, occupancy.ErrNotEntered) {
			err = nil
		} else if err == nil {
			if !l.clients[client] {
				w.s.t.Errorf("Exit of %s, who has not entered, is accepted", client)
			}
			delete(l.clients, client)
		}
	case 3, 4:
		if w.close(i, r.IntN(4) == 0) {
			return
		}
	}
	if err != nil && !(w.s.closes && errors.Is(err, occupancy.ErrClosed)) {
		w.s.t.Errorf("lease in %s: %v", w.s.rooms[l.room], err)
	}
}

// close ends a lease, and reports whether it did.
func (w *worker) close(i int, twice bool) bool {
	l := w.leases[i]
	w.s.sure.leave(l.room)
	var wg sync.WaitGroup
	var other error = occupancy.ErrClosed
	if twice {
		wg.Go(func() { other = l.conn.Close() })
	}
	err := l.conn.Close()
	wg.Wait()
	if err != nil && other != nil { // the engine was closed before either
		if !w.s.closes || !errors.Is(err, occupancy.ErrClosed) {
			w.s.t.Errorf("Close: %v", err)
		}
		return false
	}
	w.leases[i] = w.leases[len(w.leases)-1]
	w.leases = w.leases[:len(w.leases)-1]
	return true
}

// has is what this worker alone has in a room.
func (w *worker) has(room int) occupancy.Occupancy {
	has := w.raw[room]
	for _, l := range w.leases {
		if l.room == room {
			has = add(has, occupancy.Occupancy{Connections: 1, PresenceMembers: len(l.clients)})
		}
	}
	return has
}

// look checks that what this worker has in rooms is seen, whatever others do.
func (w *worker) look(room int) {
	e, name := w.s.e, w.s.rooms[room]
	w.s.born.Store(occupancy.Cell(e, name), nil)
	if w.thief {
		return // what it has in a room may be less than nothing
	}
	has := w.has(room)
	for what, got := range map[string]occupancy.Occupancy{
		"Current": e.Current(name), "Local": e.Local(name),
		"Current by handle": w.handles[room].Current(), "Local by handle": w.handles[room].Local(),
	} {
		if !atLeast(got, has) {
			w.s.t.Errorf("%s: %s is %v, while this goroutine alone has %v there", name, what, got, has)
		}
	}
	seen := map[string]occupancy.Occupancy{}
	for name, o := range e.All() {
		if _, again := seen[name]; again {
			w.s.t.Errorf("All has %s twice", name)
		}
		seen[name] = o
	}
	for i, name := range w.s.rooms {
		if has := w.has(i); !atLeast(seen[name], has) {
			w.s.t.Errorf("%s: All has %v, while this goroutine alone has %v there", name, seen[name], has)
		}
	}
}

func (w *worker) part(room int) (local, remote occupancy.Occupancy) { return w.has(room), remote }

func (w *worker) rest() {}

func (w *worker) leave() {
	for len(w.leases) > 0 && w.close(0, false) {
	}
	for room := range w.raw {
		w.giveBack(room, w.handles[room], 1<<30)
	}
}

// sure counts the rooms that exist for sure, since somebody is in them: never more
// than do exist.
type sure struct {
	mu    sync.Mutex
	in    []int
	rooms int
	most  int
}

// enter is called after one has entered.
func (s *sure) enter(room int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in[room]++; s.in[room] == 1 {
		s.rooms++
		s.most = max(s.most, s.rooms)
	}
}

// leave is called before one leaves.
func (s *sure) leave(room int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in[room]--; s.in[room] == 0 {
		s.rooms--
	}
}

// peer is another node.
type peer struct {
	s      *storm
	remote *occupancy.Remote
	parts  []occupancy.Occupancy
}

func newPeer(s *storm) *peer {
	return &peer{s: s, remote: s.e.Remote("peer"), parts: make([]occupancy.Occupancy, len(s.rooms))}
}

func (p *peer) step(r *rand.Rand) {
	if r.IntN(50) == 0 && !p.s.closes {
		p.leave()
		if err := p.remote.Set(p.s.rooms[0], occupancy.Occupancy{Connections: 1}); !errors.Is(err, occupancy.ErrClosed) {
			p.s.t.Errorf("Set after Close: %v", err)
		}
		p.remote = p.s.e.Remote("peer, again")
		return
	}
	var o occupancy.Occupancy
	if r.IntN(8) == 0 {
		o = occupancy.Occupancy{Connections: r.IntN(3), PresenceMembers: r.IntN(3)}
	}
	p.set(r.IntN(len(p.parts)), o)
}

func (p *peer) set(room int, o occupancy.Occupancy) {
	none, was := occupancy.Occupancy{}, p.parts[room]
	if was != none && o == none {
		p.s.sure.leave(room)
	}
	switch err := p.remote.Set(p.s.rooms[room], o); {
	case err == nil:
		p.parts[room] = o
		if was == none && o != none {
			p.s.sure.enter(room)
		}
	case errors.Is(err, occupancy.ErrTooManyRooms) && p.s.limit > 0 && was == none && o != none:
	case errors.Is(err, occupancy.ErrClosed) && p.s.closes:
	default:
		p.s.t.Errorf("Set %s %v, was %v: %v", p.s.rooms[room], o, was, err)
	}
}

func (p *peer) part(room int) (local, remote occupancy.Occupancy) { return local, p.parts[room] }

func (p *peer) rest() {}

func (p *peer) leave() {
	for room, o := range p.parts {
		if o != (occupancy.Occupancy{}) {
			p.s.sure.leave(room)
			p.parts[room] = occupancy.Occupancy{}
		}
	}
	p.remote.Close()
}

// bystander is an actor that is in no room.
type bystander struct{}

func (bystander) part(int) (local, remote occupancy.Occupancy) { return local, remote }
func (bystander) rest()                                        {}
func (bystander) leave()                                       {}

// auditor reads the totals.
type auditor struct {
	bystander
	s    *storm
	last occupancy.Stats
}

func (a *auditor) step(r *rand.Rand) {
	got := a.s.e.Stats()
	last := a.last
	a.last = got
	if got.Published < last.Published || got.Delivered < last.Delivered || got.Folded < last.Folded {
		a.s.t.Errorf("%+v, after %+v", got, last)
	}
	if got.Rooms < 0 || got.Connections < 0 || got.PresenceMembers < 0 || got.Subscriptions < 0 || got.Watchers < 0 {
		a.s.t.Errorf("below zero: %+v", got)
	}
	if a.s.limit > 0 && got.Rooms > a.s.limit {
		a.s.t.Errorf("%+v, at most %d are allowed", got, a.s.limit)
	}
}

// hearing is a subscription and what was heard by it.
type hearing struct {
	s     *storm
	room  string
	sub   *occupancy.Subscription
	heard int
	last  occupancy.Event
}

// poll reads an event if there is one.
func (h *hearing) poll() bool {
	select {
	case ev, ok := <-h.sub.Events():
		if ok {
			h.hear(ev)
		} else if !h.s.closes {
			h.s.t.Errorf("%s: closed while nobody closed it", h.room)
		}
		return ok
	default:
		return false
	}
}

func (h *hearing) hear(ev occupancy.Event) {
	switch {
	case ev.Room != h.room || ev.Type != occupancy.EventUpdated:
		h.s.t.Errorf("%s: %+v", h.room, ev)
	case h.heard > 0 && ev.Version <= h.last.Version:
		h.s.t.Errorf("%s: out of order: %+v, after %+v", h.room, ev, h.last)
	case h.heard > 0 && ev.Occupancy == h.last.Occupancy && ev.Version == h.last.Version+1:
		// With a gap it is another value that was folded between the two.
		h.s.t.Errorf("%s: told twice: %+v, after %+v", h.room, ev, h.last)
	}
	h.heard++
	h.last = ev
	h.s.read.Add(1)
}

// end unsubscribes; nothing may come after it.
func (h *hearing) end() {
	h.s.unsubscribed.Add(1)
	h.sub.Unsubscribe()
	select {
	case ev, ok := <-h.sub.Events():
		if ok {
			h.s.t.Errorf("%s: after Unsubscribe: %+v", h.room, ev)
		}
	default:
		h.s.t.Errorf("%s: not closed by Unsubscribe", h.room)
	}
}

// listener subscribes and unsubscribes.
type listener struct {
	bystander
	s    *storm
	open []*hearing
}

func (l *listener) step(r *rand.Rand) {
	switch i := r.IntN(12); {
	case i == 0 && len(l.open) < 2:
		room := r.IntN(len(l.s.rooms))
		sub, err := l.s.e.Subscribe(l.s.rooms[room])
		if r.IntN(2) == 0 && err == nil {
			sub.Unsubscribe()
			l.s.unsubscribed.Add(1)
			sub, err = l.s.e.Room(l.s.rooms[room]).Subscribe()
		}
		if err != nil {
			if !(l.s.limit > 0 && errors.Is(err, occupancy.ErrTooManyRooms) || l.s.closes && errors.Is(err, occupancy.ErrClosed)) {
				l.s.t.Errorf("Subscribe: %v", err)
			}
			return
		}
		h := &hearing{s: l.s, room: l.s.rooms[room], sub: sub}
		if !h.poll() {
			l.s.t.Errorf("%s: no snapshot is waiting", h.room)
		}
		l.open = append(l.open, h)
	case i < 4 && len(l.open) > 0:
		i := r.IntN(len(l.open))
		l.open[i].end()
		l.open = append(l.open[:i], l.open[i+1:]...)
	case len(l.open) > 0:
		l.open[r.IntN(len(l.open))].poll()
	}
}

func (l *listener) rest() {
	for _, h := range l.open {
		h.end()
	}
	l.open = nil
}

// ear stays subscribed over the quiet points.
type ear struct {
	hearing
	mu   sync.Mutex // protects what was heard
	over chan struct{}
}

func listen(s *storm, room string) *ear {
	sub, err := s.e.Subscribe(room)
	if err != nil {
		s.t.Fatalf("Subscribe: %v", err)
	}
	ear := &ear{hearing: hearing{s: s, room: room, sub: sub}, over: make(chan struct{})}
	go func() {
		defer close(ear.over)
		for ev := range sub.Events() {
			ear.mu.Lock()
			ear.hear(ev)
			ear.mu.Unlock()
		}
	}()
	return ear
}

func (ear *ear) check() error {
	ear.mu.Lock()
	defer ear.mu.Unlock()
	if got := ear.s.e.Current(ear.room); ear.last.Occupancy != got {
		return fmt.Errorf("a subscriber's last event is %+v, Current is %v", ear.last, got)
	}
	return nil
}

// looking is a watcher and what was seen by it.
type looking struct {
	s      *storm
	w      *occupancy.Watcher
	prefix string
	local  bool
	seen   map[string]occupancy.Event
}

func (l *looking) see(batch []occupancy.Event, err error) error {
	once := map[string]bool{}
	for _, ev := range batch {
		switch {
		case once[ev.Room] || !strings.HasPrefix(ev.Room, l.prefix) || ev.Type != occupancy.EventUpdated:
			l.s.t.Errorf("%+v, in %v", ev, batch)
		case ev.Version <= l.seen[ev.Room].Version:
			l.s.t.Errorf("out of order: %+v, after %+v", ev, l.seen[ev.Room])
		}
		once[ev.Room] = true
		l.seen[ev.Room] = ev
	}
	if err == nil && len(batch) == 0 {
		l.s.t.Errorf("Next returns nothing")
	}
	return err
}

// looker opens and closes watchers.
type looker struct {
	bystander
	s    *storm
	open []*looking
}

func (l *looker) step(r *rand.Rand) {
	switch i := r.IntN(40); {
	case i == 0 && len(l.open) < 3:
		k := &looking{s: l.s, seen: map[string]occupancy.Event{}}
		var opts []occupancy.WatchOption
		if r.IntN(2) == 0 {
			k.prefix = "a/"
			opts = append(opts, occupancy.WithPrefix(k.prefix))
		}
		if r.IntN(2) == 0 {
			opts = append(opts, occupancy.LocalOnly())
		}
		k.w = l.s.e.Watch(opts...)
		l.open = append(l.open, k)
	case i == 1 && len(l.open) > 0:
		i := r.IntN(len(l.open))
		l.end(l.open[i], r)
		l.open = append(l.open[:i], l.open[i+1:]...)
	case i < 8 && len(l.open) > 0:
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Microsecond)
		k := l.open[r.IntN(len(l.open))]
		err := k.see(k.w.Next(ctx))
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !(l.s.closes && errors.Is(err, occupancy.ErrClosed)) {
			l.s.t.Errorf("Next: %v", err)
		}
	}
}

// end closes a watcher under the feet of who waits for it.
func (l *looker) end(k *looking, r *rand.Rand) {
	if r == nil || r.IntN(2) == 0 {
		k.w.Close()
	} else {
		go k.w.Close()
	}
	for {
		if err := k.see(k.w.Next(context.Background())); err != nil {
			if !errors.Is(err, occupancy.ErrClosed) {
				l.s.t.Errorf("Next: %v", err)
			}
			k.w.Close()
			return
		}
	}
}

func (l *looker) rest() {
	for _, k := range l.open {
		l.end(k, nil)
	}
	l.open = nil
}

// eye stays over the quiet points.
type eye struct {
	looking
	mu   sync.Mutex // protects what was seen
	over chan struct{}
}

func observe(s *storm, prefix string, local bool, opts ...occupancy.WatchOption) *eye {
	w := s.e.Watch(opts...)
	eye := &eye{looking: looking{s, w, prefix, local, map[string]occupancy.Event{}}, over: make(chan struct{})}
	go func() {
		defer close(eye.over)
		for {
			batch, err := w.Next(context.Background())
			eye.mu.Lock()
			err = eye.see(batch, err)
			eye.mu.Unlock()
			if err != nil {
				if !errors.Is(err, occupancy.ErrClosed) {
					s.t.Errorf("Next: %v", err)
				}
				return
			}
		}
	}()
	return eye
}

func (eye *eye) check() error {
	eye.mu.Lock()
	defer eye.mu.Unlock()
	want, got := map[string]occupancy.Occupancy{}, map[string]occupancy.Occupancy{}
	for i, name := range eye.s.rooms {
		local, total := eye.s.model(i)
		if eye.local {
			total = local
		}
		if strings.HasPrefix(name, eye.prefix) && total != (occupancy.Occupancy{}) {
			want[name] = total
		}
	}
	for name, ev := range eye.seen {
		if (ev.Occupancy != occupancy.Occupancy{}) {
			got[name] = ev.Occupancy
		}
	}
	if !maps.Equal(want, got) {
		return fmt.Errorf("a watcher (prefix %q, local %v) has seen %v, the accepted calls make %v", eye.prefix, eye.local, got, want)
	}
	return nil
}
