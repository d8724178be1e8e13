package occupancy_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/occupancy/occupancy"
)

// A longer storm: go test -race -run Fire -fire.time 10m
var (
	fireTime = flag.Duration("fire.time", 0, "how long each test of rooms under fire storms; 0: some rounds")
	fireSeed = flag.Uint64("fire.seed", 0, "their seed; 0: another one each time")
)

// storm is an engine to which everything happens at once, in rounds. After each
// round there is a quiet point, where everything must be what the accepted calls
// add up to: each actor knows exactly what it has in each room.
type storm struct {
	t      *testing.T
	e      *occupancy.Engine
	rooms  []string
	limit  int  // of rooms; 0: none
	closes bool // the engine is closed in the middle
	actors []actor
	ears   []*ear
	eyes   []*eye
	sure   sure

	read, unsubscribed atomic.Uint64
	born               sync.Map // every cell that a room was seen to have
	closed             atomic.Bool
}

// actor is what one goroutine does in a storm.
type actor interface {
	step(r *rand.Rand)
	rest()  // gives back what would disturb a quiet point
	leave() // gives back all
	part(room int) (local, remote occupancy.Occupancy)
}

const fireSteps = 2_000 // of each actor in a round

func newStorm(t *testing.T, limit int, opts ...occupancy.Option) *storm {
	s := &storm{t: t, limit: limit, rooms: []string{"a/0", "a/1", "a/2", "b/0", "b/1", "b/2"}}
	if limit > 0 {
		opts = append(opts, occupancy.WithMaxRooms(limit))
	}
	s.e = occupancy.New(opts...)
	s.sure.in = make([]int, len(s.rooms))
	return s
}

// workers adds those who join and leave.
func (s *storm) workers(n int, thieves bool) {
	for range n {
		w := &worker{s: s, thief: thieves, at: -1, raw: make([]occupancy.Occupancy, len(s.rooms))}
		for _, name := range s.rooms {
			w.handles = append(w.handles, s.e.Room(name)) // kept however often the room dies
		}
		s.actors = append(s.actors, w)
	}
}

// others adds those who listen, watch and report for other nodes.
func (s *storm) others() {
	for range 2 {
		s.actors = append(s.actors, &listener{s: s}, &looker{s: s}, newPeer(s))
	}
	s.actors = append(s.actors, &auditor{s: s})
}

// listeners adds those who stay over the quiet points. The other rooms are kept by
// nobody and end whenever the last one leaves.
func (s *storm) listeners() {
	s.ears = append(s.ears, listen(s, "a/0"), listen(s, "a/1"), listen(s, "a/1"))
}

func (s *storm) watchers() {
	s.eyes = append(s.eyes,
		observe(s, "", false),
		observe(s, "", true, occupancy.LocalOnly()),
		observe(s, "b/", false, occupancy.WithPrefix("b/")))
}

// rage has every actor do so many steps at once, and returns when it is quiet.
func (s *storm) rage(seed uint64, steps int) {
	var wg sync.WaitGroup
	for i, a := range s.actors {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := 0; n < steps && !s.closed.Load() && !s.t.Failed(); n++ {
				a.step(r)
			}
			a.rest()
		})
	}
	wg.Wait()
}

// model is what the accepted calls add up to.
func (s *storm) model(room int) (local, total occupancy.Occupancy) {
	for _, a := range s.actors {
		l, r := a.part(room)
		local = add(local, l)
		total = add(total, add(l, r))
	}
	return local, total
}

func add(a, b occupancy.Occupancy) occupancy.Occupancy {
	return occupancy.Occupancy{
		Connections:     a.Connections + b.Connections,
		PresenceMembers: a.PresenceMembers + b.PresenceMembers,
	}
}

func atLeast(o, part occupancy.Occupancy) bool {
	return o.Connections >= part.Connections && o.PresenceMembers >= part.PresenceMembers
}

