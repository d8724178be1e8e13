package trending_test

import (
	"math"
	"testing"

	"github.com/occupancy/occupancy/trending"
)

func TestLists_AnyLength(t *testing.T) {
	e := newEngine(t)
	must(t, e.Join("room"))
	b := newBoard(t, e)
	for _, n := range []int{0, -1, math.MinInt} {
		if got := b.Popular(n); got == nil || len(got) != 0 {
			t.Errorf("Popular(%d) is %#v, want an empty slice that is not nil", n, got)
		}
		s := b.Subscribe(trending.Popular, n)
		if got := <-s.Rooms(); got == nil || len(got) != 0 {
			t.Errorf("Subscribe with n=%d: %#v, want an empty slice that is not nil", n, got)
		}
	}
	if got := names(b.Trending(math.MaxInt)); got != "room" {
		t.Error(got)
	}
	if got := names(<-b.Subscribe(trending.Trending, math.MaxInt).Rooms()); got != "room" {
		t.Error(got)
	}
}

func TestRank_UnknownRoom(t *testing.T) {
	if places, ok := newBoard(t, newEngine(t)).Rank("nowhere"); ok {
		t.Errorf("%+v", places)
	}
}
