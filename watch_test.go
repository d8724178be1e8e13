package occupancy_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestPromise6_FirstBatchesAreTheRoomsThatAreNotEmpty(t *testing.T) {
	bubble(t, "of an engine with none", func(t *testing.T) {
		e := start(t)
		hears(t, watch(t, e), byRoom{})
		s := subscribe(t, e, "held") // a room, but an empty one
		hears(t, watch(t, e), byRoom{})
		s.Unsubscribe()
		hears(t, watch(t, e), byRoom{})
		unread := watch(t, e)
		must(t, e.Join("gone"))
		time.Sleep(2 * interval)
		must(t, e.Leave("gone"))
		time.Sleep(2 * interval)
		hears(t, watch(t, e), byRoom{})
		hears(t, unread, byRoom{"gone": {}})
	})
	for name, pause := range map[string]time.Duration{"at once": 0, "in the interval": interval / 2, "after it": 3 * interval} {
		bubble(t, "with what they are, "+name, func(t *testing.T) {
			e := start(t)
			node := e.Remote("node")
			must(t, e.Join("a"), e.Join("a"), e.Enter("b"), node.Set("c", occ(7, 3)),
				e.Join("d"), node.Set("d", occ(1, 1)))
			s := subscribe(t, e, "a")
			time.Sleep(pause)
			w, local := watch(t, e), watch(t, e, occupancy.LocalOnly())
			hears(t, w, byRoom{"a": occ(2, 0), "b": occ(0, 1), "c": occ(7, 3), "d": occ(2, 1)})
			hears(t, local, byRoom{"a": occ(2, 0), "b": occ(0, 1), "d": occ(1, 0)})
			time.Sleep(3 * interval)
			hears(t, w, byRoom{})
			hears(t, local, byRoom{})
			require.Equal(t, occ(2, 0), waiting(t, s).Occupancy)
		})
	}
	bubble(t, "also while changes are held", func(t *testing.T) {
		e := start(t)
		subscribe(t, e, "subscribed")
		rooms := []string{"subscribed", "plain"}
		for _, room := range rooms {
			must(t, e.Join(room))
		}
		synctest.Wait()
		for _, room := range rooms {
			must(t, e.Join(room), e.Enter(room)) // held
		}
		synctest.Wait()
		want := byRoom{"subscribed": occ(2, 1), "plain": occ(2, 1)}
		w := watch(t, e)
		hears(t, w, want)
		time.Sleep(2 * interval)
		hears(t, w, byRoom{})
	})
	bubble(t, "with what changed between Watch and Next", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("same"), e.Join("more"), e.Join("less"))
		time.Sleep(2 * interval)
		w := watch(t, e)
		must(t, e.Join("more"), e.Join("new"), e.Leave("less"))
		hears(t, w, byRoom{"same": occ(1, 0), "more": occ(2, 0), "new": occ(1, 0), "less": occ(0, 0)})
	})
}

