package fuzz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
)

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
