package stress

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/occupancy/occupancy"
)

// A longer storm: go test -race -run Storm -storm.time 10m
var (
	stormTime = flag.Duration("storm.time", 0, "how long each storm test runs; 0: a few rounds")
	stormSeed = flag.Uint64("storm.seed", 0, "random seed of the storm tests; 0: a different one in each run")
)

// storm calls everything of one engine concurrently, in rounds. After each round the
// engine is idle, and every count must equal the sum of the accepted calls: each actor
// knows what it has added to each room.
type storm struct {
	t      *testing.T
	e      *occupancy.Engine
	link   *occupancy.Link
	rooms  []string
	limit  int  // of WithMaxRooms
	users  bool // WithUsers
	closes bool // the engine is closed during a round
	actors []actor
	subs   []*subscriber
	views  []*view

	occupied certainRooms // of this process
	reported certainRooms // of the remote nodes

	read, unsubscribed atomic.Uint64 // events, and subscriptions that ended
	closed             atomic.Bool
}

// actor is what one goroutine does in a storm.
type actor interface {
	step(r *rand.Rand)
	endRound()                                         // closes what would change the numbers in Stats
	removeAll()                                        // removes everything that the actor added
	part(room int) (local, remote occupancy.Occupancy) // without the local users
	clients(room int) map[string]int                   // the local members by their client
	lingering() int                                    // leases
}

const stepsPerRound = 2_000 // of each actor

func newStorm(t *testing.T, limit int, users bool, opts ...occupancy.Option) *storm {
	if users {
		opts = append(opts, occupancy.WithUsers())
	}
	s := &storm{t: t, limit: limit, users: users, rooms: []string{"a/0", "a/1", "a/2", "b/0", "b/1", "b/2"}}
	s.e = occupancy.New(append(opts, occupancy.WithMaxRooms(limit))...)
	s.link = linked(t, s.e)
	s.occupied.users = make([]int, len(s.rooms))
	s.reported.users = make([]int, len(s.rooms))
	return s
}

func (s *storm) addCallers(n int, unpaired bool) {
	for range n {
		c := &caller{s: s, unpaired: unpaired, id: fmt.Sprint("caller", len(s.actors)), at: -1, added: make([]occupancy.Occupancy, len(s.rooms))}
		for _, name := range s.rooms {
			c.handles = append(c.handles, s.e.Room(name)) // used for the whole test
		}
		s.actors = append(s.actors, c)
	}
}

func (s *storm) addOthers() {
	for range 2 {
		s.actors = append(s.actors, &shortSubscriber{s: s}, &shortWatcher{s: s}, newRemoteNode(s))
	}
	s.actors = append(s.actors, &statsReader{s: s})
}

func (s *storm) addSessions() {
	for range 2 {
		s.actors = append(s.actors, newSessionUser(s), &briefUser{s: s, id: fmt.Sprint("brief", len(s.actors))})
	}
}

// addSubscribers adds the subscribers that stay for the whole test. The other rooms end
// with their last connection or member.
func (s *storm) addSubscribers() {
	s.subs = append(s.subs, s.subscribe("a/0"), s.subscribe("a/1"), s.subscribe("a/1"))
}

func (s *storm) addWatchers() {
	s.views = append(s.views, s.watch("", false), s.watch("", true), s.watch("b/", false))
}

// run lets every actor make so many steps, and returns when all have ended the round.
func (s *storm) run(seed uint64, steps int) {
	var wg sync.WaitGroup
	for i, a := range s.actors {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := 0; n < steps && !s.closed.Load() && !s.t.Failed(); n++ {
				a.step(r)
			}
			a.endRound()
		})
	}
	wg.Wait()
}

// want returns the sum of the accepted calls.
func (s *storm) want(room int) (local, total occupancy.Occupancy) {
	clients := map[string]int{}
	for _, a := range s.actors {
		l, r := a.part(room)
		local = add(local, l)
		total = add(total, r)
		for id, n := range a.clients(room) {
			clients[id] += n
		}
	}
	for _, n := range clients {
		if n > 0 && s.users {
			local.Users++
		}
	}
	return local, add(total, local)
}

func add(a, b occupancy.Occupancy) occupancy.Occupancy {
	return occupancy.Occupancy{
		Connections:     a.Connections + b.Connections,
		PresenceMembers: a.PresenceMembers + b.PresenceMembers,
		Users:           a.Users + b.Users,
	}
}

func atLeast(o, part occupancy.Occupancy) bool {
	return o.Connections >= part.Connections && o.PresenceMembers >= part.PresenceMembers && o.Users >= part.Users
}

// finish removes everything and checks that nothing is left.
func (s *storm) finish() {
	t := s.t
	for _, a := range s.actors {
		a.removeAll()
	}
	s.checkIdle()
	for _, sub := range s.subs {
		sub.sub.Unsubscribe()
		<-sub.ended
	}
	for _, v := range s.views {
		_ = v.w.Close()
		<-v.ended
	}
	eventually(t, func() error {
		got := s.e.Stats()
		if got.Rooms+got.Subscriptions+got.Watchers != 0 || got.Total != occ(0, 0) || got.Local != occ(0, 0) || got.Arrivals != got.Departures {
			return fmt.Errorf("after everything was removed: %+v", got)
		}
		return nil
	})
	for name, o := range s.e.All() {
		t.Fatalf("after everything was removed: %s %v", name, o)
	}
	if err := s.e.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// stop ends all goroutines, also after a failure.
func (s *storm) stop() {
	s.closes = true
	_ = s.e.Close()
	links.Delete(s.e)
	for _, sub := range s.subs {
		<-sub.ended
	}
	for _, v := range s.views {
		<-v.ended
	}
}

// eventually waits until check returns nil.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
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
	s := *stormSeed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-storm.seed %d", s)
	return s
}