// checkCounts checks what holds as soon as the last call returned.
func (s *storm) checkCounts() {
	t, e := s.t, s.e
	t.Helper()
	all := maps.Collect(e.All())
	for i, name := range s.rooms {
		local, total := s.model(i)
		if got := e.Current(name); got != total {
			t.Fatalf("%s: Current is %v, the accepted calls make %v", name, got, total)
		}
		if got := e.Local(name); got != local {
			t.Fatalf("%s: Local is %v, the accepted calls make %v", name, got, local)
		}
		if got, listed := all[name]; got != total || listed != (total != occupancy.Occupancy{}) {
			t.Fatalf("%s: All has %v (%v), the accepted calls make %v", name, got, listed, total)
		}
		h := e.Room(name)
		if got := h.Current(); got != total {
			t.Fatalf("%s: a handle's Current is %v, the accepted calls make %v", name, got, total)
		}
		for _, a := range s.actors {
			if w, ok := a.(*worker); ok && w.handles[i].Local() != local {
				t.Fatalf("%s: an old handle's Local is %v, the accepted calls make %v", name, w.handles[i].Local(), local)
			}
		}
	}
	if len(all) > len(s.rooms) {
		t.Fatalf("All has rooms that never were: %v", all)
	}
}

// checkQuiet checks a quiet point.
func (s *storm) checkQuiet() {
	t, e := s.t, s.e
	t.Helper()
	s.checkCounts()
	var sum occupancy.Occupancy
	exist := map[string]bool{}
	for i, name := range s.rooms {
		_, total := s.model(i)
		sum = add(sum, total)
		if total != (occupancy.Occupancy{}) {
			exist[name] = true
		}
		if s.limit == 0 {
			s.checkSnapshot(name, total)
		}
		if got, err := e.Get(t.Context(), name); got != total || err != nil {
			t.Fatalf("%s: Get is %v, %v; the accepted calls make %v", name, got, err, total)
		}
	}
	s.checkFirstBatch(exist)
	if s.limit > 0 {
		s.checkLimit(exist)
	}
	for _, ear := range s.ears {
		exist[ear.room] = true
	}
	if got := e.Stats(); got.Rooms != len(exist) || got.Subscriptions != len(s.ears) || got.Watchers != len(s.eyes) {
		t.Fatalf("%+v, with %d rooms, %d subscriptions and %d watchers", got, len(exist), len(s.ears), len(s.eyes))
	}

	for _, ear := range s.ears {
		become(t, ear.check)
	}
	for _, eye := range s.eyes {
		become(t, eye.check)
	}
	become(t, func() error {
		if got := e.Stats(); got.Connections != sum.Connections || got.PresenceMembers != sum.PresenceMembers {
			return fmt.Errorf("%+v, with %+v in all rooms", got, sum)
		}
		return nil
	})
	become(t, func() error {
		// What was handed over was read, folded, or still there to be thrown away by
		// Unsubscribe. The snapshots of checkSnapshot are read.
		got := e.Stats()
		most := got.Delivered - got.Folded
		if read := s.read.Load(); read > most || read+s.unsubscribed.Load() < most {
			return fmt.Errorf("%+v, with %d events read and %d subscriptions over", got, read, s.unsubscribed.Load())
		}
		return nil
	})
	become(t, func() error {
		// The watchers have read all, so nothing keeps a room that does not exist.
		if got := occupancy.Cells(e); got != len(exist) {
			return fmt.Errorf("%d rooms in memory, %d exist", got, len(exist))
		}
		return nil
	})
}

func (s *storm) checkSnapshot(name string, total occupancy.Occupancy) {
	sub, err := s.e.Subscribe(name)
	if err != nil {
		s.t.Fatalf("Subscribe: %v", err)
	}
	h := &hearing{s: s, room: name, sub: sub}
	if !h.poll() || h.last.Occupancy != total {
		s.t.Fatalf("%s: the snapshot is %+v, the accepted calls make %v", name, h.last, total)
	}
	h.end()
}

func (s *storm) checkFirstBatch(exist map[string]bool) {
	if len(exist) == 0 {
		return
	}
	w := s.e.Watch()
	defer w.Close()
	batch, err := w.Next(s.t.Context())
	if err != nil {
		s.t.Fatalf("Next: %v", err)
	}
	n := 0
	for _, ev := range batch {
		if got := s.e.Current(ev.Room); ev.Occupancy != got {
			s.t.Fatalf("the first batch has %+v, Current is %v", ev, got)
		}
		if (ev.Occupancy != occupancy.Occupancy{}) {
			n++
		}
	}
	if n != len(exist) {
		s.t.Fatalf("the first batch is %v, the rooms %v", batch, exist)
	}
}

