package verify

import (
	"context"
	"strings"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"pgregory.net/rapid"
)

// sub is a subscription: an eager one has a goroutine that reads each event as it
// comes, the other is read when the program says so.
type sub struct {
	s      *occupancy.Subscription
	room   string
	eager  bool
	closed bool

	arrived chan arrival // of an eager one, not heard yet
	last    occupancy.Event
	told    time.Time // when last came, if that was not the snapshot
	asides  int       // of the room, when last came
}

type arrival struct {
	event occupancy.Event
	at    time.Time
}

func (m *machine) subscribe(t *rapid.T) {
	room, want := m.name(t)
	if want == nil {
		want = m.begins(room)
	}
	got, err := m.verbs(t, room).Subscribe()
	same(t, "Subscribe", err, want)
	if want != nil {
		return
	}
	p := m.page(room)
	p.subs++
	p.asides++
	s := &sub{s: got, room: room, eager: rapid.Bool().Draw(t, "eager"), asides: p.asides}
	m.subs = append(m.subs, s)
	if !s.eager {
		p.unseen = true
		if len(got.Events()) != 1 {
			t.Fatal("no snapshot waits")
		}
		s.last.Occupancy = p.total()
		return
	}
	select {
	case e := <-got.Events():
		m.taken++
		m.sane(t, e, room, false)
		if e.Occupancy != p.total() {
			t.Fatalf("the snapshot %+v is not %+v", e, p.total())
		}
		s.last = e
	default:
		t.Fatal("no snapshot waits")
	}
	s.arrived = make(chan arrival, 16) // more than comes between two checks
	go func() {
		for e := range got.Events() {
			s.arrived <- arrival{e, time.Now()}
		}
	}()
}

// sane checks what is true of every event, whoever got it.
func (m *machine) sane(t *rapid.T, e occupancy.Event, room string, local bool) {
	if e.Type != occupancy.EventUpdated || e.Room != room {
		t.Fatalf("%+v is not of room %q", e, room)
	}
	if local {
		return // numbered otherwise
	}
	p := m.page(room)
	if o, ok := p.versions[e.Version]; ok && o != e.Occupancy {
		t.Fatalf("%+v was %+v", e, o)
	}
	p.versions[e.Version] = e.Occupancy
}

// hear checks what an eager subscription was told since the last call, and whether
// it should have been told more.
func (m *machine) hear(t *rapid.T, s *sub) {
	if !s.eager || s.closed {
		return
	}
	p := m.page(s.room)
	quiet := p.quiet(m.interval, len(m.watchers) > 0)
	for range len(s.arrived) {
		a := <-s.arrived
		m.taken++
		m.sane(t, a.event, s.room, false)
		now, was := a.event, s.last
		switch {
		case now.Occupancy != p.total():
			t.Fatalf("told %+v, but the room has %+v", now, p.total())
		case now.Occupancy == was.Occupancy:
			t.Fatalf("told %+v again", now)
		case now.Version <= was.Version:
			t.Fatalf("told %+v after %+v", now, was)
		case now.Version > was.Version+1 && s.asides == p.asides:
			t.Fatalf("told %+v after %+v, and none was folded", now, was)
		case !s.told.IsZero() && a.at.Sub(s.told) < m.interval && !m.closed:
			t.Fatalf("told %+v after only %v", now, a.at.Sub(s.told))
		}
		s.last, s.told, s.asides = now, a.at, p.asides
	}
	if s.told.After(p.told) {
		p.told = s.told
		m.published++
	}
	switch at, changed := p.totals.changed(); {
	case s.last.Occupancy == p.total():
	case p.totals.stood(m.interval) || m.closed:
		t.Fatalf("was not told the last word %+v, only %+v", p.total(), s.last)
	case changed && at.Equal(time.Now()) && quiet:
		t.Fatalf("was not told %+v at once, only %+v", p.total(), s.last)
	}
}

func (m *machine) read(t *rapid.T) { m.take(t, pick(t, "subscription", m.subs)) }