// noGoroutineLeft waits until there are no more goroutines than before. Defer it first.
func noGoroutineLeft(t *testing.T, before int) {
	eventually(t, func() error {
		if n := runtime.NumGoroutine(); n > before {
			return fmt.Errorf("%d goroutines, %d before", n, before)
		}
		return nil
	})
}

func TestStorm_EverythingIsExactAfterEachRound(t *testing.T) {
	for name, c := range map[string]struct {
		interval time.Duration
		unpaired bool // callers leave what others joined, so many calls are refused
		limit    int
		users    bool
	}{
		"interval 0":               {interval: 0},
		"interval 50µs":            {interval: 50 * time.Microsecond},
		"interval 2ms":             {interval: 2 * time.Millisecond},
		"interval 0, unpaired":     {unpaired: true},
		"interval 200µs, unpaired": {interval: 200 * time.Microsecond, unpaired: true},
		"interval 0, limit 2":      {limit: 2},
		"interval 100µs, limit 1":  {interval: 100 * time.Microsecond, limit: 1},
		"interval 0, users":        {users: true},
		"interval 2ms, users":      {interval: 2 * time.Millisecond, users: true},
		"users, unpaired":          {unpaired: true, users: true},
		"users, limit 3":           {limit: 3, users: true},
	} {
		t.Run(name, func(t *testing.T) {
			defer noGoroutineLeft(t, runtime.NumGoroutine())
			seed := seed(t)
			s := newStorm(t, c.limit, c.users, occupancy.WithInterval(c.interval))
			defer s.stop()
			s.addCallers(6, c.unpaired)
			s.addOthers()
			if !c.unpaired { // which would leave their rooms
				s.addSessions()
			}
			s.addWatchers()
			if c.limit == 0 {
				s.addSubscribers()
			}
			often := 3 * len(s.rooms)
			if c.unpaired {
				often = 0 // what a caller has added is not known, so neither is when a room begins
			}
			start := time.Now()
			for round := uint64(0); round < 4 || time.Since(start) < *stormTime || s.occupied.begun < often && round < 100; round++ {
				s.run(seed+round, stepsPerRound)
				if t.Failed() {
					return
				}
				s.checkIdle()
			}
			if c.limit > 0 && s.occupied.most < c.limit {
				t.Errorf("never more than %d rooms: the limit of %d was not tested", s.occupied.most, c.limit)
			}
			if n := s.occupied.begun; n < often {
				t.Errorf("%d rooms began only %d times", len(s.rooms), n)
			}
			s.finish()
		})
	}
}

// The engine is closed by two goroutines during a round. Every accepted call counts.
func TestStorm_Close(t *testing.T) {
	defer noGoroutineLeft(t, runtime.NumGoroutine())
	seed := seed(t)
	r := rand.New(rand.NewPCG(seed, 0))
	start := time.Now()
	for round := uint64(0); round < 100 || time.Since(start) < *stormTime; round++ {
		closeDuringRound(t, r, seed+round, round)
		if t.Failed() {
			return
		}
	}
}

func closeDuringRound(t *testing.T, r *rand.Rand, seed, round uint64) {
	interval := []time.Duration{0, 100 * time.Microsecond, time.Hour}[round%3]
	s := newStorm(t, 0, round%4 < 2, occupancy.WithInterval(interval))
	defer s.stop()
	s.closes = true
	s.addCallers(4, false)
	s.actors = append(s.actors, &shortSubscriber{s: s}, &shortWatcher{s: s}, newRemoteNode(s), &statsReader{s: s})
	s.addWatchers()
	s.addSubscribers()

	// In half of the rounds all hooks have returned before Close, in the other half they
	// are still running.
	quiet := round%2 == 0
	steps := 1 + r.IntN(200)
	if quiet {
		s.run(seed, steps)
	}
	var wg sync.WaitGroup
	if !quiet {
		wg.Go(func() { s.run(seed, 10*steps) })
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
	s.checkCountsAfterClose(quiet)
	for _, sub := range s.subs {
		<-sub.ended
		if err := sub.check(); err != nil {
			t.Fatal("the last value: ", err)
		}
		sub.sub.Unsubscribe()
	}
	for _, v := range s.views {
		<-v.ended
		_ = v.w.Close()
	}
	if got := s.e.Stats(); got.Subscriptions != 0 || got.Watchers != 0 {
		t.Fatalf("after Close: %+v", got)
	}
}

// checkCountsAfterClose is checkCounts, except that Close of a lease returns nil whether
// it was counted before the engine's Close or came too late. So each lease that was closed
// during the round is in the counts or not.
func (s *storm) checkCountsAfterClose(quiet bool) {
	if quiet {
		s.checkCounts()
		return
	}
	for i, name := range s.rooms {
		local, total := s.want(i)
		var uncertain occupancy.Occupancy
		for _, a := range s.actors {
			if c, ok := a.(*caller); ok {
				uncertain = add(uncertain, c.closedLate[i])
			}
		}
		if got := s.e.Local(name); !atLeast(got, local) || !atLeast(add(local, uncertain), got) {
			s.t.Fatalf("%s: Local is %v, want %v and at most %v more", name, got, local, uncertain)
		}
		if got := s.e.Current(name); !atLeast(got, total) || !atLeast(add(total, uncertain), got) {
			s.t.Fatalf("%s: Current is %v, want %v and at most %v more", name, got, total, uncertain)
		}
	}
}
