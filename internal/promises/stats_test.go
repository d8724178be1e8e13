package promises_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/stretchr/testify/require"
)

// refuse requires that each call returns the error, and returns the counts afterwards.
func refuse(t *testing.T, e *occupancy.Engine, want error, calls ...func() error) occupancy.Refused {
	t.Helper()
	for i, call := range calls {
		if err := call(); !errors.Is(err, want) {
			t.Fatalf("call %d: %v, want %v", i, err, want)
		}
	}
	return e.Stats().Refused
}

func TestStats_RefusedHooksByError(t *testing.T) {
	e := newEngine(t, occupancy.WithMaxRooms(1))
	long, r := strings.Repeat("x", 1025), e.Room("room")
	connecting := func(room string) func() error {
		return func() error { _, err := e.Connect(room); return err }
	}
	lease, err := r.Connect()
	if err != nil {
		t.Fatal(err)
	}
	want := occupancy.Refused{}
	check := func(got occupancy.Refused) {
		t.Helper()
		if got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
	check(e.Stats().Refused)

	want.InvalidRoom = 5
	check(refuse(t, e, occupancy.ErrInvalidRoom,
		func() error { return e.Join("") }, func() error { return e.Leave(long) },
		func() error { return e.Enter("\xff", "c") }, func() error { return e.Exit("", "c") }, connecting("")))
	want.InvalidClientID = 1
	check(refuse(t, e, occupancy.ErrInvalidClientID, func() error { return lease.Enter("") }))
	want.TooManyRooms = 3
	check(refuse(t, e, occupancy.ErrTooManyRooms,
		func() error { return e.Join("other") }, func() error { return e.Room("other").Enter("c") }, connecting("other")))
	want.NotJoined = 2
	check(refuse(t, e, occupancy.ErrNotJoined,
		func() error { return e.Leave("other") }, e.Room("other").Leave))
	want.NotEntered = 4
	check(refuse(t, e, occupancy.ErrNotEntered,
		func() error { return e.Exit("other", "c") }, func() error { return e.Exit("room", "c") }, func() error { return r.Exit("c") },
		func() error { return lease.Exit("nobody") }))

	if err := lease.Close(); err != nil {
		t.Fatal(err)
	}
	want.Closed = 2
	check(refuse(t, e, occupancy.ErrClosed,
		func() error { return lease.Enter("alice") }, func() error { return lease.Exit("alice") }))
	_ = e.Close()
	want.Closed += 4
	check(refuse(t, e, occupancy.ErrClosed,
		r.Join, r.Leave, func() error { return e.Enter("room", "c") }, connecting("room")))
	_ = lease.Close() // is not refused
	check(e.Stats().Refused)
}

func TestStats_RefusedPartIsNotARefusedHook(t *testing.T) {
	e := newEngine(t)
	node := remote(t, e, "node")
	if err := node.Set(part("room", occupancy.Occupancy{Connections: -1})); !errors.Is(err, occupancy.ErrCount) {
		t.Fatal(err)
	}
	if got := e.Stats().Refused; got != (occupancy.Refused{}) {
		t.Fatalf("%+v", got)
	}
}

func TestStats_RefusedHooksOfConcurrentCallers(t *testing.T) {
	e := newEngine(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				_ = e.Leave("room")
			}
		})
	}
	wg.Wait()
	if got := e.Stats().Refused; got != (occupancy.Refused{NotJoined: 8000}) {
		t.Fatalf("%+v", got)
	}
}

func TestStats_RoundsOnlyWhileThereAreChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(time.Second))
		rounds := func(want uint64) {
			t.Helper()
			synctest.Wait()
			if got := e.Stats().Rounds; got != want {
				t.Fatalf("%d rounds, want %d", got, want)
			}
		}
		rounds(0)
		s, err := e.Subscribe("room") // without a subscriber the room would be visited more often
		if err != nil {
			t.Fatal(err)
		}
		defer s.Unsubscribe()
		rounds(0)
		_ = e.Join("room")
		rounds(1) // published immediately
		_ = e.Join("room")
		rounds(1)
		time.Sleep(time.Second)
		rounds(2) // published at the end of the interval
		time.Sleep(time.Second)
		rounds(3) // marked as idle
		time.Sleep(time.Hour)
		rounds(3)
	})
}

func TestStats_PublishingIsTheTimeOfTheRounds(t *testing.T) {
	began := time.Now()
	e := occupancy.New(occupancy.WithInterval(0))
	defer e.Close()
	if s := e.Stats(); s.Publishing != 0 {
		t.Fatalf("%v before anything was published", s.Publishing)
	}
	for i := range 1000 {
		if err := e.Join(strings.Repeat("x", 1+i)); err != nil {
			t.Fatal(err)
		}
	}
	_ = e.Close() // publishes the rest
	if s := e.Stats(); s.Rounds == 0 || s.Publishing <= 0 || s.Publishing > time.Since(began) {
		t.Fatalf("%+v, %v since New", s, time.Since(began))
	}
}

