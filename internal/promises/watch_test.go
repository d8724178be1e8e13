package promises_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestWatch_FirstBatchesAreTheRoomsThatAreNotEmpty(t *testing.T) {
	bubble(t, "no room", func(t *testing.T) {
		e := newEngine(t)
		wantRooms(t, watch(t, e), byRoom{})
		s := subscribe(t, e, "subscribed") // an empty room
		wantRooms(t, watch(t, e), byRoom{})
		s.Unsubscribe()
		wantRooms(t, watch(t, e), byRoom{})
		unread := watch(t, e)
		must(t, e.Join("gone"))
		time.Sleep(2 * interval)
		must(t, e.Leave("gone"))
		time.Sleep(2 * interval)
		wantRooms(t, watch(t, e), byRoom{})
		wantRooms(t, unread, byRoom{}) // the room was not there when it last read, and is not now
	})
	for name, pause := range map[string]time.Duration{"immediately": 0, "within the interval": interval / 2, "after the interval": 3 * interval} {
		bubble(t, "with their counts, "+name, func(t *testing.T) {
			e := newEngine(t)
			node := remote(t, e, "node")
			must(t, e.Join("a"), e.Join("a"), e.Enter("b", "c"), node.Set(part("c", occ(7, 3))),
				e.Join("d"), node.Set(part("d", occ(1, 1))))
			s := subscribe(t, e, "a")
			time.Sleep(pause)
			w, local := watch(t, e), watchLocal(t, e)
			wantRooms(t, w, byRoom{"a": occ(2, 0), "b": occ(0, 1), "c": occ(7, 3), "d": occ(2, 1)})
			wantRooms(t, local, byRoom{"a": occ(2, 0), "b": occ(0, 1), "d": occ(1, 0)})
			time.Sleep(3 * interval)
			wantRooms(t, w, byRoom{})
			wantRooms(t, local, byRoom{})
			require.Equal(t, occ(2, 0), receive(t, s).Occupancy)
		})
	}
	bubble(t, "with pending changes", func(t *testing.T) {
		e := newEngine(t)
		subscribe(t, e, "subscribed")
		rooms := []string{"subscribed", "plain"}
		for _, room := range rooms {
			must(t, e.Join(room))
		}
		synctest.Wait()
		for _, room := range rooms {
			must(t, e.Join(room), e.Enter(room, "c")) // pending
		}
		synctest.Wait()
		want := byRoom{"subscribed": occ(2, 1), "plain": occ(2, 1)}
		w := watch(t, e)
		wantRooms(t, w, want)
		time.Sleep(2 * interval)
		wantRooms(t, w, byRoom{})
	})
	bubble(t, "with changes between Watch and Next", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("same"), e.Join("more"), e.Join("less"))
		time.Sleep(2 * interval)
		w := watch(t, e)
		must(t, e.Join("more"), e.Join("new"), e.Leave("less"))
		wantRooms(t, w, byRoom{"same": occ(1, 0), "more": occ(2, 0), "new": occ(1, 0), "less": occ(0, 0)})
	})
}

func TestWatch_EachChangedRoomOnceWithItsNewestValue(t *testing.T) {
	bubble(t, "at the speed of the reader", func(t *testing.T) {
		e := newEngine(t)
		fast, slow := watch(t, e), watch(t, e)
		for i := range 10 {
			must(t, e.Join("a"), e.Join("b"), e.Enter("b", "c"))
			time.Sleep(interval)
			wantRooms(t, fast, byRoom{"a": occ(i+1, 0), "b": occ(i+1, i+1)})
		}
		must(t, e.Join("c"))
		wantRooms(t, slow, byRoom{"a": occ(10, 0), "b": occ(10, 10), "c": occ(1, 0)})
		wantRooms(t, fast, byRoom{"c": occ(1, 0)})
		wantRooms(t, slow, byRoom{})
	})
	bubble(t, "immediately after a quiet interval, then at the end of the interval", func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		must(t, e.Join("r"))
		wantRooms(t, w, byRoom{"r": occ(1, 0)})
		must(t, e.Join("r"))
		time.Sleep(interval - 1)
		wantRooms(t, w, byRoom{})
		time.Sleep(time.Nanosecond)
		wantRooms(t, w, byRoom{"r": occ(2, 0)})
	})
	bubble(t, "zero for an emptied room", func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		node := remote(t, e, "node")
		must(t, e.Join("a"), e.Enter("b", "c"), node.Set(part("c", occ(1, 1))))
		wantRooms(t, w, byRoom{"a": occ(1, 0), "b": occ(0, 1), "c": occ(1, 1)})
		must(t, e.Leave("a"), e.Exit("b", "c"), node.Set(part("c", occ(0, 0))))
		time.Sleep(interval)
		wantRooms(t, w, byRoom{"a": {}, "b": {}, "c": {}})
		time.Sleep(3 * interval)
		wantRooms(t, w, byRoom{})
	})
	bubble(t, "once if the room ended and began again between two calls of Next", func(t *testing.T) {
		e := newEngine(t)
		read, unread := watch(t, e), watch(t, e)
		for i := range 5 {
			must(t, e.Join("r"), e.Join("r"))
			time.Sleep(2 * interval)
			must(t, e.Leave("r"), e.Leave("r"))
			time.Sleep(2 * interval) // the room ends
			require.Zero(t, e.Stats().Rooms)
			for range i + 1 {
				must(t, e.Join("r"))
			}
			time.Sleep(2 * interval)
			wantRooms(t, read, byRoom{"r": occ(i+1, 0)})
			for range i + 1 {
				must(t, e.Leave("r"))
			}
			time.Sleep(2 * interval)
			wantRooms(t, read, byRoom{"r": {}})
		}
		wantRooms(t, unread, byRoom{})
	})
	bubble(t, "nothing for a change that was undone", func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		must(t, e.Join("r"))
		wantRooms(t, w, byRoom{"r": occ(1, 0)})
		must(t, e.Join("r"), e.Leave("r"))
		time.Sleep(2 * interval)
		wantRooms(t, w, byRoom{})
	})
	bubble(t, "with an increasing Version", func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		var last uint64
		for i := range 12 {
			switch i {
			case 3:
				subscribe(t, e, "r").Unsubscribe()
			case 6:
				must(t, remote(t, e, "node").Set(part("r", occ(5, 5))))
			default:
				if i%2 == 0 {
					must(t, e.Join("r"))
				} else {
					must(t, e.Leave("r"))
				}
			}
			time.Sleep(2 * interval)
			if i == 3 {
				continue
			}
			batch := poll(t, w)
			require.Len(t, batch, 1)
			require.Greater(t, batch[0].Version, last)
			last = batch[0].Version
		}
	})
}

