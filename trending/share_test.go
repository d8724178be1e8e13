package trending_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

func TestImport_BoardShowsTheSameRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		b := newBoard(t, e)
		repeat(t, 10, e.Join, "emptied")
		repeat(t, 10, e.Join, "a")
		repeat(t, 20, e.Join, "b")
		settle()
		repeat(t, 10, e.Leave, "emptied")
		time.Sleep(3 * time.Minute)
		late := newBoard(t, e)
		wantTrending(t, late, "")
		for range 2 { // an import can be repeated
			history, complete := b.History()
			if !complete {
				t.Fatal("incomplete after the warm-up")
			}
			late.Import(history, true)
		}
		wantTrending(t, late, "b a")
		for i, got := range late.Popular(9) {
			if want := b.Popular(9)[i]; got.Occupancy != want.Occupancy || math.Abs(got.Ratio-want.Ratio) > 1e-9 || math.Abs(got.Usual-want.Usual) > 1e-9 {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
	})
}

// The boards of two linked engines notice a change at different times. It counts once,
// whether the change comes before or after the import on either board.
func TestImport_CompleteHistoryCountsEachChangeOnce(t *testing.T) {
	for _, before := range []int{0, 30} { // the count in the history, when 30 are connected
		for _, sums := range []float64{0, 12} {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, occupancy.WithInterval(0))
				b := newBoard(t, e, trending.WithWarmup(time.Minute))
				repeat(t, 20, e.Join, "room") // ignored until the import
				synctest.Wait()
				history := map[string][3]float64{}
				if sums > 0 {
					history["room"] = [3]float64{sums, sums, float64(before)}
				}
				b.Import(history, true)
				repeat(t, 10, e.Join, "room")
				synctest.Wait()
				want := sums + 30 - float64(before)
				if sums == 0 {
					want = 30
				}
				if got := b.Popular(1)[0].Arrivals; math.Abs(got-want) > 0.01 {
					t.Errorf("%v arrivals, want %v", got, want)
				}
			})
		}
	}
}

func TestImport_CompleteHistoryEndsWarmup(t *testing.T) {
	for _, complete := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t)
			b := newBoard(t, e, trending.WithWarmup(time.Minute))
			b.Import(nil, complete)
			repeat(t, 10, e.Join, "room")
			settle()
			want := ""
			if complete {
				want = "room"
			}
			wantTrending(t, b, want)
			if _, got := b.History(); got != complete {
				t.Fatalf("complete: %v, want %v", got, complete)
			}
			time.Sleep(time.Minute)
			if _, got := b.History(); !got {
				t.Fatal("incomplete after the warm-up")
			}
		})
	}
}

func TestImport_SubscribersReceiveTheNewList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("room"))
		b := newBoard(t, e)
		s := b.Subscribe(trending.Trending, 1)
		wantList(t, s, "")
		b.Import(map[string][3]float64{"room": {10, 10, 10}}, false)
		time.Sleep(10 * time.Second)
		wantList(t, s, "room")
	})
}

func TestImport_IgnoresInvalidHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		repeat(t, 10, e.Join, "room")
		b := newBoard(t, e, trending.WithFilter(func(room string) bool { return room != "private" }))
		for _, h := range []map[string][3]float64{
			{"room": {math.NaN(), 1, 0}},
			{"room": {1, math.Inf(-1), 0}},
			{"room": {1, 1, 1e300}},
			{"": {9, 9, 9}},
			{"\xff": {9, 9, 9}},
			{"private": {9, 9, 9}},
		} {
			b.Import(h, false)
		}
		if got, _ := b.History(); len(got) != 0 {
			t.Fatalf("%+v", got)
		}
	})
}

// The clients of another node are no arrivals when it is linked, departures while it is
// lost, and no departures any longer when it has returned.
func TestExpect_LinkedNodes(t *testing.T) {
	for _, eventFirst := range []bool{false, true} { // before the expected part is counted
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(0))
			repeat(t, 100, e.Join, "room")
			b := newBoard(t, e)
			other, parts := newRemote(t, e), []occupancy.Part{part("room", 100)}
			link := func(away time.Duration) {
				b.Expect(parts, away)
				if eventFirst {
					repeat(t, 1, e.Join, "room")
					synctest.Wait()
					repeat(t, 1, e.Leave, "room")
					synctest.Wait()
				}
				must(t, other.Set(parts...))
			}
			want := func(arrivals, usual float64) {
				t.Helper()
				synctest.Wait()
				if got := b.Popular(1)[0]; math.Abs(got.Arrivals-arrivals) > 0.01 || math.Abs(got.Usual-usual) > 0.01 {
					t.Fatalf("%+v, want %v arrivals, usual %v", got, arrivals, usual)
				}
			}
			link(0)
			want(0, 200)
			must(t, other.Set(part("room", 0)))
			want(0, 200)
			time.Sleep(10 * time.Minute)
			link(10 * time.Minute)
			want(0, 200)
			repeat(t, 20, e.Join, "room")
			want(20, 200)
		})
	}
}

func TestExpect_ForgetsPartsThatAreNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		repeat(t, 1, e.Join, "room")
		b := newBoard(t, e)
		b.Expect([]occupancy.Part{part("room", 10)}, 0)
		time.Sleep(11 * time.Second)
		repeat(t, 10, e.Join, "room")
		settle()
		wantTrending(t, b, "room")
	})
}

func TestStats_CountsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		b := newBoard(t, e)
		for range 3 {
			repeat(t, 1, e.Join, "room")
			settle()
		}
		if s := b.Stats(); s.Changes != 3 || s.Busy < 0 {
			t.Fatalf("%+v", s)
		}
	})
}