// On a 32-bit processor the sum of two rooms does not fit an int.
func TestStats_TotalOfHugeRoomsIsNotNegative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		node := remote(t, e, "node")
		most := occ(math.MaxInt32, math.MaxInt32)
		must(t, node.Set(part("a", most)), node.Set(part("b", most)))
		synctest.Wait()
		total := e.Stats().Total
		require.GreaterOrEqual(t, total.Connections, math.MaxInt32)
		require.GreaterOrEqual(t, total.PresenceMembers, math.MaxInt32)
	})
}

func TestCountsUsers_IsTheOption(t *testing.T) {
	require.False(t, newEngine(t).CountsUsers())
	e := newEngine(t, occupancy.WithUsers())
	require.True(t, e.CountsUsers())
	must(t, e.Close())
	require.True(t, e.CountsUsers(), "after Close")
}

func TestInterval_IsTheOption(t *testing.T) {
	require.Equal(t, 100*time.Millisecond, newEngine(t).Interval(), "default")
	for _, d := range []time.Duration{0, 1, time.Millisecond, time.Hour} {
		e := newEngine(t, occupancy.WithInterval(d))
		require.Equal(t, d, e.Interval())
		must(t, e.Close())
		require.Equal(t, d, e.Interval(), "after Close")
	}
}

func TestStats_TotalsOfAllRooms(t *testing.T) {
	bubble(t, "of this process and its peers, after an interval at most", func(t *testing.T) {
		e := newEngine(t)
		require.Zero(t, e.Stats())
		node := remote(t, e, "node")
		must(t, e.Join("a"), e.Join("a"), e.Enter("b", "c"), node.Set(part("a", occ(3, 1))), node.Set(part("c", occ(0, 4))))
		s, w := subscribe(t, e, "d"), watch(t, e)
		time.Sleep(interval)
		synctest.Wait()
		require.Equal(t, occ(5, 6), statsTotal(e))
		require.Equal(t, occ(2, 1), e.Stats().Local)
		stats := e.Stats()
		require.Equal(t, []int{4, 1, 1}, []int{stats.Rooms, stats.Subscriptions, stats.Watchers})
		must(t, e.Leave("a"), e.Join("a"), e.Exit("b", "c"), e.Leave("a"))
		must(t, node.Close(), w.Close())
		s.Unsubscribe()
		time.Sleep(interval)
		synctest.Wait()
		require.Equal(t, occ(1, 0), statsTotal(e))
		require.Equal(t, occ(1, 0), e.Stats().Local)
		stats = e.Stats()
		require.Equal(t, []int{1, 0, 0}, []int{stats.Rooms, stats.Subscriptions, stats.Watchers})
	})
}

func TestStats_CountTheEventsOfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := occupancy.New()
		s, _ := e.Subscribe("room")
		_ = e.Join("room")
		synctest.Wait() // published immediately
		_ = e.Join("room")
		_ = e.Close() // before the interval is over
		if got := <-s.Events(); got.Occupancy.Connections != 2 {
			t.Errorf("the last event is %+v", got)
		}
		if got := e.Stats(); got.Published != 2 || got.Delivered != 3 || got.Folded != 2 {
			t.Errorf("after a snapshot and two events, one of them read, Stats are %+v", got)
		}
	})
}

// A room's arrivals and departures are the net changes between two visits of the engine.
func TestStats_ArrivalsAndDeparturesAreNetChangesOfThisProcess(t *testing.T) {
	bubble(t, "with a subscriber, per interval", func(t *testing.T) {
		e := newEngine(t)
		subscribe(t, e, "r")
		want := func(arrivals, departures uint64) {
			t.Helper()
			synctest.Wait()
			s := e.Stats()
			require.Equal(t, []uint64{arrivals, departures}, []uint64{s.Arrivals, s.Departures})
		}
		want(0, 0)
		must(t, e.Join("r"))
		want(1, 0)
		must(t, e.Join("r"), e.Join("r"), e.Join("r"), e.Leave("r"), e.Enter("r", "a"))
		time.Sleep(interval)
		want(3, 0) // three came and one left
		must(t, e.Join("r"))
		time.Sleep(interval)
		want(4, 0)
		must(t, e.Leave("r"), e.Join("r"), e.Leave("r"), e.Leave("r"), e.Leave("r")) // three left
		time.Sleep(interval)
		want(4, 3)
		must(t, e.Join("r"), e.Leave("r")) // undone
		time.Sleep(2 * interval)
		want(4, 3)
		must(t, remote(t, e, "node").Set(part("r", occ(50, 0)), part("other", occ(50, 0)))) // other nodes do not count
		time.Sleep(interval)
		want(4, 3)
		lease := connect(t, e, "plain")
		time.Sleep(interval)
		want(5, 3)
		must(t, lease.Close())
		time.Sleep(interval)
		want(5, 4)
		must(t, e.Join("r"), e.Close())
		want(6, 4)
	})
	bubble(t, "the difference is the number of connections", func(t *testing.T) {
		e := newEngine(t)
		node := remote(t, e, "node")
		for i := range 500 {
			must(t, e.Join(room(i%7)), node.Set(part(room(i%5), occ(i%3, 0))))
			if i%3 == 0 {
				must(t, e.Leave(room(i%7)))
			}
			if i%10 == 0 {
				time.Sleep(interval / 3)
			}
		}
		time.Sleep(2 * interval)
		must(t, e.Leave(room(0)), e.Leave(room(1)))
		time.Sleep(2 * interval)
		s := e.Stats()
		require.Equal(t, s.Local.Connections, int(s.Arrivals-s.Departures))
		require.Equal(t, 500-167-2, s.Local.Connections)
		require.Positive(t, s.Departures)
	})
}

