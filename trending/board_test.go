package trending_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

// The engine publishes no event for a room that empties before its first event. If New
// waits for such an event, synctest reports a deadlock.
func TestNew_DoesNotWaitForRoomsThatEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		for range 3 {
			must(t, e.Join("emptied"))
			must(t, e.Leave("emptied"))
			if n := newBoard(t, e).Len(); n != 0 {
				t.Fatalf("%d rooms", n)
			}
		}
	})
}

func TestNew_ClosedEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := occupancy.New()
		must(t, e.Join("room"))
		must(t, e.Close())
		b := trending.New(e)
		if n := b.Len(); n != 0 {
			t.Fatalf("%d rooms", n)
		}
		s := b.Subscribe(trending.Trending, 3)
		wantList(t, s, "")
		wantClosed(t, s)
		must(t, b.Close())
		must(t, b.Close())
	})
}

func TestTop_AnyLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		b := newBoard(t, e)
		repeat(t, 10, e.Join, "room")
		settle()
		for _, by := range []trending.Order{trending.Popular, trending.Trending} {
			for _, n := range []int{0, -1, math.MinInt} {
				if got := b.Top(by, n); got == nil || len(got) != 0 {
					t.Errorf("Top(%v, %d) is %#v, want an empty slice that is not nil", by, n, got)
				}
				if got := <-b.Subscribe(by, n).Rooms(); got == nil || len(got) != 0 {
					t.Errorf("Subscribe(%v, %d): %#v, want an empty slice that is not nil", by, n, got)
				}
			}
			if got := names(b.Top(by, math.MaxInt)); got != "room" {
				t.Error(got)
			}
			if got := names(<-b.Subscribe(by, math.MaxInt).Rooms()); got != "room" {
				t.Error(got)
			}
		}
	})
}

func TestTrending_ExistingConnectionsAreNotArrivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		repeat(t, 10, e.Join, "a")
		b := newBoard(t, e)
		repeat(t, 10, e.Join, "b")
		other, parts := newRemote(t, e), []occupancy.Part{part("c", 1000), part("a", 1000)}
		b.Expect(parts, 0)
		must(t, other.Set(parts...))
		settle()
		wantTrending(t, b, "b")
		if got := names(b.Popular(3)); got != "a c b" {
			t.Fatal(got)
		}
	})
}

func TestRoom_ExplainsItsRank(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		repeat(t, 10, e.Join, "room")
		b := newBoard(t, e)
		want := func(arrivals, usual, ratio float64) {
			t.Helper()
			synctest.Wait()
			got := b.Popular(1)[0]
			for _, pair := range [][3]float64{{got.Arrivals, arrivals}, {got.Usual, usual}, {got.Ratio, ratio}} {
				if math.Abs(pair[0]-pair[1]) > 0.01 {
					t.Fatalf("%+v, want %v, %v, %v", got, arrivals, usual, ratio)
				}
			}
		}
		want(0, 10, 0)
		repeat(t, 30, e.Join, "room")
		want(30, 10, 2)
		time.Sleep(10 * time.Minute) // the default half-life
		usual := 40 - 30*math.Exp2(-1./24)
		want(15, usual, 15/(usual+5))
		repeat(t, 15, e.Leave, "room")
		want(0, usual, 0)
		repeat(t, 5, e.Leave, "room")
		want(0, usual, 0)
		repeat(t, 5, e.Join, "room") // those who left have returned
		want(0, usual, 0)
		time.Sleep(100 * 24 * time.Hour)
		want(0, 25, 0)
	})
}

func TestEmptiedRoom_KeepsItsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		b := newBoard(t, e)
		repeat(t, 20, e.Join, "grown")
		settle()
		wantTrending(t, b, "grown")
		repeat(t, 20, e.Leave, "grown")
		settle()
		wantTrending(t, b, "")
		if b.Len() != 0 || len(b.Popular(1)) != 0 {
			t.Fatal("an empty room is listed")
		}
		repeat(t, 20, e.Join, "grown")
		settle()
		wantTrending(t, b, "grown")

		time.Sleep(100 * 24 * time.Hour) // the room is an old one now
		repeat(t, 20, e.Leave, "grown")
		time.Sleep(5 * time.Minute)
		repeat(t, 20, e.Join, "grown")
		settle()
		wantTrending(t, b, "") // the clients have returned
	})
}

func TestTrending_ExactForYears(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		b := newBoard(t, e)
		const year = 365 * 24 * time.Hour
		for range 15 {
			for n, room := range map[int]string{40: "a", 42: "b", 41: "c"} {
				repeat(t, n, e.Join, room)
			}
			synctest.Wait()
			wantTrending(t, b, "b c a")
			for n, room := range map[int]string{40: "a", 42: "b", 41: "c"} {
				repeat(t, n, e.Leave, room)
			}
			time.Sleep(year)
			wantTrending(t, b, "")
		}
	})
}

func TestEmptiedRooms_HistoriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, newEngine(t))
		for i := range 10_000 {
			b.Import(map[string][3]float64{fmt.Sprint(i): {-10, -10, 0}}, false)
		}
		kept, _ := b.History()
		if len(kept) != 4096 {
			t.Fatalf("%d histories", len(kept))
		}
		for room := range kept {
			if len(room) < 4 || room < fmt.Sprint(10_000-4096) {
				t.Fatalf("the history of room %s is kept, but not those of newer ones", room)
			}
		}
	})
}
