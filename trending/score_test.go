package trending_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

func wantAbout(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-9*math.Abs(want)) {
		t.Fatalf("%s is %v, want %v", what, got, want)
	}
}

func TestHeat_HalvesWithEveryHalfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		b := newBoard(t, e, trending.WithHalfLife(time.Minute))
		heat := func() float64 { synctest.Wait(); return b.Trending(1)[0].Heat }
		must(t, e.Join("room"))
		wantAbout(t, "the heat of one arrival", heat(), 1)
		time.Sleep(time.Minute)
		wantAbout(t, "a minute later", heat(), 0.5)
		time.Sleep(2 * time.Minute)
		wantAbout(t, "three minutes later", heat(), 0.125)
		must(t, e.Leave("room")) // an empty room loses its heat
		synctest.Wait()
		must(t, e.Join("room"))
		wantAbout(t, "after the room emptied", heat(), 1)
		must(t, e.Join("room"))
		wantAbout(t, "with a second arrival", heat(), 2)
		must(t, e.Leave("room"))
		must(t, e.Enter("room", "alice"))
		wantAbout(t, "after a departure", heat(), 2)
		time.Sleep(time.Minute)
		must(t, newRemote(t, e).Set(occupancy.Part{Room: "room", Occupancy: occupancy.Occupancy{Connections: 10}}))
		wantAbout(t, "with ten connections of another node", heat(), 11)
	})
}

func TestHeat_ExistingConnectionsAreNotArrivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		repeat(t, 7, e.Join, "room")
		b := newBoard(t, e)
		if got := b.Trending(1)[0]; got.Heat != 0 || got.Occupancy.Connections != 7 {
			t.Fatalf("%+v", got)
		}
		repeat(t, 2, e.Join, "room")
		time.Sleep(2 * interval)
		if got := b.Trending(1)[0].Heat; got < 1.9 || got > 2 {
			t.Fatalf("heat %v, want almost 2", got)
		}
	})
}

func TestHeat_ExactForDecades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		b := newBoard(t, e, trending.WithHalfLife(time.Second))
		const year = 365 * 24 * time.Hour
		for y := range 40 {
			repeat(t, 3, e.Join, "a")
			repeat(t, 5, e.Join, "b")
			repeat(t, 4, e.Join, "c")
			synctest.Wait()
			hot := b.Trending(3)
			if got := names(hot); got != "b c a" {
				t.Fatalf("year %d: %s", y, got)
			}
			for i, want := range []float64{5, 4, 3} {
				if got := hot[i].Heat; math.Abs(got-want) > 1e-6*want {
					t.Fatalf("year %d: %s has %v, want %v", y, hot[i].Name, got, want)
				}
			}
			time.Sleep(year)
			if hot = b.Trending(3); names(hot) != "b c a" || hot[0].Heat != 0 {
				t.Fatalf("year %d: %+v without arrivals", y, hot)
			}
		}
	})
}
