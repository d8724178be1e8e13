package trending_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

// told returns the list that waits, if there is one.
func told(s *trending.Subscription) (rooms []trending.Room, ok bool) {
	synctest.Wait()
	select {
	case rooms, open := <-s.Rooms():
		return rooms, open
	default:
		return nil, false
	}
}

// hears fails unless the list that waits has these names.
func hears(t *testing.T, s *trending.Subscription, want string) []trending.Room {
	t.Helper()
	rooms, ok := told(s)
	if !ok {
		t.Fatalf("told nothing, want %q", want)
	}
	if got := names(rooms); got != want {
		t.Fatalf("told %q, want %q", got, want)
	}
	return rooms
}

func hearsNothing(t *testing.T, s *trending.Subscription) {
	t.Helper()
	if rooms, ok := told(s); ok {
		t.Fatalf("told %q, want nothing", names(rooms))
	}
}

func isClosed(t *testing.T, s *trending.Subscription) {
	t.Helper()
	synctest.Wait()
	select {
	case rooms, open := <-s.Rooms():
		if open {
			t.Fatalf("told %q, want a closed channel", names(rooms))
		}
	default:
		t.Fatal("open")
	}
}

func TestTheListIsToldAtOnceAndWheneverItChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, occupancy.WithInterval(interval))
		times(t, 3, e.Join, "a")
		times(t, 2, e.Join, "b")
		times(t, 1, e.Join, "c")
		b := board(t, e)
		s := b.Subscribe(trending.Popular, 2)
		if n := len(s.Rooms()); n != 1 {
			t.Fatalf("%d lists wait when Subscribe returns", n)
		}
		hears(t, s, "a b")
		time.Sleep(time.Hour)
		hearsNothing(t, s)

		times(t, 2, e.Join, "c")
		time.Sleep(interval)
		hears(t, s, "a c")
		must(t, e.Enter("a"))
		if got := hears(t, s, "a c"); got[0].Occupancy.PresenceMembers != 1 {
			t.Fatalf("%+v, want a member", got[0])
		}
		time.Sleep(time.Hour)
		must(t, e.Join("d")) // not on the list
		time.Sleep(interval)
		hearsNothing(t, s)
		for range 3 {
			must(t, e.Leave("c"))
		}
		time.Sleep(interval)
		hears(t, s, "a b")
	})
}

func TestAListIsToldAtMostOnceAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, occupancy.WithInterval(time.Second))
		b := board(t, e)
		s := b.Subscribe(trending.Popular, 100)
		hears(t, s, "")
		began, lists := time.Now(), 0
		for i := range 100 { // a room of its own each, so that the engine tells each at once
			must(t, e.Join(string(rune('A'+i))))
			if rooms, ok := told(s); ok {
				lists++
				if len(rooms) < i { // the newest may have come as the interval ended
					t.Fatalf("%d rooms, want %d", len(rooms), i+1)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		if most := int(time.Since(began)/time.Second) + 1; lists < most-2 || lists > most {
			t.Fatalf("%d lists in %v", lists, time.Since(began))
		}
		time.Sleep(time.Second)
		if rooms, _ := told(s); len(rooms) != 100 {
			t.Fatalf("%d rooms in the end", len(rooms))
		}
	})
}

func TestOneWhoDoesNotReadGetsTheNewestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		b := board(t, e)
		s := b.Subscribe(trending.Popular, 10)
		for range 20 {
			must(t, e.Join("room"))
			synctest.Wait()
		}
		if got := hears(t, s, "room"); got[0].Occupancy.Connections != 20 {
			t.Fatalf("%+v", got)
		}
		hearsNothing(t, s)
	})
}

// The late one must not be left with a value that the others never saw.
func TestAChangeThatWasUndoneLeavesNobodyBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, occupancy.WithInterval(time.Second))
		b := board(t, e)
		first := b.Subscribe(trending.Popular, 10)
		hears(t, first, "")
		must(t, e.Join("a"))
		hears(t, first, "a")
		must(t, e.Join("b")) // on the board at once, and on the list when the interval is over
		synctest.Wait()
		late := b.Subscribe(trending.Popular, 10)
		hears(t, late, "a")
		time.Sleep(time.Second)
		hears(t, first, "a b")
		hears(t, late, "a b")
	})
}

func TestSubscribersGetSlicesOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		b := board(t, e)
		one, two := b.Subscribe(trending.Popular, 10), b.Subscribe(trending.Popular, 10)
		must(t, e.Join("room"))
		hears(t, one, "room")[0].Name = "spoilt"
		hears(t, two, "room")
		if got := names(b.Popular(1)); got != "room" {
			t.Fatal(got)
		}
	})
}

func TestUnsubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		b := board(t, e)
		s, other := b.Subscribe(trending.Popular, 10), b.Subscribe(trending.Popular, 10)
		must(t, e.Join("a"))
		synctest.Wait()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(s.Unsubscribe)
		}
		wg.Wait()
		isClosed(t, s)
		must(t, e.Join("b"))
		hears(t, other, "a b")
		other.Unsubscribe()
		must(t, e.Join("c"))
		hears(t, b.Subscribe(trending.Popular, 10), "a b c")
	})
}

func TestCloseEndsSubscriptionsAfterTheirLastList(t *testing.T) {
	for _, how := range []string{"board", "engine"} {
		synctest.Test(t, func(t *testing.T) {
			e := occupancy.New(occupancy.WithInterval(time.Hour))
			defer e.Close()
			b := trending.New(e)
			s, read := b.Subscribe(trending.Popular, 10), b.Subscribe(trending.Trending, 10)
			hears(t, read, "")
			must(t, e.Join("a"))
			hears(t, read, "a")
			must(t, e.Join("b")) // to be told in an hour
			synctest.Wait()
			if how == "engine" {
				must(t, e.Close())
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(b.Close)
			}
			wg.Wait()
			hears(t, s, "a b")
			isClosed(t, s)
			hears(t, read, "a b")
			isClosed(t, read)
			s.Unsubscribe()

			if got := names(b.Popular(10)); got != "a b" {
				t.Fatalf("%s after Close", got)
			}
			late := b.Subscribe(trending.Popular, 1)
			hears(t, late, "a")
			isClosed(t, late)
			late.Unsubscribe()
		})
	}
}

func TestABoardOfAClosedEngineIsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := occupancy.New()
		must(t, e.Join("room"))
		must(t, e.Close())
		b := trending.New(e)
		defer b.Close()
		if n := b.Len(); n != 0 {
			t.Fatalf("%d rooms", n)
		}
		s := b.Subscribe(trending.Trending, 3)
		hears(t, s, "")
		isClosed(t, s)
	})
}

func TestNobodyWaitsForASubscriber(t *testing.T) {
	e := start(t, occupancy.WithInterval(0))
	b := board(t, e)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				s := b.Subscribe(trending.Trending, 5)
				must(t, e.Join("room"))
				if len(b.Popular(5)) > 1 {
					t.Error("a room too many")
				}
				s.Unsubscribe()
				must(t, e.Leave("room"))
			}
		})
	}
	wg.Wait()
}

func TestWhoSubscribesDuringCloseFindsTheChannelClosed(t *testing.T) {
	for _, how := range []string{"board", "engine"} {
		for range 50 {
			e := occupancy.New(occupancy.WithInterval(0))
			must(t, e.Join("room"))
			b := trending.New(e)
			closed := make(chan struct{})
			var wg sync.WaitGroup
			for n := range 4 {
				wg.Go(func() {
					for i := 0; ; i++ {
						s := b.Subscribe(trending.Order(n%2), n)
						if i%2 == 0 {
							s.Unsubscribe()
						}
						for range s.Rooms() {
							_ = e.Join("room")
						}
						select {
						case <-closed:
							return
						default:
						}
					}
				})
			}
			if how == "engine" {
				_ = e.Close()
			}
			b.Close()
			close(closed)
			wg.Wait()
			_ = e.Close()
		}
	}
}
