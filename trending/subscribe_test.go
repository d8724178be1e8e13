package trending_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

// unread returns the unread list, if there is one.
func unread(s *trending.Subscription) (rooms []trending.Room, ok bool) {
	synctest.Wait()
	select {
	case rooms, open := <-s.Rooms():
		return rooms, open
	default:
		return nil, false
	}
}

// wantList fails unless the unread list has these names.
func wantList(t *testing.T, s *trending.Subscription, want string) []trending.Room {
	t.Helper()
	rooms, ok := unread(s)
	if !ok {
		t.Fatalf("no list, want %q", want)
	}
	if got := names(rooms); got != want {
		t.Fatalf("list %q, want %q", got, want)
	}
	return rooms
}

func wantNothing(t *testing.T, s *trending.Subscription) {
	t.Helper()
	if rooms, ok := unread(s); ok {
		t.Fatalf("list %q, want none", names(rooms))
	}
}

func wantClosed(t *testing.T, s *trending.Subscription) {
	t.Helper()
	synctest.Wait()
	select {
	case rooms, open := <-s.Rooms():
		if open {
			t.Fatalf("list %q, want a closed channel", names(rooms))
		}
	default:
		t.Fatal("the channel is open")
	}
}

func TestSubscribe_ListImmediatelyAndAfterEachChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(interval))
		repeat(t, 3, e.Join, "a")
		repeat(t, 2, e.Join, "b")
		repeat(t, 1, e.Join, "c")
		b := newBoard(t, e)
		s := b.Subscribe(trending.Popular, 2)
		if n := len(s.Rooms()); n != 1 {
			t.Fatalf("%d lists in the channel when Subscribe returns, want 1", n)
		}
		wantList(t, s, "a b")
		time.Sleep(time.Hour)
		wantNothing(t, s)

		repeat(t, 2, e.Join, "c")
		settle() // the engine may publish the second Join an interval later
		wantList(t, s, "a c")
		time.Sleep(time.Hour)
		must(t, e.Enter("a", "alice"))
		if got := wantList(t, s, "a c"); got[0].Occupancy.PresenceMembers != 1 {
			t.Fatalf("%+v, want one presence member", got[0])
		}
		time.Sleep(time.Hour)
		must(t, e.Join("d")) // not on the list
		settle()
		wantNothing(t, s)
		repeat(t, 3, e.Leave, "c")
		settle()
		wantList(t, s, "a b")
	})
}

func TestSubscribe_AtMostOneListPerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(time.Second))
		b := newBoard(t, e)
		s := b.Subscribe(trending.Popular, 100)
		wantList(t, s, "")
		began, lists := time.Now(), 0
		for i := range 100 { // in different rooms, so that the engine publishes each immediately
			must(t, e.Join(string(rune('A'+i))))
			if rooms, ok := unread(s); ok {
				lists++
				if len(rooms) < i { // the newest room may have been published at the end of the interval
					t.Fatalf("%d rooms, want %d", len(rooms), i+1)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		if most := int(time.Since(began)/time.Second) + 1; lists < most-2 || lists > most {
			t.Fatalf("%d lists in %v", lists, time.Since(began))
		}
		time.Sleep(time.Second)
		if rooms, _ := unread(s); len(rooms) != 100 {
			t.Fatalf("%d rooms at the end, want 100", len(rooms))
		}
	})
}

func TestSubscribe_SlowReaderReceivesNewestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		b := newBoard(t, e)
		s := b.Subscribe(trending.Popular, 10)
		for range 20 {
			must(t, e.Join("room"))
			synctest.Wait()
		}
		if got := wantList(t, s, "room"); got[0].Occupancy.Connections != 20 {
			t.Fatalf("%+v", got)
		}
		wantNothing(t, s)
	})
}

// A new subscriber receives the last published list, even if the board has changed since.
func TestSubscribe_SameListForAllSubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(time.Second))
		b := newBoard(t, e)
		first := b.Subscribe(trending.Popular, 10)
		wantList(t, first, "")
		must(t, e.Join("a"))
		wantList(t, first, "a")
		must(t, e.Join("b")) // on the board immediately, on the list after the interval
		synctest.Wait()
		late := b.Subscribe(trending.Popular, 10)
		wantList(t, late, "a")
		time.Sleep(time.Second)
		wantList(t, first, "a b")
		wantList(t, late, "a b")
	})
}

