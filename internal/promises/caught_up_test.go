package promises_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// catchUp calls Next until CaughtUp, and returns what the watcher returned until then. It
// requires that no call of Next would block before that.
func catchUp(t testing.TB, w *occupancy.Watcher) byRoom {
	t.Helper()
	rooms := byRoom{}
	for !w.CaughtUp() {
		batch := poll(t, w)
		require.NotNil(t, batch, "Next blocks although the watcher has not caught up")
		for _, ev := range batch {
			rooms[ev.Room] = ev.Occupancy
		}
	}
	return rooms
}

func TestCaughtUp_WhenEveryRoomHasBeenReturned(t *testing.T) {
	bubble(t, "no room", func(t *testing.T) {
		e := newEngine(t)
		require.True(t, watch(t, e).CaughtUp())
		require.True(t, watchLocal(t, e).CaughtUp())
	})
	for name, pause := range map[string]time.Duration{"quiet rooms": 3 * interval, "rooms that have just changed": 0} {
		bubble(t, name, func(t *testing.T) {
			e := newEngine(t)
			must(t, e.Join("a"), e.Enter("b", "x"), remote(t, e, "node").Set(part("c", occ(1, 1))))
			time.Sleep(pause)
			w, local := watch(t, e), watchLocal(t, e)
			require.False(t, w.CaughtUp())
			require.False(t, local.CaughtUp())
			require.Equal(t, byRoom{"a": occ(1, 0), "b": occ(0, 1), "c": occ(1, 1)}, catchUp(t, w))
			require.False(t, local.CaughtUp(), "another watcher")
			require.Equal(t, byRoom{"a": occ(1, 0), "b": occ(0, 1)}, catchUp(t, local))
		})
	}
	bubble(t, "more than one batch", func(t *testing.T) {
		const rooms = 10_000
		e := newEngine(t)
		for i := range rooms {
			must(t, e.Join(room(i)))
		}
		time.Sleep(2 * interval)
		w := watch(t, e)
		seen := 0
		for _, n := range []int{4096, 4096, rooms - 2*4096} {
			require.False(t, w.CaughtUp())
			seen += len(poll(t, w))
			require.Equal(t, n, min(n, seen))
		}
		require.Equal(t, rooms, seen)
		require.True(t, w.CaughtUp())
	})
	bubble(t, "more than one batch of rooms that have just changed", func(t *testing.T) {
		const rooms = 10_000
		e := newEngine(t)
		watch(t, e) // so that the changes wait for the interval
		for i := range rooms {
			must(t, e.Join(room(i)))
		}
		synctest.Wait()
		for i := range rooms {
			must(t, e.Join(room(i)))
		}
		w := watch(t, e)
		all := catchUp(t, w)
		require.Len(t, all, rooms)
		for name, o := range all {
			if o != occ(2, 0) {
				require.Equal(t, occ(2, 0), o, name)
			}
		}
	})
}

func TestCaughtUp_WhileRoomsChange(t *testing.T) {
	const rooms = 9000
	setup := func(t *testing.T) (*occupancy.Engine, *occupancy.Watcher) {
		e := newEngine(t)
		for i := range rooms {
			must(t, e.Join(room(i)))
		}
		time.Sleep(2 * interval)
		return e, watch(t, e)
	}
	bubble(t, "changes before the first Next", func(t *testing.T) {
		e, w := setup(t)
		for i := range rooms {
			must(t, e.Join(room(i)))
		}
		time.Sleep(interval)
		require.False(t, w.CaughtUp())
		all := catchUp(t, w)
		require.Len(t, all, rooms)
		for name, o := range all {
			if o != occ(2, 0) {
				require.Equal(t, occ(2, 0), o, name)
			}
		}
	})
	bubble(t, "changes of rooms that are not read yet", func(t *testing.T) {
		e, w := setup(t)
		first := poll(t, w)
		require.Len(t, first, 4096)
		read := map[string]bool{}
		for _, ev := range first {
			read[ev.Room] = true
		}
		for i := range rooms {
			if !read[room(i)] {
				must(t, e.Join(room(i)))
			}
		}
		synctest.Wait()
		require.False(t, w.CaughtUp())
		all := catchUp(t, w)
		require.Len(t, all, rooms-4096)
		for name, o := range all {
			if o != occ(2, 0) {
				require.Equal(t, occ(2, 0), o, name)
			}
		}
	})
	bubble(t, "rooms that empty before they are read", func(t *testing.T) {
		e, w := setup(t)
		must(t, e.Join("stays"))
		time.Sleep(2 * interval)
		late := watch(t, e)
		poll(t, w)
		for i := range rooms {
			must(t, e.Leave(room(i)))
		}
		time.Sleep(2 * interval)
		for _, w := range []*occupancy.Watcher{w, late} {
			require.False(t, w.CaughtUp())
			all := catchUp(t, w)
			require.Equal(t, occ(1, 0), all["stays"])
			for name, o := range all {
				if name != "stays" && o != occ(0, 0) {
					require.Equal(t, occ(0, 0), o, name)
				}
			}
			require.Nil(t, poll(t, w))
		}
	})
	bubble(t, "every room is emptied and dropped before the first Next", func(t *testing.T) {
		e, w := setup(t)
		for i := range rooms {
			must(t, e.Leave(room(i)))
		}
		time.Sleep(3 * interval)
		catchUp(t, w)
		require.Nil(t, poll(t, w))
		wantRoomCount(t, e, 0)
	})
	bubble(t, "a room that ends after CaughtUp reported false", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("a")) // not published when Watch is called
		w := watch(t, e)
		require.False(t, w.CaughtUp())
		must(t, e.Leave("a"))
		time.Sleep(3 * interval)
		require.NotNil(t, poll(t, w), "CaughtUp reported that Next has a room to return")
		require.True(t, w.CaughtUp())
		require.Nil(t, poll(t, w))
	})
	bubble(t, "a room that is read and changes again does not undo it", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("a"))
		time.Sleep(2 * interval)
		w := watch(t, e)
		require.Equal(t, byRoom{"a": occ(1, 0)}, catchUp(t, w))
		must(t, e.Join("a"), e.Join("new"))
		time.Sleep(interval)
		require.True(t, w.CaughtUp())
		wantRooms(t, w, byRoom{"a": occ(2, 0), "new": occ(1, 0)})
		require.True(t, w.CaughtUp())
	})
	bubble(t, "a canceled Next is not progress", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("a"))
		w := watch(t, e)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := w.Next(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, w.CaughtUp())
		require.Equal(t, byRoom{"a": occ(1, 0)}, catchUp(t, w))
	})
}

