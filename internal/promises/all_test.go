package promises_test

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestAll_YieldsEachRoomThatIsNotEmptyOnce(t *testing.T) {
	bubble(t, "no empty room", func(t *testing.T) {
		e := newEngine(t)
		require.Empty(t, maps.Collect(e.All()))
		node := remote(t, e, "node")
		must(t, e.Join("a"), e.Enter("b", "c"), node.Set(part("c", occ(2, 3))), e.Join("gone"), e.Leave("gone"), e.Join("left"))
		subscribe(t, e, "empty")
		time.Sleep(2 * interval)
		must(t, e.Leave("left"), e.Join("both"), node.Set(part("both", occ(1, 1))))
		want := byRoom{"a": occ(1, 0), "b": occ(0, 1), "c": occ(2, 3), "both": occ(2, 1)}
		times := map[string]int{}
		for room, o := range e.All() {
			require.Equal(t, want[room], o, room)
			require.NotZero(t, o)
			times[room]++
		}
		require.Equal(t, map[string]int{"a": 1, "b": 1, "c": 1, "both": 1}, times)
	})
	bubble(t, "the loop calls the engine and breaks", func(t *testing.T) {
		e := newEngine(t)
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
			must(t, watch(t, e).Close())
			for range e.All() {
				break
			}
		}
		require.Equal(t, 50, n)
	})
	bubble(t, "while other rooms come and go", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		const stay = 500
		for i := range stay {
			must(t, e.Join(room(i)))
		}
		done := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { // the map of rooms grows and shrinks
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
