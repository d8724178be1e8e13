package trending_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

func TestARoomTakesAnothersPlaceOnlyByTheMargin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		times(t, 100, e.Join, "b")
		times(t, 90, e.Join, "a")
		b := board(t, e)
		s, first := b.Subscribe(trending.Popular, 2), b.Subscribe(trending.Popular, 1)
		hears(t, s, "b a")
		hears(t, first, "b")
		times(t, 15, e.Join, "a") // 105: five percent ahead, not more
		hears(t, s, "b a")
		hearsNothing(t, first)
		if got := names(b.Popular(2)); got != "a b" {
			t.Fatalf("%s, without the guard", got)
		}
		must(t, e.Join("a"))
		hears(t, s, "a b")
		hears(t, first, "a")
		times(t, 11, e.Join, "b") // 111 to 106
		hears(t, s, "a b")
		must(t, e.Join("b"))
		hears(t, s, "b a")
	})
}

func TestTheMarginGuardsHeatToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		b := board(t, e, trending.WithMargin(0.5))
		times(t, 10, e.Join, "b")
		times(t, 8, e.Join, "a")
		s := b.Subscribe(trending.Trending, 2)
		hears(t, s, "b a")
		time.Sleep(time.Hour) // all fades alike
		hearsNothing(t, s)
		times(t, 14, e.Join, "b")
		times(t, 20, e.Join, "a")
		hears(t, s, "b a")
		times(t, 20, e.Join, "a")
		hears(t, s, "a b")
	})
}

func TestWithoutAMarginTheListIsTheTop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		times(t, 100, e.Join, "b")
		times(t, 99, e.Join, "a")
		b := board(t, e, trending.WithMargin(0))
		s := b.Subscribe(trending.Popular, 2)
		hears(t, s, "b a")
		must(t, e.Join("a")) // as many, and its name is first
		hears(t, s, "a b")
	})
}

func TestOptionsThatNobodyCanMeanPanic(t *testing.T) {
	e := start(t)
	b := board(t, e)
	for name, f := range map[string]func(){
		"no half-life":       func() { trending.New(e, trending.WithHalfLife(0)) },
		"negative half-life": func() { trending.New(e, trending.WithHalfLife(-1)) },
		"negative margin":    func() { trending.New(e, trending.WithMargin(-0.01)) },
		"no margin at all":   func() { trending.New(e, trending.WithMargin(math.NaN())) },
		"endless margin":     func() { trending.New(e, trending.WithMargin(math.Inf(1))) },
		"order of a list":    func() { b.Top(trending.Order(2), 1) },
		"order subscribed":   func() { b.Subscribe(trending.Order(-1), 1) },
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

func TestListsOfNothing(t *testing.T) {
	e := start(t)
	must(t, e.Join("room"))
	b := board(t, e)
	for _, n := range []int{0, -1, math.MinInt} {
		if got := b.Popular(n); got == nil || len(got) != 0 {
			t.Errorf("%d: %#v, want an empty list that is [] as JSON", n, got)
		}
		s := b.Subscribe(trending.Popular, n)
		if got := <-s.Rooms(); got == nil || len(got) != 0 {
			t.Errorf("%d: %#v", n, got)
		}
	}
	if got := names(b.Trending(math.MaxInt)); got != "room" {
		t.Error(got)
	}
	if got := names(<-b.Subscribe(trending.Trending, math.MaxInt).Rooms()); got != "room" {
		t.Error(got)
	}
	if _, ok := b.Rank("nowhere"); ok {
		t.Error("a room that is not there has a rank")
	}
	if got := trending.Order(7).String(); got != "Order(7)" {
		t.Error(got)
	}
	for _, o := range []trending.Order{trending.Popular, trending.Trending} {
		if got, err := trending.ParseOrder(o.String()); got != o || err != nil {
			t.Error(got, err)
		}
	}
}
