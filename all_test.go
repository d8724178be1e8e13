package occupancy_test

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestAll_YieldsEveryRoomThatIsNotEmpty(t *testing.T) {
	bubble(t, "and no other", func(t *testing.T) {
		e := start(t)
		require.Empty(t, maps.Collect(e.All()))
		node := e.Remote("node")
		must(t, e.Join("a"), e.Enter("b"), node.Set("c", occ(2, 3)), e.Join("gone"), e.Leave("gone"), e.Join("left"))
		subscribe(t, e, "empty")
		time.Sleep(2 * interval)
		must(t, e.Leave("left"), e.Join("both"), node.Set("both", occ(1, 1)))
		want := byRoom{"a": occ(1, 0), "b": occ(0, 1), "c": occ(2, 3), "both": occ(2, 1)}
		times := map[string]int{}
		for room, o := range e.All() {
			require.Equal(t, want[room], o, room)
			require.NotZero(t, o)
			times[room]++
		}
		require.Equal(t, map[string]int{"a": 1, "b": 1, "c": 1, "both": 1}, times)
	})
	bubble(t, "until the loop ends, in which anything may be called", func(t *testing.T) {
		e := start(t)
		for i := range 100 {
			must(t, e.Join(room(i)))
		}
		n := 0
		for name := range e.All() {
			if n++; n == 50 {
				break
			}
			must(t, e.Leave(name), e.Join(fmt.Sprint("new", n)))
			subscribe(t, e, name).Unsubscribe()
			e.Watch().Close()
			for range e.All() {
				break
			}
		}
		require.Equal(t, 50, n)
	})
	bubble(t, "once, if it is there throughout", func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		const stay = 500
		for i := range stay {
			must(t, e.Join(room(i)))
		}
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { // the map grows and shrinks meanwhile
			defer close(done)
			for range 3 {
				for i := range 5000 {
					_ = e.Join(fmt.Sprint("other", i))
				}
				for i := range 5000 {
					_ = e.Leave(fmt.Sprint("other", i))
				}
			}
		})
		for open := true; open; {
			select {
			case <-done:
				open = false
			default:
			}
			times := map[string]int{}
			for room := range e.All() {
				times[room]++
			}
			for i := range stay {
				if times[room(i)] != 1 {
					require.Equal(t, 1, times[room(i)])
				}
			}
		}
		wg.Wait()
	})
}

func TestStats_AreTotals(t *testing.T) {
	bubble(t, "of this process and its peers, an interval late at most", func(t *testing.T) {
		e := start(t)
		require.Zero(t, holds(e))
		node := e.Remote("node")
		must(t, e.Join("a"), e.Join("a"), e.Enter("b"), node.Set("a", occ(3, 1)), node.Set("c", occ(0, 4)))
		s, w := subscribe(t, e, "d"), e.Watch()
		time.Sleep(interval)
		synctest.Wait()
		require.Equal(t, occ(5, 6), totals(e))
		stats := e.Stats()
		require.Equal(t, []int{4, 1, 1}, []int{stats.Rooms, stats.Subscriptions, stats.Watchers})
		must(t, e.Leave("a"), e.Join("a"), e.Exit("b"), e.Leave("a"))
		node.Close()
		s.Unsubscribe()
		w.Close()
		time.Sleep(interval)
		synctest.Wait()
		require.Equal(t, occ(1, 0), totals(e))
		stats = e.Stats()
		require.Equal(t, []int{1, 0, 0}, []int{stats.Rooms, stats.Subscriptions, stats.Watchers})
	})
}

func totals(e *occupancy.Engine) occupancy.Occupancy {
	s := e.Stats()
	return occ(s.Connections, s.PresenceMembers)
}
