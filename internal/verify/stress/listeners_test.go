package stress

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

// eventLog checks the events of a subscription.
type eventLog struct {
	s    *storm
	room string
	sub  *occupancy.Subscription
	n    int // events so far
	last occupancy.Event
}

// readOne reads an event if there is one.
func (l *eventLog) readOne() bool {
	select {
	case ev, ok := <-l.sub.Events():
		if ok {
			l.add(ev)
		} else if !l.s.closes {
			l.s.t.Errorf("%s: the channel is closed", l.room)
		}
		return ok
	default:
		return false
	}
}

func (l *eventLog) add(ev occupancy.Event) {
	switch {
	case l.sub.Room() != l.room || ev.Type != occupancy.EventUpdated:
		l.s.t.Errorf("%s: %+v", l.room, ev)
	case l.n > 0 && ev.Version <= l.last.Version:
		l.s.t.Errorf("%s: out of order: %+v after %+v", l.room, ev, l.last)
	case l.n > 0 && ev.Occupancy == l.last.Occupancy && ev.Version == l.last.Version+1:
		// With a gap in the versions, an event with another value was folded.
		l.s.t.Errorf("%s: published twice: %+v after %+v", l.room, ev, l.last)
	}
	l.n++
	l.last = ev
	l.s.read.Add(1)
}

// end unsubscribes and checks that the channel is closed and empty.
func (l *eventLog) end() {
	l.s.unsubscribed.Add(1)
	l.sub.Unsubscribe()
	select {
	case ev, ok := <-l.sub.Events():
		if ok {
			l.s.t.Errorf("%s: after Unsubscribe: %+v", l.room, ev)
		}
	default:
		l.s.t.Errorf("%s: Unsubscribe did not close the channel", l.room)
	}
}

// shortSubscriber subscribes and unsubscribes.
type shortSubscriber struct {
	countless
	s    *storm
	open []*eventLog
}

func (a *shortSubscriber) step(r *rand.Rand) {
	switch i := r.IntN(12); {
	case i == 0 && len(a.open) < 2:
		name := a.s.rooms[r.IntN(len(a.s.rooms))]
		sub, err := a.s.e.Subscribe(name)
		if r.IntN(2) == 0 && err == nil {
			sub.Unsubscribe()
			a.s.unsubscribed.Add(1)
			sub, err = a.s.e.Room(name).Subscribe()
		}
		if err != nil {
			if !(a.s.limit > 0 && errors.Is(err, occupancy.ErrTooManyRooms) || a.s.closes && errors.Is(err, occupancy.ErrClosed)) {
				a.s.t.Errorf("Subscribe: %v", err)
			}
			return
		}
		l := &eventLog{s: a.s, room: name, sub: sub}
		if !l.readOne() {
			a.s.t.Errorf("%s: no snapshot", name)
		}
		a.open = append(a.open, l)
	case i < 4 && len(a.open) > 0:
		i := r.IntN(len(a.open))
		a.open[i].end()
		a.open = append(a.open[:i], a.open[i+1:]...)
	case len(a.open) > 0:
		a.open[r.IntN(len(a.open))].readOne()
	}
}

func (a *shortSubscriber) endRound() {
	for _, l := range a.open {
		l.end()
	}
	a.open = nil
}

// subscriber stays subscribed for the whole test.
type subscriber struct {
	eventLog
	mu    sync.Mutex // protects the log
	ended chan struct{}
}

func (s *storm) subscribe(room string) *subscriber {
	sub, err := s.e.Subscribe(room)
	if err != nil {
		s.t.Fatalf("Subscribe: %v", err)
	}
	a := &subscriber{eventLog: eventLog{s: s, room: room, sub: sub}, ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		for ev := range sub.Events() {
			a.mu.Lock()
			a.add(ev)
			a.mu.Unlock()
		}
	}()
	return a
}

func (a *subscriber) check() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if got := a.s.e.Current(a.room); a.last.Occupancy != got {
		return fmt.Errorf("%s: the last event of a subscriber is %+v, Current is %v", a.room, a.last, got)
	}
	return nil
}

// watchLog checks the events of a watcher.
type watchLog struct {
	s      *storm
	w      *occupancy.Watcher
	prefix string
	local  bool
	newest map[string]occupancy.RoomEvent
}

