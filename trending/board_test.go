package trending_test

import (
	"testing"
	"testing/synctest"

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