func TestCaughtUp_WithPrefix(t *testing.T) {
	for name, pause := range map[string]time.Duration{"quiet rooms": 3 * interval, "rooms that have just changed": 0} {
		bubble(t, name, func(t *testing.T) {
			e := newEngine(t)
			const others = 9000
			early := watch(t, e, occupancy.WithPrefix("a/"))
			require.True(t, early.CaughtUp(), "no room when Watch was called")
			for i := range others {
				must(t, e.Join(room(i)))
			}
			must(t, e.Join("a/1"), e.Join("a/2"), e.Join("b/1"))
			time.Sleep(pause)
			w := watch(t, e, occupancy.WithPrefix("a/"))
			require.False(t, w.CaughtUp())
			require.Equal(t, byRoom{"a/1": occ(1, 0), "a/2": occ(1, 0)}, catchUp(t, w))
			none := watch(t, e, occupancy.WithPrefix("nowhere"))
			require.True(t, none.CaughtUp())
			require.True(t, early.CaughtUp())
			wantRooms(t, early, byRoom{"a/1": occ(1, 0), "a/2": occ(1, 0)})
		})
	}
	bubble(t, "changes of other rooms do not delay it", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("a/1"), e.Join("b/1"))
		time.Sleep(2 * interval)
		w := watch(t, e, occupancy.WithPrefix("a/"))
		must(t, e.Join("b/1"))
		time.Sleep(interval)
		require.Equal(t, byRoom{"a/1": occ(1, 0)}, catchUp(t, w))
	})
}

func TestCaughtUp_ClosedWatcher(t *testing.T) {
	bubble(t, "can be asked without a deadlock", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("a"))
		w, other := watch(t, e), watch(t, e)
		must(t, w.Close())
		w.CaughtUp()
		must(t, e.Close())
		w.CaughtUp()
		other.CaughtUp()
	})
}

// Once CaughtUp reports true, a cache of all batches contains every room that existed
// when Watch was called, whatever hooks are running.
func TestCaughtUp_CacheIsCompleteUnderLoad(t *testing.T) {
	const rooms, stay = 6000, 4500
	e := newEngine(t, occupancy.WithInterval(time.Millisecond))
	for i := range rooms {
		must(t, e.Join(room(i)))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for i := g; ; i = (i + 7) % rooms {
				select {
				case <-stop:
					return
				default:
				}
				first, second := e.Join, e.Leave
				if i >= stay { // these rooms end and begin again
					first, second = e.Leave, e.Join
				}
				if i >= stay && i%2 != g {
					continue // of the other goroutine
				}
				if first(room(i)) != nil || second(room(i)) != nil {
					t.Error("refused")
					return
				}
			}
		})
	}
	for range 10 {
		w := watch(t, e)
		cache := byRoom{}
		for !w.CaughtUp() {
			batch, err := w.Next(t.Context())
			must(t, err)
			for _, ev := range batch {
				cache[ev.Room] = ev.Occupancy
			}
		}
		for i := range stay {
			if o := cache[room(i)]; o.Connections < 1 || o.Connections > 3 {
				require.Fail(t, "the cache is incomplete", "%s: %+v", room(i), o)
			}
		}
		must(t, w.Close())
	}
	close(stop)
	wg.Wait()
}

func TestCaughtUp_NotByClosingTheWatcher(t *testing.T) {
	e := newEngine(t)
	require.NoError(t, e.Join("r"))
	for _, opts := range [][]occupancy.WatchOption{nil, {occupancy.Rooms("r")}} {
		w, err := e.Watch(opts...)
		require.NoError(t, err)
		require.False(t, w.CaughtUp())
		require.NoError(t, w.Close())
		require.False(t, w.CaughtUp(), "the room was not returned")
	}
}