// A room that exists throughout is always part of Stats.Rooms, also while it changes
// between being occupied and being only subscribed to.
func TestStats_RoomsIsExactWhileHooksRun(t *testing.T) {
	for _, limit := range []int{0, 10} {
		t.Run(fmt.Sprintf("limit %d", limit), func(t *testing.T) {
			const rooms = 3
			e := newEngine(t, occupancy.WithMaxRooms(limit))
			for i := range rooms {
				subscribe(t, e, room(i))
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for n := range 50_000 {
					if name := room(n % rooms); e.Join(name) != nil || e.Leave(name) != nil {
						t.Error("refused")
					}
				}
			}()
			for open := true; open; {
				select {
				case <-done:
					open = false
				default:
				}
				if n := e.Stats().Rooms; n != rooms {
					t.Errorf("Stats.Rooms is %d, want %d", n, rooms)
					break
				}
			}
			<-done
		})
	}
}

// Nobody listens to these rooms, so no hook makes the engine publish them.
func TestStats_TotalsOfRoomsWithoutListenersLagByASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		var want occupancy.Occupancy
		for range 10 {
			for i := range 50 {
				must(t, e.Join(room(i)), e.Join(room(i)), e.Enter(room(i), "c"))
				want.Connections += 2
				want.PresenceMembers++
			}
			if want.Connections > 500 {
				must(t, e.Leave(room(7)))
				want.Connections--
			}
			time.Sleep(time.Second)
			s := e.Stats()
			require.Equal(t, want, s.Total)
			require.Equal(t, want, s.Local)
			require.Equal(t, want.Connections, int(s.Arrivals-s.Departures))
			time.Sleep(time.Second / 2)
			require.Equal(t, want, e.Stats().Total)
		}
		must(t, e.Join(room(0)), e.Close())
		want.Connections++
		require.Equal(t, want, e.Stats().Total, "after Close")
	})
}

// A room that has lost its listeners waits for the end of its interval. Stats does not.
func TestStats_TotalsOfRoomsThatHadListenersLagByASecond(t *testing.T) {
	for name, listen := range map[string]func(t *testing.T, e *occupancy.Engine) (end func()){
		"Subscribe": func(t *testing.T, e *occupancy.Engine) func() { return subscribe(t, e, "room").Unsubscribe },
		"Watch": func(t *testing.T, e *occupancy.Engine) func() {
			w := watch(t, e)
			return func() { _ = w.Close() }
		},
	} {
		bubble(t, name, func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(time.Hour))
			end := listen(t, e)
			must(t, e.Join("room"))
			synctest.Wait()
			end()
			must(t, e.Join("room"))
			time.Sleep(2 * time.Second)
			require.Equal(t, occ(2, 0), e.Stats().Total)
		})
	}
}

// Stats waits for the engine's goroutine. It must return for each of many callers, and if
// the engine is closed meanwhile.
func TestStats_ConcurrentCallsReturn(t *testing.T) {
	for n := range 100 {
		e := occupancy.New()
		for i := range 2000 {
			must(t, e.Join(room(i)))
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if s := e.Stats(); s.Total.Connections > 2000 || s.Rooms != 2000 {
					t.Errorf("%+v", s)
				}
			})
		}
		if n%2 == 0 {
			wg.Wait()
			require.Equal(t, occ(2000, 0), e.Stats().Total)
		}
		must(t, e.Close())
		wg.Wait()
		require.Equal(t, occ(2000, 0), e.Stats().Total)
	}
}

// A connection that joins a busy room waits for the room's interval, as does a hook that is
// refused. Neither makes a round.
func TestStats_HooksOfBusyOrFullRoomsMakeNoRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(2))
		subscribe(t, e, "busy")
		subscribe(t, e, "empty")
		time.Sleep(time.Second)
		must(t, e.Join("another"), e.Join("busy"))
		synctest.Wait()
		before := e.Stats().Rounds
		for i := range 100 {
			must(t, connect(t, e, "busy").Enter(room(i)))
			require.ErrorIs(t, e.Join("empty"), occupancy.ErrTooManyRooms)
		}
		synctest.Wait()
		require.Equal(t, before, e.Stats().Rounds)
	})
}
