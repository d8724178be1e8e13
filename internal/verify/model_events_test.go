package verify

import (
	"context"
	"strings"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"pgregory.net/rapid"
)

// sub is a subscription. A goroutine reads the events of an eager one; the others are read
// by the step read.
type sub struct {
	s      *occupancy.Subscription
	room   string
	eager  bool
	closed bool

	arrived   chan arrival // if eager: received by the goroutine and not checked yet
	last      occupancy.Event
	received  time.Time // when last came, unless it is the snapshot
	snapshots int       // of the room, when last came
}

type arrival struct {
	event occupancy.Event
	at    time.Time
}

func (m *machine) subscribe(t *rapid.T) {
	room, want := m.name(t)
	uncertain := false
	if want == nil {
		var full bool
		full, uncertain = m.fullForSubscribers(room)
		want = limited(full)
	}
	got, err := m.room(t, room).Subscribe()
	if uncertain && err == nil {
		want = nil
	}
	same(t, "Subscribe", err, want)
	if want != nil {
		return
	}
	p := m.state(room)
	p.subs++
	p.snapshots++
	s := &sub{s: got, room: room, eager: rapid.Bool().Draw(t, "eager"), snapshots: p.snapshots}
	m.subs = append(m.subs, s)
	if !s.eager {
		p.unread = true
		if len(got.Events()) != 1 {
			t.Fatal("no snapshot")
		}
		s.last.Occupancy = p.total()
		return
	}
	select {
	case e := <-got.Events():
		m.taken++
		m.checkEvent(t, e, room, false)
		if e.Occupancy != p.total() {
			t.Fatalf("the snapshot is %+v, want %+v", e, p.total())
		}
		s.last = e
	default:
		t.Fatal("no snapshot")
	}
	s.arrived = make(chan arrival, 16) // more than arrive between two checks
	go func() {
		for e := range got.Events() {
			s.arrived <- arrival{e, time.Now()}
		}
	}()
}

// checkEvent checks what is true of every event.
func (m *machine) checkEvent(t *rapid.T, e occupancy.Event, room string, local bool) {
	if e.Type != occupancy.EventUpdated {
		t.Fatalf("%q: %+v", room, e)
	}
	if local {
		return // their versions are numbered separately
	}
	p := m.state(room)
	if o, ok := p.versions[e.Version]; ok && o != e.Occupancy {
		t.Fatalf("%q: the value of version %d was %+v, now %+v", room, e.Version, o, e)
	}
	p.versions[e.Version] = e.Occupancy
}

// receive checks the events that an eager subscription has received since the last call,
// and that no other was due.
func (m *machine) receive(t *rapid.T, s *sub) {
	if !s.eager || s.closed {
		return
	}
	p := m.state(s.room)
	quiet := p.quiet(m.interval, len(m.watchers) > 0)
	for range len(s.arrived) {
		a := <-s.arrived
		m.taken++
		m.checkEvent(t, a.event, s.room, false)
		now, was := a.event, s.last
		switch {
		case now.Occupancy != p.total():
			t.Fatalf("received %+v, but the room has %+v", now, p.total())
		case now.Occupancy == was.Occupancy:
			t.Fatalf("received %+v again", now)
		case now.Version <= was.Version:
			t.Fatalf("received %+v after %+v", now, was)
		case now.Version > was.Version+1 && s.snapshots == p.snapshots:
			t.Fatalf("received %+v after %+v, but no event was folded", now, was)
		case !s.received.IsZero() && a.at.Sub(s.received) < m.interval && !m.closed:
			t.Fatalf("received %+v after only %v", now, a.at.Sub(s.received))
		}
		s.last, s.received, s.snapshots = now, a.at, p.snapshots
	}
	if s.received.After(p.received) {
		p.received = s.received
		m.published++
	}
	switch at, changed := p.totals.changed(); {
	case s.last.Occupancy == p.total():
	case p.totals.unchanged(m.interval) || m.closed:
		t.Fatalf("the last value %+v was not delivered, only %+v", p.total(), s.last)
	case changed && at.Equal(time.Now()) && quiet:
		t.Fatalf("%+v was not delivered immediately, only %+v", p.total(), s.last)
	}
}

func (m *machine) read(t *rapid.T) { m.take(t, pick(t, "subscription", m.subs)) }

// take reads a subscription that is not eager.
func (m *machine) take(t *rapid.T, s *sub) {
	if s.eager || s.closed {
		return
	}
	synctest.Wait()
	p := m.state(s.room)
	select {
	case e, open := <-s.s.Events():
		if !open {
			if !m.closed {
				t.Fatal("a subscription ended")
			}
			break
		}
		m.taken++
		m.checkEvent(t, e, s.room, false)
		if e.Version <= s.last.Version && s.last.Version > 0 {
			t.Fatalf("read %+v after %+v", e, s.last)
		}
		if !p.totals.had(e.Occupancy, m.interval) {
			t.Fatalf("read %+v, which the room has not had within the interval; it has %+v", e, p.total())
		}
		s.last = e
	default:
	}
	if s.last.Occupancy != p.total() && (p.totals.unchanged(m.interval) || m.closed) {
		t.Fatalf("the subscription does not hold the last value %+v, only %+v", p.total(), s.last)
	}
}

func (m *machine) unsubscribe(t *rapid.T) {
	s := pick(t, "subscription", m.subs)
	if m.taken += uint64(len(s.s.Events())); !s.closed {
		m.state(s.room).subs--
	}
	s.s.Unsubscribe()
	s.closed = true
	if e, open := <-s.s.Events(); open {
		t.Fatalf("%+v after Unsubscribe", e)
	}
}

