package promises_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func watchRooms(t testing.TB, e *occupancy.Engine, names ...string) *occupancy.Watcher {
	t.Helper()
	return watch(t, e, occupancy.Rooms(names...))
}

func TestWatchRooms_FirstBatchHasEachRoomAlsoEmptyOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		node := remote(t, e, "node")
		must(t, e.Join("a"), e.Join("other"), e.Enter("b", "c"), node.Set(part("b", occ(3, 1))))
		s := subscribe(t, e, "subscribed")
		for _, pause := range []time.Duration{0, interval / 2, 3 * interval} {
			time.Sleep(pause)
			w := watchRooms(t, e, "a", "b", "none", "subscribed", "a", "none") // duplicates
			require.False(t, w.CaughtUp())
			wantRooms(t, w, byRoom{"a": occ(1, 0), "b": occ(3, 2), "none": {}, "subscribed": {}})
			require.True(t, w.CaughtUp())
			wantRooms(t, w, byRoom{})
			must(t, w.Close())
		}
		s.Unsubscribe()
		wantRooms(t, watch(t, e, occupancy.Rooms("x"), occupancy.Rooms("y")), byRoom{"x": {}, "y": {}})
		wantRooms(t, watchRooms(t, e), byRoom{}) // no room
	})
}

func TestWatchRooms_DoesNotMakeRoomsExist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(1))
		w := watchRooms(t, e, "a", "b", "c")
		must(t, w.Add("d", "e"))
		wantRoomCount(t, e, 0)
		for range e.All() {
			t.Fatal("a room is not empty")
		}
		require.Equal(t, 1, e.Stats().Watchers)
		must(t, e.Join("a"))
		require.ErrorIs(t, e.Join("b"), occupancy.ErrTooManyRooms)
		must(t, e.Leave("a"))
		time.Sleep(2 * interval)
		wantRoomCount(t, e, 0)
		must(t, w.Close(), w.Close())
		require.Zero(t, e.Stats().Watchers)
	})
}

func TestWatchRooms_ReturnsTheChangesOfSelectedRoomsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		w := watchRooms(t, e, "a", "b")
		wantRooms(t, w, byRoom{"a": {}, "b": {}})
		for range 3 { // the rooms begin and end
			must(t, e.Join("a"))
			synctest.Wait()
			must(t, e.Join("a"), e.Join("other"))
			wantRooms(t, w, byRoom{"a": occ(1, 0)}) // published immediately
			time.Sleep(interval)
			wantRooms(t, w, byRoom{"a": occ(2, 0)}) // published at the end of the interval
			must(t, e.Leave("a"), e.Leave("a"), e.Leave("other"), e.Enter("b", "c"))
			time.Sleep(2 * interval)
			wantRooms(t, w, byRoom{"a": {}, "b": occ(0, 1)})
			time.Sleep(time.Hour)
			must(t, e.Exit("b", "c"))
			time.Sleep(2 * interval)
			wantRooms(t, w, byRoom{"b": {}})
		}
		node := remote(t, e, "node")
		must(t, node.Set(part("a", occ(5, 5)), part("other", occ(1, 1))))
		wantRooms(t, w, byRoom{"a": occ(5, 5)})
	})
}

func TestWatchRooms_AddAndRemoveChangeTheSelection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("a"), e.Join("b"))
		time.Sleep(2 * interval)
		must(t, e.Join("b")) // Stats does not have it yet, as nobody listens
		w := watchRooms(t, e, "a")
		wantRooms(t, w, byRoom{"a": occ(1, 0)})
		must(t, w.Add("b", "none", "b"), w.Add(), w.Add("a"))
		require.True(t, w.CaughtUp(), "rooms that Add selected do not count")
		wantRooms(t, w, byRoom{"a": occ(1, 0), "b": occ(2, 0), "none": {}}) // a again
		time.Sleep(2 * interval)
		must(t, e.Join("b"), e.Join("none"))
		wantRooms(t, w, byRoom{"b": occ(3, 0), "none": occ(1, 0)})

		time.Sleep(2 * interval)
		must(t, e.Join("b"), e.Join("a"))
		synctest.Wait()
		w.Remove("b", "unknown", "\xff", "none", "none") // with a change that is not read
		wantRooms(t, w, byRoom{"a": occ(2, 0)})
		must(t, e.Join("b"))
		time.Sleep(2 * interval)
		wantRooms(t, w, byRoom{})

		first := watchRooms(t, e, "a", "b")
		first.Remove("a", "b")
		require.True(t, first.CaughtUp())
		wantRooms(t, first, byRoom{})
	})
}

// Add wakes a Next that is blocked.
func TestWatchRooms_AddWakesNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		w := watchRooms(t, e)
		got := make(chan []occupancy.RoomEvent)
		go func() {
			events, err := w.Next(context.Background())
			must(t, err)
			got <- events
		}()
		synctest.Wait()
		must(t, w.Add("a"))
		require.Equal(t, "a", (<-got)[0].Room)
	})
}