func TestSubscribe_SubscribersDoNotShareSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		b := newBoard(t, e)
		one, two := b.Subscribe(trending.Popular, 10), b.Subscribe(trending.Popular, 10)
		must(t, e.Join("room"))
		wantList(t, one, "room")[0].Name = "changed"
		wantList(t, two, "room")
		if got := names(b.Popular(1)); got != "room" {
			t.Fatal(got)
		}
	})
}

func TestSubscribe_TrendingListChangesWithoutEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		b := newBoard(t, e, trending.WithHalfLife(time.Hour))
		repeat(t, 50, e.Join, "usual")
		settle()
		time.Sleep(100 * 24 * time.Hour)
		s := b.Subscribe(trending.Trending, 2)
		wantList(t, s, "")
		// The ratio of usual decreases at the rate of its arrivals, and the ratio of new faster,
		// because its usual size grows.
		repeat(t, 45, e.Join, "usual")
		repeat(t, 6, e.Join, "new")
		settle()
		wantList(t, s, "new usual")
		late := b.Subscribe(trending.Trending, 1)
		wantList(t, late, "new")
		for _, want := range []string{"usual", ""} {
			for range 64 * 4 {
				if time.Sleep(time.Hour / 64); names(b.Trending(2)) == want {
					break
				}
			}
			time.Sleep(time.Hour / 64)
			wantList(t, s, want)
			wantList(t, late, want)
		}
		s.Unsubscribe()
		late.Unsubscribe()
	})
}

func TestUnsubscribe_ConcurrentAndRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		b := newBoard(t, e)
		s, other := b.Subscribe(trending.Popular, 10), b.Subscribe(trending.Popular, 10)
		must(t, e.Join("a"))
		synctest.Wait()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(s.Unsubscribe)
		}
		wg.Wait()
		wantClosed(t, s)
		must(t, e.Join("b"))
		wantList(t, other, "a b")
		other.Unsubscribe()
		must(t, e.Join("c"))
		wantList(t, b.Subscribe(trending.Popular, 10), "a b c")
	})
}

// The last lists contain the changes before Close, whether or not the engine has published them.
func TestClose_ChannelsCloseAfterLastList(t *testing.T) {
	for _, closedFirst := range []string{"board", "engine"} {
		synctest.Test(t, func(t *testing.T) {
			e := occupancy.New(occupancy.WithInterval(time.Hour))
			defer e.Close()
			b := trending.New(e, trending.WithWarmup(0), trending.WithMinimum(1))
			s, read := b.Subscribe(trending.Popular, 10), b.Subscribe(trending.Trending, 10)
			wantList(t, read, "")
			repeat(t, 3, e.Join, "a")
			wantList(t, read, "a")
			repeat(t, 3, e.Leave, "a")
			repeat(t, 2, e.Join, "b") // the engine would publish the second Join in an hour
			must(t, e.Join("c"))
			if closedFirst == "engine" {
				must(t, e.Close())
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if err := b.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			wantList(t, s, "b c")
			wantClosed(t, s)
			wantList(t, read, "b c")
			wantClosed(t, read)
			s.Unsubscribe()

			if got := names(b.Popular(10)); got != "b c" {
				t.Fatalf("list %q after Close", got)
			}
			late := b.Subscribe(trending.Popular, 1)
			wantList(t, late, "b")
			wantClosed(t, late)
			late.Unsubscribe()
		})
	}
}

func TestSubscribe_UnreadListsDoNotBlockBoard(t *testing.T) {
	e := newEngine(t, occupancy.WithInterval(0))
	b := newBoard(t, e)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				s := b.Subscribe(trending.Trending, 5)
				if err := e.Join("room"); err != nil {
					t.Error(err)
				}
				if len(b.Popular(5)) > 1 {
					t.Error("more than one room")
				}
				s.Unsubscribe()
				if err := e.Leave("room"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestSubscribe_DuringClose(t *testing.T) {
	for _, closedFirst := range []string{"board", "engine"} {
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
			if closedFirst == "engine" {
				_ = e.Close()
			}
			must(t, b.Close())
			close(closed)
			wg.Wait()
			_ = e.Close()
		}
	}
}