// checkLimit checks which rooms may begin.
func (s *storm) checkLimit(exist map[string]bool) {
	for _, name := range s.rooms {
		err := s.e.Join(name)
		if want := exist[name] || len(exist) < s.limit; want != (err == nil) || err != nil && !errors.Is(err, occupancy.ErrTooManyRooms) {
			s.t.Fatalf("Join %s: %v, with %v of %d", name, err, exist, s.limit)
		}
		if err == nil {
			if err := s.e.Leave(name); err != nil {
				s.t.Fatalf("Leave %s: %v", name, err)
			}
		}
	}
	if s.sure.most > s.limit {
		s.t.Fatalf("%d rooms at a time, %d are allowed", s.sure.most, s.limit)
	}
}

// end has all leave, and checks that nothing is left of them.
func (s *storm) end() {
	t := s.t
	for _, a := range s.actors {
		a.leave()
	}
	s.checkQuiet()
	for _, ear := range s.ears {
		ear.sub.Unsubscribe()
		<-ear.over
	}
	for _, eye := range s.eyes {
		eye.w.Close()
		<-eye.over
	}
	become(t, func() error {
		got := holds(s.e)
		got.Published, got.Delivered, got.Folded = 0, 0, 0
		if n := occupancy.Cells(s.e); got != (occupancy.Stats{}) || n > 0 {
			return fmt.Errorf("after all have left: %+v, and %d rooms in memory", got, n)
		}
		return nil
	})
	for name, o := range s.e.All() {
		t.Fatalf("after all have left: %s %v", name, o)
	}
	if err := s.e.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// stop ends the goroutines, where the test has not come so far.
func (s *storm) stop() {
	s.closes = true
	_ = s.e.Close()
	for _, ear := range s.ears {
		<-ear.over
	}
	for _, eye := range s.eyes {
		<-eye.over
	}
}

// become waits until check is content.
func become(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := check()
		if err == nil || t.Failed() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Microsecond)
	}
}

func seed(t *testing.T) uint64 {
	s := *fireSeed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-fire.seed %d", s)
	return s
}

// noGoroutinesLeft is to be deferred first.
func noGoroutinesLeft(t *testing.T, before int) {
	become(t, func() error {
		if n := runtime.NumGoroutine(); n > before {
			return fmt.Errorf("%d goroutines, %d before", n, before)
		}
		return nil
	})
}

// births is how many cells the rooms were seen to have.
func (s *storm) births() (n int) {
	s.born.Range(func(_, _ any) bool { n++; return true })
	return n
}

func TestRoomsUnderFire(t *testing.T) {
	for name, c := range map[string]struct {
		interval time.Duration
		thieves  bool // who leave what others joined, so that calls are refused all the time
		limit    int
	}{
		"no interval":            {interval: 0},
		"50µs":                   {interval: 50 * time.Microsecond},
		"2ms":                    {interval: 2 * time.Millisecond},
		"no interval, thieves":   {thieves: true},
		"200µs, thieves":         {interval: 200 * time.Microsecond, thieves: true},
		"no interval, at most 2": {limit: 2},
		"100µs, at most 1":       {interval: 100 * time.Microsecond, limit: 1},
	} {
		t.Run(name, func(t *testing.T) {
			defer noGoroutinesLeft(t, runtime.NumGoroutine())
			seed := seed(t)
			s := newStorm(t, c.limit, occupancy.WithInterval(c.interval))
			defer s.stop()
			s.workers(6, c.thieves)
			s.others()
			s.watchers()
			if c.limit == 0 {
				s.listeners()
			}
			// At least so many rounds, which go on until rooms were dropped often: that is up
			// to the scheduler.
			often := 3 * len(s.rooms)
			start := time.Now()
			for round := uint64(0); round < 4 || time.Since(start) < *fireTime || s.births() < often && round < 1000; round++ {
				s.rage(seed+round, fireSteps)
				if t.Failed() {
					return
				}
				s.checkQuiet()
			}
			if c.limit > 0 && s.sure.most < c.limit {
				t.Errorf("never more than %d rooms: the limit of %d was not put to the test", s.sure.most, c.limit)
			}
			if n := s.births(); n < often {
				t.Errorf("%d rooms were dropped and made again no more than %d times: that was no fire", len(s.rooms), n)
			}
			s.end()
		})
	}
}