// watcher is a watcher and the newest event of each room.
type watcher struct {
	w      *occupancy.Watcher
	prefix string
	local  bool
	eager  bool // read after every call, otherwise by the step next
	closed bool
	read   bool // at least once

	view       map[string]occupancy.RoomEvent
	interested map[string]bool // by room; only if local
	at         time.Time       // of the last read
}

func (m *machine) watch(t *rapid.T) {
	if len(m.watchers) == 3 {
		t.Skip("there are three already")
	}
	w := &watcher{
		prefix:     rapid.SampledFrom([]string{"", "", "a", "ab"}).Draw(t, "prefix"),
		local:      rapid.Bool().Draw(t, "local"),
		eager:      rapid.Bool().Draw(t, "eager"),
		view:       map[string]occupancy.RoomEvent{},
		interested: map[string]bool{},
		at:         time.Now(),
	}
	var err error
	switch {
	case w.local:
		w.prefix = ""
		w.w, err = m.link.Watch()
	case w.prefix == "":
		w.w, err = m.e.Watch()
	default:
		w.w, err = m.e.Watch(occupancy.WithPrefix(w.prefix))
	}
	if m.closed {
		same(t, "Watch", err, occupancy.ErrClosed)
		return
	}
	same(t, "Watch", err, nil)
	m.watchers = append(m.watchers, w)
}

func (m *machine) next(t *rapid.T) { m.drain(t, pick(t, "watcher", m.watchers)) }

func (m *machine) unwatch(t *rapid.T) {
	w := pick(t, "watcher", m.watchers)
	same(t, "Watcher.Close", w.w.Close(), nil)
	w.closed = true
}

// drain calls Next until it would block, and then checks that no change is missing.
func (m *machine) drain(t *rapid.T, w *watcher) {
	if !w.read {
		for _, p := range m.rooms {
			p.snapshots++
		}
	}
	for {
		events, err := next(t, w.w)
		if m.closed || w.closed {
			same(t, "Next", err, occupancy.ErrClosed)
			return
		}
		if err != nil {
			same(t, "Next", err, context.Canceled)
			break
		}
		batch := map[string]bool{}
		for _, e := range events {
			if batch[e.Room] {
				t.Fatalf("a batch has %q twice", e.Room)
			}
			batch[e.Room] = true
			m.watched(t, w, e)
			w.interested[e.Room] = w.local && m.link.Interested(e.Room)
		}
	}
	if w.local {
		m.checkUserChanges(t)
	}
	for name, p := range m.rooms {
		if w.local && m.interest && w.interested[name] != (p.subs > 0) {
			t.Fatalf("interest in %q: %v, but it has %d subscriptions", name, w.interested[name], p.subs)
		}
		h := p.history(w.local)
		if !strings.HasPrefix(name, w.prefix) || w.view[name].Occupancy == h.now() {
			continue
		}
		at, changed := h.changed()
		atOnce := changed && at.Equal(time.Now()) && p.quiet(m.interval, true)
		if h.unchanged(m.interval) || !w.read && w.eager || atOnce {
			t.Fatalf("a watcher did not return that %q has %+v, only %+v", name, h.now(), w.view[name])
		}
	}
	w.read, w.at = true, time.Now()
	if !w.w.CaughtUp() {
		t.Fatalf("a watcher that has returned everything has not caught up")
	}
}

// checkUserChanges checks that the link has reported every user of this process once.
func (m *machine) checkUserChanges(t *rapid.T) {
	for name, p := range m.rooms {
		entered, exited := m.link.UserChanges(name)
		for _, h := range entered {
			if m.reported[name][h] {
				t.Fatalf("a user of %q is reported again", name)
			}
			if m.reported[name] == nil {
				m.reported[name] = map[uint64]bool{}
			}
			m.reported[name][h] = true
		}
		for _, h := range exited {
			if !m.reported[name][h] {
				t.Fatalf("a user of %q has exited, and was not reported", name)
			}
			delete(m.reported[name], h)
		}
		if m.users && m.hashed && !m.closed && len(m.reported[name]) != len(p.members) {
			t.Fatalf("%d users of %q are reported, not %d", len(m.reported[name]), name, len(p.members))
		}
	}
}

// watched checks one event.
func (m *machine) watched(t *rapid.T, w *watcher, e occupancy.RoomEvent) {
	m.checkEvent(t, e.Event, e.Room, w.local)
	p := m.state(e.Room)
	h := p.history(w.local)
	was, known := w.view[e.Room]
	if w.local && (m.hashed && m.users || m.interest) && e.Occupancy == was.Occupancy {
		return // the users or the interest have changed, and not the counts
	}
	at, changed := h.changed()
	recent := changed && !at.Before(w.at.Add(-m.interval)) // since the last read, or published since
	switch {
	case !strings.HasPrefix(e.Room, w.prefix):
		t.Fatalf("the room of %+v does not begin with %q", e, w.prefix)
	case known && e.Version <= was.Version:
		t.Fatalf("%+v after %+v", e, was)
	case !h.had(e.Occupancy, m.interval):
		t.Fatalf("returned %+v, which the room has not had within the interval; it has %+v", e, h.now())
	case e.Occupancy == was.Occupancy && (known && w.eager || !recent):
		t.Fatalf("%+v is returned again", e)
	}
	w.view[e.Room] = e
}

func (p *roomState) history(local bool) history {
	if local {
		return p.locals
	}
	return p.totals
}

// next calls Next without blocking. The error is context.Canceled if it would block.
func next(t *rapid.T, w *occupancy.Watcher) (events []occupancy.RoomEvent, err error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		events, err = w.Next(ctx)
	}()
	synctest.Wait()
	cancel()
	<-done
	return events, err
}
