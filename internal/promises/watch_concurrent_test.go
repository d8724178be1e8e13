package promises_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// A room that begins or changes during Watch is returned.
func TestWatch_ConcurrentHooksAreNotMissed(t *testing.T) {
	bubble(t, "150 times", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		for i := range 1000 {
			must(t, e.Join(room(i)))
		}
		synctest.Wait()
		for i := range 150 {
			gate := make(chan struct{})
			var w *occupancy.Watcher
			var wg sync.WaitGroup
			wg.Go(func() { <-gate; w, _ = e.Watch() })
			wg.Go(func() { <-gate; _ = e.Join("new") })
			wg.Go(func() { <-gate; _ = e.Enter(room(i), "c") })
			close(gate)
			wg.Wait()
			rooms, _ := readAll(t, w)
			w.Close()
			if len(rooms) != 1001 || rooms["new"] != occ(1, 0) || rooms[room(i)] != occ(1, 1) {
				require.Fail(t, "a change was missed", "%d rooms, %+v, %+v", len(rooms), rooms["new"], rooms[room(i)])
			}
			must(t, e.Leave("new"), e.Exit(room(i), "c"))
			synctest.Wait()
		}
	})
}

func TestWatch_ConcurrentNext(t *testing.T) {
	bubble(t, "each change is returned to one caller", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		w := watch(t, e)
		const rooms = 9000
		var mu sync.Mutex
		times, last := map[string]int{}, byRoom{}
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for {
					batch, err := w.Next(context.Background())
					if err != nil {
						return
					}
					mu.Lock()
					for _, ev := range batch {
						times[ev.Room]++
						last[ev.Room] = ev.Occupancy
					}
					mu.Unlock()
				}
			})
		}
		synctest.Wait()
		for i := range rooms {
			must(t, e.Join(fmt.Sprint(i)))
		}
		synctest.Wait()
		w.Close()
		readers.Wait()
		require.Equal(t, rooms, len(times))
		for room, n := range times {
			if n != 1 || last[room] != occ(1, 0) {
				require.Fail(t, "wrong events", "%s %d times, last %+v", room, n, last[room])
			}
		}
	})
	bubble(t, "a canceled call loses no change", func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		ctx, cancel := context.WithCancel(context.Background())
		batches, canceled := make(chan []occupancy.RoomEvent, 1), make(chan error, 1)
		go func() { _, err := w.Next(ctx); canceled <- err }()
		go func() { batch, _ := w.Next(context.Background()); batches <- batch }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-canceled, context.Canceled)
		must(t, e.Join("r"))
		require.Equal(t, occ(1, 0), (<-batches)[0].Occupancy)
	})
}

func TestWatch_SeveralWatchers(t *testing.T) {
	bubble(t, "are independent", func(t *testing.T) {
		e := newEngine(t)
		first, second := watch(t, e), watch(t, e)
		must(t, e.Join("a"))
		time.Sleep(2 * interval)
		require.Equal(t, 2, e.Stats().Watchers)
		first.Close()
		first.Close()
		require.Equal(t, 1, e.Stats().Watchers)
		third := watch(t, e)
		must(t, e.Leave("a"))
		time.Sleep(2 * interval)
		second.Close()
		fourth := watch(t, e)
		must(t, e.Join("b"))
		time.Sleep(2 * interval)
		wantRooms(t, third, byRoom{"a": {}, "b": occ(1, 0)})
		wantRooms(t, fourth, byRoom{"b": occ(1, 0)})
		require.Equal(t, 2, e.Stats().Watchers)
	})
	bubble(t, "closed before the first rooms are read", func(t *testing.T) {
		e := newEngine(t)
		for i := range 5000 {
			must(t, e.Join(fmt.Sprint(i)))
		}
		time.Sleep(2 * interval)
		first, second := watch(t, e), watch(t, e)
		require.Equal(t, 4096, len(poll(t, first)))
		first.Close()
		for i := range 5000 {
			must(t, e.Leave(fmt.Sprint(i)))
		}
		must(t, e.Join("new"))
		time.Sleep(2 * interval)
		rooms, events := readAll(t, second)
		require.Equal(t, len(rooms), events)
		require.Equal(t, occ(1, 0), rooms["new"])
		delete(rooms, "new")
		for _, o := range rooms {
			require.Equal(t, occ(0, 0), o)
		}
	})
}