// In the middle of everything, from two sides. Whatever was accepted counts.
func TestCloseUnderFire(t *testing.T) {
	defer noGoroutinesLeft(t, runtime.NumGoroutine())
	seed := seed(t)
	r := rand.New(rand.NewPCG(seed, 0))
	start := time.Now()
	for round := uint64(0); round < 100 || time.Since(start) < *fireTime; round++ {
		interval := []time.Duration{0, 100 * time.Microsecond, time.Hour}[round%3]
		s := newStorm(t, 0, occupancy.WithInterval(interval))
		defer s.stop()
		s.closes = true
		s.workers(4, false)
		s.actors = append(s.actors, &listener{s: s}, &looker{s: s}, newPeer(s), &auditor{s: s})
		s.watchers()
		s.listeners()

		// Half of the time what the hooks did is told when Close is called, half of
		// the time they are still at it.
		quiet := round%2 == 0
		steps := 1 + r.IntN(200)
		if quiet {
			s.rage(seed+round, steps)
		}
		var wg sync.WaitGroup
		if !quiet {
			wg.Go(func() { s.rage(seed+round, 10*steps) })
			for range r.IntN(100) {
				runtime.Gosched()
			}
		}
		for range 2 {
			wg.Go(func() {
				if err := s.e.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if err := s.e.Join("a/0"); !errors.Is(err, occupancy.ErrClosed) {
					t.Errorf("Join after Close: %v", err)
				}
				s.closed.Store(true)
			})
		}
		wg.Wait()
		s.checkCounts()
		for _, ear := range s.ears {
			<-ear.over
			if err := ear.check(); quiet && err != nil {
				t.Fatal("the last word: ", err)
			}
			ear.sub.Unsubscribe()
		}
		for _, eye := range s.eyes {
			<-eye.over
			eye.w.Close()
		}
		if got := s.e.Stats(); got.Subscriptions != 0 || got.Watchers != 0 {
			t.Fatalf("after Close: %+v", got)
		}
		if t.Failed() {
			return
		}
	}
}

// Names that come once and never again, with handles and leases that outlive them.
func TestMemoryComesBackUnderFire(t *testing.T) {
	defer noGoroutinesLeft(t, runtime.NumGoroutine())
	e := occupancy.New(occupancy.WithInterval(time.Millisecond))
	defer e.Close()
	w := e.Watch(occupancy.WithPrefix("5"))
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			if _, err := w.Next(context.Background()); err != nil {
				return
			}
		}
	})

	const goroutines, names, atATime = 4, 10_000, 1_000
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what finalizers let go of
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			var leave []func() error
			for n := range names {
				name := fmt.Sprintf("%d/%d/%s", n%10, g, strings.Repeat("x", 200))
				name = fmt.Sprintf("%s%d", name, n)
				switch n % 3 {
				case 0:
					conn, err := e.Connect(name)
					if err != nil {
						t.Error(err)
						return
					}
					leave = append(leave, conn.Close)
				case 1:
					sub, err := e.Subscribe(name)
					if err != nil {
						t.Error(err)
						return
					}
					leave = append(leave, func() error { sub.Unsubscribe(); return nil })
				case 2:
					room := e.Room(name)
					if err := room.Join(); err != nil {
						t.Error(err)
						return
					}
					leave = append(leave, room.Leave)
				}
				for len(leave) > atATime || n == names-1 && len(leave) > 0 {
					i := r.IntN(len(leave))
					if err := leave[i](); err != nil {
						t.Error(err)
						return
					}
					leave[i] = leave[len(leave)-1]
					leave = leave[:len(leave)-1]
				}
			}
		})
	}
	wg.Wait()
	become(t, func() error {
		if n := occupancy.Cells(e); n > 0 {
			return fmt.Errorf("%d rooms in memory, all were left", n)
		}
		if grown := heap() - before; grown > 1<<20 {
			return fmt.Errorf("the heap has grown by %d bytes, all rooms were left", grown)
		}
		return nil
	})
	w.Close()
	watching.Wait()
}
