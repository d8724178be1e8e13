package trending_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

func TestWithHalfLife_DefaultIsFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		b := newBoard(t, e)
		must(t, e.Join("room"))
		time.Sleep(5 * time.Minute)
		wantAbout(t, "the heat", b.Trending(1)[0].Heat, 0.5)
	})
}

func TestWithMargin_KeepsPlacesOfNearlyEqualRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		repeat(t, 100, e.Join, "b")
		repeat(t, 90, e.Join, "a")
		b := newBoard(t, e)
		s, first := b.Subscribe(trending.Popular, 2), b.Subscribe(trending.Popular, 1)
		wantList(t, s, "b a")
		wantList(t, first, "b")
		repeat(t, 15, e.Join, "a") // 105 to 100: ahead by the margin, not by more
		wantList(t, s, "b a")
		wantNothing(t, first)
		if got := names(b.Popular(2)); got != "a b" {
			t.Fatalf("the exact list is %s", got)
		}
		must(t, e.Join("a"))
		wantList(t, s, "a b")
		wantList(t, first, "a")
		repeat(t, 11, e.Join, "b") // 111 to 106: ahead by less than the margin
		wantList(t, s, "a b")
		must(t, e.Join("b"))
		wantList(t, s, "b a")
	})
}

func TestWithMargin_AppliesToHeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		b := newBoard(t, e, trending.WithMargin(0.5))
		repeat(t, 10, e.Join, "b")
		repeat(t, 8, e.Join, "a")
		s := b.Subscribe(trending.Trending, 2)
		wantList(t, s, "b a")
		time.Sleep(time.Hour) // all heats decay at the same rate
		wantNothing(t, s)
		repeat(t, 14, e.Join, "b")
		repeat(t, 20, e.Join, "a")
		wantList(t, s, "b a")
		repeat(t, 20, e.Join, "a")
		wantList(t, s, "a b")
	})
}

func TestWithMargin_ZeroMakesListsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		repeat(t, 100, e.Join, "b")
		repeat(t, 99, e.Join, "a")
		b := newBoard(t, e, trending.WithMargin(0))
		s := b.Subscribe(trending.Popular, 2)
		wantList(t, s, "b a")
		must(t, e.Join("a")) // equal counts are sorted by name
		wantList(t, s, "a b")
	})
}

func TestInvalidArgumentsPanic(t *testing.T) {
	e := newEngine(t)
	b := newBoard(t, e)
	for name, f := range map[string]func(){
		"zero half-life":             func() { trending.New(e, trending.WithHalfLife(0)) },
		"negative half-life":         func() { trending.New(e, trending.WithHalfLife(-1)) },
		"negative margin":            func() { trending.New(e, trending.WithMargin(-0.01)) },
		"margin not a number":        func() { trending.New(e, trending.WithMargin(math.NaN())) },
		"infinite margin":            func() { trending.New(e, trending.WithMargin(math.Inf(1))) },
		"invalid order of Top":       func() { b.Top(trending.Order(2), 1) },
		"invalid order of Subscribe": func() { b.Subscribe(trending.Order(-1), 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