func TestWatch_BatchHasAtMost4096Events(t *testing.T) {
	const rooms, limit = 10_000, 4096
	// take reads an event of each room, in as few batches as possible.
	take := func(t *testing.T, w *occupancy.Watcher, want occupancy.Occupancy) {
		t.Helper()
		seen := map[string]bool{}
		for _, n := range []int{limit, limit, rooms - 2*limit} {
			batch := poll(t, w)
			require.Equal(t, n, len(batch))
			for _, ev := range batch {
				require.False(t, seen[ev.Room])
				seen[ev.Room] = true
				if ev.Occupancy != want {
					require.Equal(t, want, ev.Occupancy)
				}
			}
		}
		require.Nil(t, poll(t, w))
	}
	bubble(t, "each batch but the last is full", func(t *testing.T) {
		e := newEngine(t)
		early := watch(t, e)
		for i := range rooms {
			must(t, e.Join(room(i)))
		}
		take(t, early, occ(1, 0))
		take(t, watch(t, e), occ(1, 0))
		time.Sleep(2 * interval)
		late := watch(t, e)
		take(t, late, occ(1, 0))
		for i := range rooms {
			must(t, e.Enter(room(i), "c"))
		}
		take(t, early, occ(1, 1))
		take(t, late, occ(1, 1))
		time.Sleep(2 * interval)
		for i := range rooms {
			must(t, e.Leave(room(i)), e.Exit(room(i), "c"))
		}
		time.Sleep(2 * interval)
		take(t, early, occ(0, 0))
	})
	bubble(t, "the caller owns the batch", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("a"))
		w := watch(t, e)
		batch := poll(t, w)
		clear(batch)
		must(t, e.Join("b"))
		require.Equal(t, "b", poll(t, w)[0].Room)
		require.Equal(t, occupancy.RoomEvent{}, batch[0])
	})
}

func TestWatch_WithPrefix(t *testing.T) {
	bubble(t, "first batch and later changes", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("a:1"), e.Join("b:1"), e.Join("a"), e.Join("ä:1"))
		a, ab, none, all := watch(t, e, occupancy.WithPrefix("a:")), watch(t, e, occupancy.WithPrefix("a")),
			watch(t, e, occupancy.WithPrefix("nowhere")), watch(t, e, occupancy.WithPrefix(""))
		wantRooms(t, a, byRoom{"a:1": occ(1, 0)})
		wantRooms(t, ab, byRoom{"a:1": occ(1, 0), "a": occ(1, 0)})
		wantRooms(t, none, byRoom{})
		wantRooms(t, all, byRoom{"a:1": occ(1, 0), "b:1": occ(1, 0), "a": occ(1, 0), "ä:1": occ(1, 0)})
		must(t, e.Join("a:2"), e.Join("b:2"), e.Enter("a", "c"), e.Leave("b:1"))
		time.Sleep(interval)
		wantRooms(t, a, byRoom{"a:2": occ(1, 0)})
		wantRooms(t, ab, byRoom{"a:2": occ(1, 0), "a": occ(1, 1)})
		wantRooms(t, none, byRoom{})
		wantRooms(t, all, byRoom{"a:2": occ(1, 0), "b:2": occ(1, 0), "a": occ(1, 1), "b:1": {}})
	})
	bubble(t, "one room among very many", func(t *testing.T) {
		e := newEngine(t)
		early := watch(t, e, occupancy.WithPrefix("needle"))
		for i := range 40_000 {
			must(t, e.Join(fmt.Sprint("hay", i)))
		}
		must(t, e.Join("needle"))
		for _, w := range []*occupancy.Watcher{early, watch(t, e, occupancy.WithPrefix("needle"))} {
			batch := poll(t, w)
			require.Len(t, batch, 1)
			require.Equal(t, "needle", batch[0].Room)
			require.Nil(t, poll(t, w))
		}
	})
}

