package stress

import (
	"errors"
	"fmt"
	"maps"

	"github.com/occupancy/occupancy"
)

// checkCounts checks what is exact as soon as the last call has returned.
func (s *storm) checkCounts() {
	t, e := s.t, s.e
	t.Helper()
	all := maps.Collect(e.All())
	for i, name := range s.rooms {
		local, total := s.want(i)
		if got := e.Current(name); got != total {
			t.Fatalf("%s: Current is %v, want %v", name, got, total)
		}
		if got := e.Local(name); got != local {
			t.Fatalf("%s: Local is %v, want %v", name, got, local)
		}
		if got, listed := all[name]; got != total || listed != (total != occ(0, 0)) {
			t.Fatalf("%s: All has %v (%v), want %v", name, got, listed, total)
		}
		if got := e.Room(name).Current(); got != total {
			t.Fatalf("%s: Current of a new handle is %v, want %v", name, got, total)
		}
		for _, a := range s.actors {
			if c, ok := a.(*caller); ok && c.handles[i].Local() != local {
				t.Fatalf("%s: Local of an old handle is %v, want %v", name, c.handles[i].Local(), local)
			}
		}
	}
	if len(all) > len(s.rooms) {
		t.Fatalf("All has unknown rooms: %v", all)
	}
}

// checkIdle checks everything that is exact after a round.
func (s *storm) checkIdle() {
	t, e := s.t, s.e
	t.Helper()
	s.checkCounts()
	var sum, localSum occupancy.Occupancy
	exist, occupied := map[string]bool{}, map[string]bool{}
	for i, name := range s.rooms {
		local, total := s.want(i)
		sum, localSum = add(sum, total), add(localSum, local)
		if total != occ(0, 0) {
			exist[name] = true
		}
		if local != occ(0, 0) {
			occupied[name] = true
		}
		if s.limit == 0 {
			s.checkSnapshot(name, total)
		}
		if got, err := e.Get(t.Context(), name); got != total || err != nil {
			t.Fatalf("%s: Get returned %v, %v; want %v", name, got, err, total)
		}
	}
	s.checkFirstBatch(exist)
	if s.limit > 0 {
		s.checkLimit(occupied)
	}
	for _, sub := range s.subs {
		exist[sub.room] = true
	}
	lingering := 0
	for _, a := range s.actors {
		lingering += a.lingering()
	}
	if got := e.Stats(); got.Rooms != len(exist) || got.Subscriptions != len(s.subs) || got.Watchers != len(s.views) || got.Lingering != lingering {
		t.Fatalf("%+v, want %d rooms, %d subscriptions, %d watchers and %d lingering leases", got, len(exist), len(s.subs), len(s.views), lingering)
	}
	for _, sub := range s.subs {
		eventually(t, sub.check)
	}
	for _, v := range s.views {
		eventually(t, v.check)
	}
	eventually(t, func() error {
		got := e.Stats()
		if got.Total != sum || got.Local != localSum || got.Arrivals-got.Departures != uint64(localSum.Connections) {
			return fmt.Errorf("%+v, want %+v in all rooms, %+v of this process", got, sum, localSum)
		}
		return nil
	})
	eventually(t, func() error {
		// Every delivered event was read, folded or discarded by Unsubscribe, which
		// discards at most one.
		got := e.Stats()
		unfolded := got.Delivered - got.Folded
		if read := s.read.Load(); read > unfolded || read+s.unsubscribed.Load() < unfolded {
			return fmt.Errorf("%+v, want %d events read and %d subscriptions ended", got, read, s.unsubscribed.Load())
		}
		return nil
	})
}

func (s *storm) checkSnapshot(name string, total occupancy.Occupancy) {
	sub, err := s.e.Subscribe(name)
	if err != nil {
		s.t.Fatalf("Subscribe: %v", err)
	}
	l := &eventLog{s: s, room: name, sub: sub}
	if !l.readOne() || l.last.Occupancy != total {
		s.t.Fatalf("%s: the snapshot is %+v, want %v", name, l.last, total)
	}
	l.end()
}

func (s *storm) checkFirstBatch(exist map[string]bool) {
	if len(exist) == 0 {
		return
	}
	w, err := s.e.Watch()
	if err != nil {
		s.t.Fatalf("Watch: %v", err)
	}
	defer w.Close()
	n := 0
	for !w.CaughtUp() {
		batch, err := w.Next(s.t.Context())
		if err != nil {
			s.t.Fatalf("Next: %v", err)
		}
		for _, ev := range batch {
			if got := s.e.Current(ev.Room); ev.Occupancy != got {
				s.t.Fatalf("a first batch has %+v, Current is %v", ev, got)
			}
			if ev.Occupancy != occ(0, 0) {
				n++
			}
		}
	}
	if n != len(exist) {
		s.t.Fatalf("the first batches have %d rooms, want %v", n, exist)
	}
}

// checkLimit checks which rooms may become occupied.
func (s *storm) checkLimit(occupied map[string]bool) {
	for _, name := range s.rooms {
		err := s.e.Join(name)
		want := occupied[name] || len(occupied) < s.limit
		if want != (err == nil) || err != nil && !errors.Is(err, occupancy.ErrTooManyRooms) {
			s.t.Fatalf("Join of %s: %v, while %v are occupied and the limit is %d", name, err, occupied, s.limit)
		}
		if err == nil {
			if err := s.e.Leave(name); err != nil {
				s.t.Fatalf("Leave of %s: %v", name, err)
			}
		}
	}
	for _, c := range []*certainRooms{&s.occupied, &s.reported} {
		if c.most > s.limit {
			s.t.Fatalf("%d rooms existed at a time, the limit is %d", c.most, s.limit)
		}
	}
}