func TestWatchRooms_InvalidNameChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		for _, bad := range []string{"", "\xff", strings.Repeat("x", 1025)} {
			_, err := e.Watch(occupancy.Rooms("good", bad))
			require.ErrorIs(t, err, occupancy.ErrInvalidRoom)
			require.Zero(t, e.Stats().Watchers)

			w := watchRooms(t, e, "a")
			wantRooms(t, w, byRoom{"a": {}})
			require.ErrorIs(t, w.Add("good", bad), occupancy.ErrInvalidRoom)
			wantRooms(t, w, byRoom{})
			must(t, e.Join("good"))
			time.Sleep(2 * interval)
			wantRooms(t, w, byRoom{})
			w.Remove(bad)
			must(t, w.Close(), e.Leave("good"))
		}
		time.Sleep(time.Second)
		// A watcher of all rooms has no selection.
		all := watch(t, e)
		must(t, all.Add("a"))
		all.Remove("a")
		wantRooms(t, all, byRoom{})
	})
}

func TestWatchRooms_MoreRoomsThanABatchHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rooms = 2*4096 + 7
		e := newEngine(t)
		want, names := byRoom{}, []string{}
		for i := range rooms {
			names = append(names, room(i))
			if i%2 == 0 {
				must(t, e.Join(room(i)))
			}
			want[room(i)] = e.Current(room(i))
		}
		w := watchRooms(t, e, names...)
		require.Len(t, poll(t, w), 4096)
		require.False(t, w.CaughtUp())
		w.Remove(names[0])
		must(t, w.Add(names[0]), w.Close())

		w = watchRooms(t, e, names...)
		wantRooms(t, w, want)
		require.True(t, w.CaughtUp())
		time.Sleep(time.Second)
		for _, name := range names {
			must(t, e.Join(name))
			want[name] = e.Current(name)
		}
		time.Sleep(time.Second)
		wantRooms(t, w, want)
		w.Remove(names...)
		wantRooms(t, w, byRoom{})
		must(t, w.Add(names...))
		wantRooms(t, w, want)
	})
}

func TestWatchRooms_ManyWatchersOfOneRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		var all []*occupancy.Watcher
		for range 100 {
			w := watchRooms(t, e, "a", "b")
			wantRooms(t, w, byRoom{"a": {}, "b": {}})
			all = append(all, w)
		}
		for round := 1; len(all) > 0; round++ {
			must(t, e.Join("a"))
			time.Sleep(2 * interval)
			for i, w := range all {
				if i < 3 || i == len(all)-1 {
					wantRooms(t, w, byRoom{"a": occ(round, 0)})
				}
			}
			must(t, all[len(all)/2].Close())
			all = slices.Delete(all, len(all)/2, len(all)/2+1)
			if len(all) < 95 {
				for _, w := range all[min(3, len(all)):] {
					must(t, w.Close())
				}
				all = all[:min(3, len(all))]
			}
		}
		require.Zero(t, e.Stats().Watchers)
	})
}

func TestWatchRooms_CloseEndsNextAndAdd(t *testing.T) {
	for name, end := range map[string]func(*occupancy.Engine, *occupancy.Watcher) error{
		"watcher": func(_ *occupancy.Engine, w *occupancy.Watcher) error { return w.Close() },
		"engine":  func(e *occupancy.Engine, _ *occupancy.Watcher) error { return e.Close() },
	} {
		bubble(t, name, func(t *testing.T) {
			e := newEngine(t)
			w := watchRooms(t, e, "a")
			wantRooms(t, w, byRoom{"a": {}})
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					_, err := w.Next(context.Background())
					require.ErrorIs(t, err, occupancy.ErrClosed)
				})
			}
			synctest.Wait()
			must(t, end(e, w))
			wg.Wait()
			require.ErrorIs(t, w.Add("b"), occupancy.ErrClosed)
			require.ErrorIs(t, w.Add("\xff"), occupancy.ErrClosed)
			w.Remove("a")
			must(t, w.Close(), e.Close())
			_, err := e.Watch(occupancy.Rooms("a"))
			require.ErrorIs(t, err, occupancy.ErrClosed)
			require.True(t, w.CaughtUp())
		})
	}
}

// Two callers of Next share a watcher. Each change is returned to one of them, both return,
// and one that is canceled takes no change with it.
func TestWatch_ConcurrentCallersOfNext(t *testing.T) {
	for name, opts := range map[string][]occupancy.WatchOption{
		"all": nil, "prefix": {occupancy.WithPrefix("a")}, "selected": {occupancy.Rooms("a")},
	} {
		bubble(t, name, func(t *testing.T) {
			e := newEngine(t)
			w := watch(t, e, opts...)
			readAll(t, w)
			ctx, cancel := context.WithCancel(context.Background())
			got, canceled := make(chan occupancy.Occupancy, 10), make(chan error, 1)
			next := func() {
				events, err := w.Next(context.Background())
				must(t, err)
				got <- events[0].Occupancy
			}
			go func() {
				_, err := w.Next(ctx)
				canceled <- err
			}()
			synctest.Wait()
			go next()
			synctest.Wait()
			go next()
			synctest.Wait()
			cancel() // the one that waits for a change
			require.ErrorIs(t, <-canceled, context.Canceled)
			must(t, e.Join("a"))
			require.Equal(t, occ(1, 0), <-got)
			synctest.Wait()
			require.Empty(t, got, "one change was returned to two callers")
			time.Sleep(2 * interval)
			must(t, e.Join("a"))
			require.Equal(t, occ(2, 0), <-got)
		})
	}
}