func TestWatch_LinkWatcherReturnsOnlyThisProcess(t *testing.T) {
	setups := map[string]func(t *testing.T, e *occupancy.Engine){
		"a new room":             func(*testing.T, *occupancy.Engine) {},
		"a subscribed room":      func(t *testing.T, e *occupancy.Engine) { subscribe(t, e, "r") },
		"a room of another node": func(t *testing.T, e *occupancy.Engine) { must(t, remote(t, e, "other").Set(part("r", occ(0, 2)))) },
	}
	for name, setup := range setups {
		bubble(t, name, func(t *testing.T) {
			e := newEngine(t)
			setup(t, e)
			before := e.Current("r")
			plus := func(c, m int) occupancy.Occupancy {
				return occ(before.Connections+c, before.PresenceMembers+m)
			}
			total, local := watch(t, e), watchLocal(t, e)
			readAll(t, total)
			wantRooms(t, local, byRoom{})
			node := remote(t, e, "node")
			quiet := func() { time.Sleep(2 * interval) }

			must(t, node.Set(part("r", occ(10, 5))))
			quiet()
			wantRooms(t, total, byRoom{"r": plus(10, 5)})
			wantRooms(t, local, byRoom{})

			must(t, e.Join("r"))
			quiet()
			wantRooms(t, total, byRoom{"r": plus(11, 5)})
			wantRooms(t, local, byRoom{"r": occ(1, 0)})

			must(t, node.Set(part("r", occ(20, 5))), node.Set(part("elsewhere", occ(1, 1))))
			quiet()
			wantRooms(t, total, byRoom{"r": plus(21, 5), "elsewhere": occ(1, 1)})
			wantRooms(t, local, byRoom{})

			// A connection that moves from node to node leaves the total as it is.
			must(t, node.Set(part("r", occ(19, 5))), e.Join("r"))
			quiet()
			rooms, _ := readAll(t, total) // an event between the two calls is possible
			require.Subset(t, byRoom{"r": plus(21, 5)}, rooms)
			wantRooms(t, local, byRoom{"r": occ(2, 0)})

			must(t, e.Leave("r"), e.Leave("r"))
			quiet()
			wantRooms(t, total, byRoom{"r": plus(19, 5)})
			wantRooms(t, local, byRoom{"r": {}})

			node.Close()
			quiet()
			wantRooms(t, total, byRoom{"r": plus(0, 0), "elsewhere": {}})
			wantRooms(t, local, byRoom{})
			wantRooms(t, watchLocal(t, e), byRoom{})
		})
	}
}

func TestWatch_NextBlocks(t *testing.T) {
	bubble(t, "until a room changes", func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		begin := time.Now()
		time.AfterFunc(time.Hour, func() { _ = e.Join("r") })
		batch, err := w.Next(context.Background())
		must(t, err)
		require.Equal(t, time.Hour, time.Since(begin))
		require.Equal(t, occ(1, 0), batch[0].Occupancy)
	})
	bubble(t, "until the end of the interval, for a pending change", func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		subscribe(t, e, "subscribed")
		for _, name := range []string{"plain", "subscribed"} {
			must(t, e.Join(name))
			wantRooms(t, w, byRoom{name: occ(1, 0)})
			begin := time.Now()
			time.AfterFunc(interval/2, func() { _ = e.Join(name) })
			batch, err := w.Next(t.Context())
			must(t, err)
			require.Equal(t, interval, time.Since(begin))
			require.Equal(t, occ(2, 0), batch[0].Occupancy)
		}
	})
	bubble(t, "until the context is done", func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		begin := time.Now()
		_, err := w.Next(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(begin))
		must(t, e.Join("r"))
		synctest.Wait()
		_, err = w.Next(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		wantRooms(t, w, byRoom{"r": occ(1, 0)}) // the change is not lost
	})
	for name, end := range map[string]func(*occupancy.Engine, *occupancy.Watcher){
		"of the watcher": func(_ *occupancy.Engine, w *occupancy.Watcher) { _ = w.Close() },
		"of the engine":  func(e *occupancy.Engine, _ *occupancy.Watcher) { _ = e.Close() },
	} {
		bubble(t, "until Close "+name, func(t *testing.T) {
			e := newEngine(t)
			w := watch(t, e)
			errs := make(chan error, 3)
			for range cap(errs) {
				go func() { _, err := w.Next(context.Background()); errs <- err }()
			}
			synctest.Wait()
			require.Empty(t, errs)
			end(e, w)
			for range cap(errs) {
				require.ErrorIs(t, <-errs, occupancy.ErrClosed)
			}
			_, err := w.Next(context.Background())
			require.ErrorIs(t, err, occupancy.ErrClosed)
			w.Close()
			require.Zero(t, e.Stats().Watchers)
		})
	}
}