// take reads a subscription that is not eager.
func (m *machine) take(t *rapid.T, s *sub) {
	if s.eager || s.closed {
		return
	}
	synctest.Wait()
	p := m.page(s.room)
	select {
	case e, open := <-s.s.Events():
		if !open {
			if !m.closed {
				t.Fatal("a subscription ended")
			}
			break
		}
		m.taken++
		m.sane(t, e, s.room, false)
		if e.Version <= s.last.Version && s.last.Version > 0 {
			t.Fatalf("read %+v after %+v", e, s.last)
		}
		if !p.totals.had(e.Occupancy, m.interval) {
			t.Fatalf("read %+v, which the room has not been lately, but %+v", e, p.total())
		}
		s.last = e
	default:
	}
	if s.last.Occupancy != p.total() && (p.totals.stood(m.interval) || m.closed) {
		t.Fatalf("the last word %+v did not wait, only %+v", p.total(), s.last)
	}
}

func (m *machine) unsubscribe(t *rapid.T) {
	s := pick(t, "subscription", m.subs)
	if m.taken += uint64(len(s.s.Events())); !s.closed {
		m.page(s.room).subs--
	}
	s.s.Unsubscribe()
	s.closed = true
	if e, open := <-s.s.Events(); open {
		t.Fatalf("%+v after Unsubscribe", e)
	}
}

// watcher is a watcher and what it knows of the rooms.
type watcher struct {
	w       *occupancy.Watcher
	prefix  string
	local   bool
	eager   bool // is read after every call, else when the program says so
	counted bool // was begun before Close
	closed  bool
	read    bool // at least once

	view map[string]occupancy.Event
	at   time.Time // of the last read
}

func (m *machine) watch(t *rapid.T) {
	if len(m.watchers) == 3 {
		t.Skip("enough")
	}
	w := &watcher{
		prefix:  rapid.SampledFrom([]string{"", "", "a", "ab"}).Draw(t, "prefix"),
		local:   rapid.Bool().Draw(t, "local"),
		eager:   rapid.Bool().Draw(t, "eager"),
		counted: !m.closed,
		view:    map[string]occupancy.Event{},
		at:      time.Now(),
	}
	var opts []occupancy.WatchOption
	if w.prefix != "" {
		opts = append(opts, occupancy.WithPrefix(w.prefix))
	}
	if w.local {
		opts = append(opts, occupancy.LocalOnly())
	}
	w.w = m.e.Watch(opts...)
	m.watchers = append(m.watchers, w)
}

func (m *machine) next(t *rapid.T) { m.drain(t, pick(t, "watcher", m.watchers)) }

func (m *machine) unwatch(t *rapid.T) {
	w := pick(t, "watcher", m.watchers)
	w.w.Close()
	w.closed = true
}

// drain calls Next until it waits, and then checks that all was told.
func (m *machine) drain(t *rapid.T, w *watcher) {
	if !w.read {
		for _, p := range m.rooms {
			p.asides++
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
				t.Fatalf("a batch tells of %q twice", e.Room)
			}
			batch[e.Room] = true
			m.watched(t, w, e)
		}
	}
	for name, p := range m.rooms {
		h := p.history(w.local)
		if !strings.HasPrefix(name, w.prefix) || w.view[name].Occupancy == h.now() {
			continue
		}
		at, changed := h.changed()
		atOnce := changed && at.Equal(time.Now()) && p.quiet(m.interval, true)
		if h.stood(m.interval) || !w.read && w.eager || atOnce {
			t.Fatalf("a watcher was not told that %q has %+v, only %+v", name, h.now(), w.view[name])
		}
	}
	w.read, w.at = true, time.Now()
}

// watched checks one event.
func (m *machine) watched(t *rapid.T, w *watcher, e occupancy.Event) {
	m.sane(t, e, e.Room, w.local)
	p := m.page(e.Room)
	h := p.history(w.local)
	was, known := w.view[e.Room]
	at, changed := h.changed()
	lately := changed && !at.Before(w.at.Add(-m.interval)) // since the last read, or told since
	switch {
	case !strings.HasPrefix(e.Room, w.prefix):
		t.Fatalf("%+v does not begin with %q", e, w.prefix)
	case known && e.Version <= was.Version:
		t.Fatalf("%+v after %+v", e, was)
	case !h.had(e.Occupancy, m.interval):
		t.Fatalf("%+v is not what the room has been lately, but %+v", e, h.now())
	case e.Occupancy == was.Occupancy && (known && w.eager || !lately):
		t.Fatalf("%+v is told again", e)
	}
	w.view[e.Room] = e
}

func (p *page) history(local bool) past {
	if local {
		return p.locals
	}
	return p.totals
}

// next is a Next that does not wait: then the error is context.Canceled.
func next(t *rapid.T, w *occupancy.Watcher) (events []occupancy.Event, err error) {
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