func TestPromise6_EachChangedRoomIsToldOnceWithItsNewestValue(t *testing.T) {
	bubble(t, "at the pace of the reader", func(t *testing.T) {
		e := start(t)
		fast, slow := watch(t, e), watch(t, e)
		for i := range 10 {
			must(t, e.Join("a"), e.Join("b"), e.Enter("b"))
			time.Sleep(interval)
			hears(t, fast, byRoom{"a": occ(i+1, 0), "b": occ(i+1, i+1)})
		}
		must(t, e.Join("c"))
		hears(t, slow, byRoom{"a": occ(10, 0), "b": occ(10, 10), "c": occ(1, 0)})
		hears(t, fast, byRoom{"c": occ(1, 0)})
		hears(t, slow, byRoom{})
	})
	bubble(t, "at once after quiet, then at the end of the interval", func(t *testing.T) {
		e := start(t)
		w := watch(t, e)
		must(t, e.Join("r"))
		hears(t, w, byRoom{"r": occ(1, 0)})
		must(t, e.Join("r"))
		time.Sleep(interval - 1)
		hears(t, w, byRoom{})
		time.Sleep(time.Nanosecond)
		hears(t, w, byRoom{"r": occ(2, 0)})
	})
	bubble(t, "zero when it emptied", func(t *testing.T) {
		e := start(t)
		w := watch(t, e)
		node := e.Remote("node")
		must(t, e.Join("a"), e.Enter("b"), node.Set("c", occ(1, 1)))
		hears(t, w, byRoom{"a": occ(1, 0), "b": occ(0, 1), "c": occ(1, 1)})
		must(t, e.Leave("a"), e.Exit("b"), node.Set("c", occ(0, 0)))
		time.Sleep(interval)
		hears(t, w, byRoom{"a": {}, "b": {}, "c": {}})
		time.Sleep(3 * interval)
		hears(t, w, byRoom{})
	})
	bubble(t, "once when it died and was reborn between two Nexts", func(t *testing.T) {
		e := start(t)
		read, unread := watch(t, e), watch(t, e)
		for i := range 5 {
			must(t, e.Join("r"), e.Join("r"))
			time.Sleep(2 * interval)
			must(t, e.Leave("r"), e.Leave("r"))
			time.Sleep(2 * interval) // quiet, and nobody is in it
			require.Zero(t, e.Stats().Rooms)
			for range i + 1 {
				must(t, e.Join("r"))
			}
			time.Sleep(2 * interval)
			hears(t, read, byRoom{"r": occ(i+1, 0)})
			for range i + 1 {
				must(t, e.Leave("r"))
			}
			time.Sleep(2 * interval)
			hears(t, read, byRoom{"r": {}})
		}
		hears(t, unread, byRoom{"r": {}})
	})
	bubble(t, "nothing when it came and went unseen", func(t *testing.T) {
		e := start(t)
		w := watch(t, e)
		must(t, e.Join("r"))
		hears(t, w, byRoom{"r": occ(1, 0)})
		must(t, e.Join("r"), e.Leave("r"))
		time.Sleep(2 * interval)
		hears(t, w, byRoom{})
	})
	bubble(t, "with a Version that grows", func(t *testing.T) {
		e := start(t)
		w := watch(t, e)
		var last uint64
		for i := range 12 {
			switch i {
			case 3:
				subscribe(t, e, "r").Unsubscribe()
			case 6:
				must(t, e.Remote("node").Set("r", occ(5, 5)))
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

func TestPromise6_ABatchIsBounded(t *testing.T) {
	const rooms, most = 10_000, 4096
	// take reads rooms events in as few batches as may be, each room once.
	take := func(t *testing.T, w *occupancy.Watcher, want occupancy.Occupancy) {
		t.Helper()
		seen := map[string]bool{}
		for _, n := range []int{most, most, rooms - 2*most} {
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
	bubble(t, "of 4096", func(t *testing.T) {
		e := start(t)
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
			must(t, e.Enter(room(i)))
		}
		take(t, early, occ(1, 1))
		take(t, late, occ(1, 1))
		time.Sleep(2 * interval)
		for i := range rooms {
			must(t, e.Leave(room(i)), e.Exit(room(i)))
		}
		time.Sleep(2 * interval)
		take(t, early, occ(0, 0))
	})
	bubble(t, "and belongs to the caller", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("a"))
		w := watch(t, e)
		batch := poll(t, w)
		clear(batch)
		must(t, e.Join("b"))
		require.Equal(t, "b", poll(t, w)[0].Room)
		require.Equal(t, occupancy.Event{}, batch[0])
	})
}

func TestPromise6_APrefixIsAllItHears(t *testing.T) {
	bubble(t, "from the first batch on", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("a:1"), e.Join("b:1"), e.Join("a"), e.Join("ä:1"))
		a, ab, none, all := watch(t, e, occupancy.WithPrefix("a:")), watch(t, e, occupancy.WithPrefix("a")),
			watch(t, e, occupancy.WithPrefix("nowhere")), watch(t, e, occupancy.WithPrefix(""))
		hears(t, a, byRoom{"a:1": occ(1, 0)})
		hears(t, ab, byRoom{"a:1": occ(1, 0), "a": occ(1, 0)})
		hears(t, none, byRoom{})
		hears(t, all, byRoom{"a:1": occ(1, 0), "b:1": occ(1, 0), "a": occ(1, 0), "ä:1": occ(1, 0)})
		must(t, e.Join("a:2"), e.Join("b:2"), e.Enter("a"), e.Leave("b:1"))
		time.Sleep(interval)
		hears(t, a, byRoom{"a:2": occ(1, 0)})
		hears(t, ab, byRoom{"a:2": occ(1, 0), "a": occ(1, 1)})
		hears(t, none, byRoom{})
		hears(t, all, byRoom{"a:2": occ(1, 0), "b:2": occ(1, 0), "a": occ(1, 1), "b:1": {}})
	})
	bubble(t, "among very many others, without a wait", func(t *testing.T) {
		e := start(t)
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

func TestPromise6_LocalOnlyHearsOfThisProcessAlone(t *testing.T) {
	// By what the room had before the other node's part changes how it is kept.
	setups := map[string]func(t *testing.T, e *occupancy.Engine){
		"a new room":          func(*testing.T, *occupancy.Engine) {},
		"a subscribed room":   func(t *testing.T, e *occupancy.Engine) { subscribe(t, e, "r") },
		"a room of two nodes": func(t *testing.T, e *occupancy.Engine) { must(t, e.Remote("other").Set("r", occ(0, 2))) },
	}
	for name, setup := range setups {
		bubble(t, name, func(t *testing.T) {
			e := start(t)
			setup(t, e)
			before := e.Current("r")
			plus := func(c, m int) occupancy.Occupancy {
				return occ(before.Connections+c, before.PresenceMembers+m)
			}
			total, local := watch(t, e), watch(t, e, occupancy.LocalOnly())
			news(t, total)
			hears(t, local, byRoom{})
			node := e.Remote("node")
			quiet := func() { time.Sleep(2 * interval) }

			must(t, node.Set("r", occ(10, 5)))
			quiet()
			hears(t, total, byRoom{"r": plus(10, 5)})
			hears(t, local, byRoom{})

			must(t, e.Join("r"))
			quiet()
			hears(t, total, byRoom{"r": plus(11, 5)})
			hears(t, local, byRoom{"r": occ(1, 0)})

			must(t, node.Set("r", occ(20, 5)), node.Set("elsewhere", occ(1, 1)))
			quiet()
			hears(t, total, byRoom{"r": plus(21, 5), "elsewhere": occ(1, 1)})
			hears(t, local, byRoom{})

			// A connection that moves from node to node leaves the total as it is.
			must(t, node.Set("r", occ(19, 5)), e.Join("r"))
			quiet()
			rooms, _ := news(t, total) // it may have been seen in between
			require.Subset(t, byRoom{"r": plus(21, 5)}, rooms)
			hears(t, local, byRoom{"r": occ(2, 0)})

			must(t, e.Leave("r"), e.Leave("r"))
			quiet()
			hears(t, total, byRoom{"r": plus(19, 5)})
			hears(t, local, byRoom{"r": {}})

			node.Close()
			quiet()
			hears(t, total, byRoom{"r": plus(0, 0), "elsewhere": {}})
			hears(t, local, byRoom{})
			hears(t, watch(t, e, occupancy.LocalOnly()), byRoom{})
		})
	}
	bubble(t, "with a prefix", func(t *testing.T) {
		e := start(t)
		w := watch(t, e, occupancy.LocalOnly(), occupancy.WithPrefix("a"))
		must(t, e.Join("a"), e.Join("b"), e.Remote("node").Set("ab", occ(1, 1)))
		hears(t, w, byRoom{"a": occ(1, 0)})
	})
}

func TestPromise6_NextWaitsAndEnds(t *testing.T) {
	bubble(t, "with what came meanwhile", func(t *testing.T) {
		e := start(t)
		w := watch(t, e)
		begin := time.Now()
		time.AfterFunc(time.Hour, func() { _ = e.Join("r") })
		batch, err := w.Next(context.Background())
		must(t, err)
		require.Equal(t, time.Hour, time.Since(begin))
		require.Equal(t, occ(1, 0), batch[0].Occupancy)
		time.AfterFunc(time.Hour, func() { _ = e.Join("r") })
		batch, err = w.Next(nil) //nolint:staticcheck // a nil context is as good as none
		must(t, err)
		require.Equal(t, occ(2, 0), batch[0].Occupancy)
	})
	bubble(t, "for what is held, to the end of the interval", func(t *testing.T) {
		e := start(t)
		w := watch(t, e)
		subscribe(t, e, "subscribed")
		for _, name := range []string{"plain", "subscribed"} {
			must(t, e.Join(name))
			hears(t, w, byRoom{name: occ(1, 0)})
			begin := time.Now()
			time.AfterFunc(interval/2, func() { _ = e.Join(name) })
			batch, err := w.Next(t.Context())
			must(t, err)
			require.Equal(t, interval, time.Since(begin))
			require.Equal(t, occ(2, 0), batch[0].Occupancy)
		}
	})
	bubble(t, "with the context", func(t *testing.T) {
		e := start(t)
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
		hears(t, w, byRoom{"r": occ(1, 0)}) // nothing was lost by that
	})
	for name, end := range map[string]func(*occupancy.Engine, *occupancy.Watcher){
		"its own":      func(_ *occupancy.Engine, w *occupancy.Watcher) { w.Close() },
		"the engine's": func(e *occupancy.Engine, _ *occupancy.Watcher) { _ = e.Close() },
	} {
		bubble(t, "with Close, "+name, func(t *testing.T) {
			e := start(t)
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