func (l *watchLog) add(batch []occupancy.RoomEvent, err error) error {
	once := map[string]bool{}
	for _, ev := range batch {
		switch {
		case once[ev.Room] || !strings.HasPrefix(ev.Room, l.prefix) || ev.Type != occupancy.EventUpdated:
			l.s.t.Errorf("%+v in %v", ev, batch)
		case ev.Version <= l.newest[ev.Room].Version:
			l.s.t.Errorf("out of order: %+v after %+v", ev, l.newest[ev.Room])
		}
		once[ev.Room] = true
		l.newest[ev.Room] = ev
	}
	if err == nil && len(batch) == 0 {
		l.s.t.Errorf("Next returned no event")
	}
	return err
}

// shortWatcher opens and closes watchers.
type shortWatcher struct {
	countless
	s    *storm
	open []*watchLog
}

func (a *shortWatcher) step(r *rand.Rand) {
	switch i := r.IntN(40); {
	case i == 0 && len(a.open) < 3:
		l, err := a.s.newWatchLog([]string{"", "a/"}[r.IntN(2)], r.IntN(2) == 0)
		if err == nil {
			a.open = append(a.open, l)
		} else if !a.s.closes || !errors.Is(err, occupancy.ErrClosed) {
			a.s.t.Errorf("Watch: %v", err)
		}
	case i == 1 && len(a.open) > 0:
		i := r.IntN(len(a.open))
		a.end(a.open[i], r.IntN(2) == 0)
		a.open = append(a.open[:i], a.open[i+1:]...)
	case i < 8 && len(a.open) > 0:
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Microsecond)
		l := a.open[r.IntN(len(a.open))]
		err := l.add(l.w.Next(ctx))
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) && !(a.s.closes && errors.Is(err, occupancy.ErrClosed)) {
			a.s.t.Errorf("Next: %v", err)
		}
	}
}

// end closes a watcher, before or during a call of Next.
func (a *shortWatcher) end(l *watchLog, before bool) {
	if before {
		_ = l.w.Close()
	} else {
		go l.w.Close()
	}
	for {
		if err := l.add(l.w.Next(context.Background())); err != nil {
			if !errors.Is(err, occupancy.ErrClosed) {
				a.s.t.Errorf("Next: %v", err)
			}
			_ = l.w.Close()
			return
		}
	}
}

func (a *shortWatcher) endRound() {
	for _, l := range a.open {
		a.end(l, true)
	}
	a.open = nil
}

// newWatchLog opens a watcher. A watcher of local counts has no prefix.
func (s *storm) newWatchLog(prefix string, local bool) (*watchLog, error) {
	l := &watchLog{s: s, prefix: prefix, local: local, newest: map[string]occupancy.RoomEvent{}}
	var err error
	if local {
		l.prefix = ""
		l.w, err = s.link.Watch()
	} else {
		l.w, err = s.e.Watch(occupancy.WithPrefix(prefix))
	}
	return l, err
}

// view is a watcher that stays open for the whole test, and the rooms as it knows them.
type view struct {
	*watchLog
	mu    sync.Mutex // protects the log
	ended chan struct{}
}

func (s *storm) watch(prefix string, local bool) *view {
	l, err := s.newWatchLog(prefix, local)
	if err != nil {
		s.t.Fatalf("Watch: %v", err)
	}
	v := &view{watchLog: l, ended: make(chan struct{})}
	go func() {
		defer close(v.ended)
		for {
			batch, err := v.w.Next(context.Background())
			v.mu.Lock()
			err = v.add(batch, err)
			v.mu.Unlock()
			if err != nil {
				if !errors.Is(err, occupancy.ErrClosed) {
					s.t.Errorf("Next: %v", err)
				}
				return
			}
		}
	}()
	return v
}

func (v *view) check() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	want, got := byRoom{}, byRoom{}
	for i, name := range v.s.rooms {
		local, total := v.s.want(i)
		if v.local {
			total = local
		}
		if strings.HasPrefix(name, v.prefix) && total != occ(0, 0) {
			want[name] = total
		}
	}
	for name, ev := range v.newest {
		if ev.Occupancy != occ(0, 0) {
			got[name] = ev.Occupancy
		}
	}
	if !maps.Equal(want, got) {
		return fmt.Errorf("a watcher (prefix %q, local %v) has %v, want %v", v.prefix, v.local, got, want)
	}
	return nil
}
