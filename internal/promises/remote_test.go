package promises_test

import (
	"errors"
	"maps"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestRemote_SetIsAbsolute(t *testing.T) {
	bubble(t, "repeating a call changes nothing", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		receive(t, s)
		node := remote(t, e, "node")
		require.Equal(t, "node", node.Node())
		must(t, node.Set(part("r", occ(3, 2))))
		ev := receive(t, s)
		require.Equal(t, occ(3, 2), ev.Occupancy)
		for range 10 {
			must(t, node.Set(part("r", occ(3, 2))))
			time.Sleep(interval)
		}
		noEvent(t, s)
		require.Equal(t, occ(3, 2), e.Current("r"))
		must(t, node.Set(part("r", occ(1, 2))))
		next := receive(t, s)
		require.Equal(t, occ(1, 2), next.Occupancy)
		require.Equal(t, ev.Version+1, next.Version)
		require.Equal(t, occ(0, 0), e.Local("r"))
		require.Equal(t, occ(0, 0), e.Room("r").Local())
		require.Equal(t, occ(1, 2), e.Room("r").Current())
		require.Equal(t, byRoom{"r": occ(1, 2)}, maps.Collect(e.All()))
		time.Sleep(interval)
		require.Equal(t, occ(1, 2), statsTotal(e))
	})
	bubble(t, "an empty occupancy removes the part", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(1))
		must(t, e.Join("full"))
		node := remote(t, e, "node")
		for range 3 {
			must(t, node.Set(part("r", occ(0, 0)))) // does not create a room
		}
		require.Equal(t, 1, e.Stats().Rooms)
		must(t, node.Set(part("full", occ(1, 1))), node.Set(part("full", occ(0, 0))), node.Set(part("full", occ(0, 0))), e.Leave("full"))
		require.Zero(t, e.Stats().Rooms)
	})
}

func TestRemote_PartsAreAdded(t *testing.T) {
	bubble(t, "of several nodes and this process", func(t *testing.T) {
		e := newEngine(t)
		a, b, same := remote(t, e, "a"), remote(t, e, "b"), remote(t, e, "a")
		must(t, e.Join("r"), a.Set(part("r", occ(10, 1))), b.Set(part("r", occ(20, 0))), same.Set(part("r", occ(40, 7))), e.Enter("r", "c"))
		require.Equal(t, occ(71, 9), e.Current("r"))
		require.Equal(t, occ(1, 1), e.Local("r"))
		same.Close() // removes only its own part; the name is a label
		require.Equal(t, occ(31, 2), e.Current("r"))
		must(t, a.Set(part("r", occ(0, 5))))
		require.Equal(t, occ(21, 6), e.Current("r"))
		b.Close()
		b.Close()
		require.Equal(t, occ(1, 6), e.Current("r"))
		require.ErrorIs(t, b.Set(part("r", occ(1, 1))), occupancy.ErrClosed)
		require.ErrorIs(t, b.Set(part("", occ(-1, 1))), occupancy.ErrClosed)
		must(t, e.Leave("r"), e.Exit("r", "c"))
		require.Equal(t, occ(0, 5), e.Current("r"))
		require.Equal(t, 1, e.Stats().Rooms) // it has a part of a
		a.Close()
		require.Equal(t, occ(0, 0), e.Current("r"))
		require.Zero(t, e.Stats().Rooms)
	})
	bubble(t, "a part keeps the room while connections of this process come and go", func(t *testing.T) {
		e := newEngine(t)
		node := remote(t, e, "node")
		must(t, node.Set(part("r", occ(2, 2))))
		for range 5 {
			time.Sleep(2 * interval)
			must(t, e.Join("r"))
			time.Sleep(2 * interval)
			must(t, e.Leave("r"))
			require.Equal(t, occ(2, 2), e.Current("r"))
			require.Equal(t, 1, e.Stats().Rooms)
		}
		node.Close()
		time.Sleep(2 * interval)
		require.Zero(t, e.Stats().Rooms)
		must(t, e.Join("r"))
		require.Equal(t, occ(1, 0), e.Current("r"))
	})
	bubble(t, "Close removes all parts and notifies watchers", func(t *testing.T) {
		e := newEngine(t)
		const rooms = 3000
		node, other := remote(t, e, "node"), remote(t, e, "other")
		w := watch(t, e)
		for i := range rooms {
			must(t, node.Set(part(room(i), occ(1, i))))
			if i%2 == 0 {
				must(t, other.Set(part(room(i), occ(5, 5))))
			}
		}
		changed, _ := readAll(t, w)
		require.Equal(t, rooms, len(changed))
		time.Sleep(2 * interval)
		readAll(t, w)
		node.Close()
		changed, events := readAll(t, w)
		require.Equal(t, rooms, events)
		for i := range rooms {
			want := occ(0, 0)
			if i%2 == 0 {
				want = occ(5, 5)
			}
			if changed[room(i)] != want || e.Current(room(i)) != want {
				require.Equal(t, want, changed[room(i)])
				require.Equal(t, want, e.Current(room(i)))
			}
		}
		require.Equal(t, rooms/2, e.Stats().Rooms)
	})
}

func TestRemote_ImpossibleCountsAreRefused(t *testing.T) {
	bubble(t, "and change nothing", func(t *testing.T) {
		e := newEngine(t)
		node, other := remote(t, e, "node"), remote(t, e, "other")
		must(t, node.Set(part("r", occ(5, 6))))
		for _, o := range []occupancy.Occupancy{
			occ(-1, 0), occ(0, -1), occ(math.MinInt, math.MinInt), occ(over, 0), occ(0, over), occ(over, 1), occ(1, over),
		} {
			require.ErrorIs(t, node.Set(part("r", o)), occupancy.ErrCount)
			require.ErrorIs(t, node.Set(part("new", o)), occupancy.ErrCount)
		}
		require.Equal(t, occ(5, 6), e.Current("r"))
		require.Equal(t, 1, e.Stats().Rooms)

		// The sum of all remote parts is limited as well.
		require.ErrorIs(t, other.Set(part("r", occ(most-4, 0))), occupancy.ErrCount)
		require.ErrorIs(t, other.Set(part("r", occ(0, most-5))), occupancy.ErrCount)
		require.Equal(t, occ(5, 6), e.Current("r"))
		must(t, other.Set(part("r", occ(most-5, most-6))))
		require.Equal(t, occ(most, most), e.Current("r"))
		require.ErrorIs(t, node.Set(part("r", occ(6, 6))), occupancy.ErrCount)
		must(t, node.Set(part("r", occ(4, 6))), other.Set(part("r", occ(most-4, 0))))
		require.Equal(t, occ(most, 6), e.Current("r"))
		must(t, other.Set(part("r", occ(0, 0))))
		require.Equal(t, occ(4, 6), e.Current("r"))
	})
	bubble(t, "the sum with this process's own counts is capped", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		receive(t, s)
		node := remote(t, e, "node")
		must(t, e.Join("r"), e.Enter("r", "c"), node.Set(part("r", occ(most, most))))
		time.Sleep(2 * interval)
		require.Equal(t, occ(most, most), receive(t, s).Occupancy)
		require.Equal(t, occ(1, 1), e.Local("r"))
		for range 3 {
			must(t, e.Join("r")) // this process's own count is below the maximum
		}
		time.Sleep(2 * interval)
		require.Equal(t, occ(most, most), e.Current("r"))
		noEvent(t, s) // the capped value has not changed
		must(t, node.Set(part("r", occ(most-2, 0))))
		require.Equal(t, occ(most, 1), receive(t, s).Occupancy)
		node.Close()
		time.Sleep(interval)
		require.Equal(t, occ(4, 1), receive(t, s).Occupancy)
		require.Equal(t, occ(4, 1), statsTotal(e))
	})
}

func TestRemote_AfterTheEngineIsClosed(t *testing.T) {
	bubble(t, "the parts stay as they are", func(t *testing.T) {
		e := newEngine(t)
		node, other := remote(t, e, "node"), remote(t, e, "other")
		must(t, node.Set(part("r", occ(1, 1))), other.Set(part("r", occ(2, 2))), e.Close())
		require.ErrorIs(t, node.Set(part("r", occ(5, 5))), occupancy.ErrClosed)
		node.Close()
		node.Close()
		require.ErrorIs(t, node.Set(part("r", occ(5, 5))), occupancy.ErrClosed)
		require.Equal(t, occ(3, 3), e.Current("r"))
	})
}

func TestRemote_SetOfSeveralParts(t *testing.T) {
	bubble(t, "sets all in order", func(t *testing.T) {
		e := newEngine(t)
		node := remote(t, e, "node")
		w := watch(t, e)
		must(t, node.Set())
		must(t, node.Set(part("a", occ(1, 0)), part("b", occ(2, 1)), part("a", occ(3, 0)), part("c", occ(1, 1)), part("c", occ(0, 0))))
		require.Equal(t, byRoom{"a": occ(3, 0), "b": occ(2, 1)}, maps.Collect(e.All()))
		rooms, _ := readAll(t, w)
		require.Equal(t, occ(3, 0), rooms["a"])
		wantRoomCount(t, e, 2)
	})
	bubble(t, "the error lists the refused parts and the others are set", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(2))
		node := remote(t, e, "node")
		err := node.Set(
			part("a", occ(1, 0)),
			part("", occ(1, 0)),
			part("b", occ(-1, 0)),
			part("b", occ(2, 0)),
			part("c", occ(1, 1)), // the third room
			part("a", occ(0, 5)),
			part("\xff", occ(0, 0)),
		)
		var refused *occupancy.SetError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, []occupancy.RefusedPart{
			{Part: part("", occ(1, 0)), Err: occupancy.ErrInvalidRoom},
			{Part: part("b", occ(-1, 0)), Err: occupancy.ErrCount},
			{Part: part("c", occ(1, 1)), Err: occupancy.ErrTooManyRooms},
			{Part: part("\xff", occ(0, 0)), Err: occupancy.ErrInvalidRoom},
		}, refused.Refused)
		for _, reason := range []error{occupancy.ErrInvalidRoom, occupancy.ErrCount, occupancy.ErrTooManyRooms} {
			require.ErrorIs(t, err, reason)
		}
		require.NotErrorIs(t, err, occupancy.ErrClosed)
		require.Contains(t, err.Error(), "occupancy: ")
		require.Contains(t, err.Error(), "4 parts refused")
		require.Equal(t, byRoom{"a": occ(0, 5), "b": occ(2, 0)}, maps.Collect(e.All()))
	})
	bubble(t, "a part that fits only after an earlier one was removed", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(1))
		node := remote(t, e, "node")
		must(t, node.Set(part("a", occ(1, 0))))
		must(t, node.Set(part("a", occ(0, 0)), part("b", occ(1, 0))))
		require.ErrorIs(t, node.Set(part("c", occ(1, 0)), part("b", occ(0, 0))), occupancy.ErrTooManyRooms)
		require.Empty(t, maps.Collect(e.All()))
	})
	bubble(t, "after Close nothing is set", func(t *testing.T) {
		e := newEngine(t)
		node := remote(t, e, "node")
		must(t, node.Close())
		err := node.Set(part("a", occ(1, 0)), part("", occ(1, 0)))
		require.ErrorIs(t, err, occupancy.ErrClosed)
		var refused *occupancy.SetError
		require.False(t, errors.As(err, &refused))
		require.Empty(t, maps.Collect(e.All()))
	})
}

func TestRemote_GetReturnsTheLastValueSet(t *testing.T) {
	bubble(t, "of its own part", func(t *testing.T) {
		e := newEngine(t)
		node, other := remote(t, e, "node"), remote(t, e, "other")
		require.Equal(t, part("a", occ(0, 0)), node.Get("a"))
		must(t, e.Join("a"), other.Set(part("a", occ(7, 7))), node.Set(part("a", occ(2, 1))))
		require.Equal(t, part("a", occ(2, 1)), node.Get("a"))
		require.Equal(t, part("a", occ(7, 7)), other.Get("a"))
		require.ErrorIs(t, node.Set(part("a", occ(-1, 0))), occupancy.ErrCount)
		require.Equal(t, part("a", occ(2, 1)), node.Get("a"), "after a refused Set")
		must(t, node.Set(part("a", occ(0, 0))))
		require.Equal(t, part("a", occ(0, 0)), node.Get("a"))
		require.Equal(t, part("", occ(0, 0)), node.Get(""))
		require.Equal(t, part("unknown", occ(0, 0)), node.Get("unknown"))
		wantRoomCount(t, e, 1)

		must(t, node.Set(part("a", occ(2, 1)), part("b", occ(1, 1))), node.Close())
		require.Equal(t, part("a", occ(0, 0)), node.Get("a"))
		require.Equal(t, part("b", occ(0, 0)), node.Get("b"))
		require.Equal(t, part("a", occ(7, 7)), other.Get("a"))
	})
}

// collect returns the parts that All yields, and requires that it yields each room once.
// While parts are set concurrently, that holds only for rooms that stay.
func collect(t testing.TB, r *occupancy.Remote, stays func(room string) bool) byRoom {
	t.Helper()
	all := byRoom{}
	for p := range r.All() {
		if _, again := all[p.Room]; again && stays(p.Room) {
			require.Fail(t, "yielded twice", p.Room)
		}
		if p.Occupancy == occ(0, 0) {
			require.Fail(t, "yielded an empty part", p.Room)
		}
		all[p.Room] = p.Occupancy
	}
	return all
}

func every(string) bool { return true }

func TestRemote_AllYieldsEachPartOnce(t *testing.T) {
	const rooms = 1500 // more than All yields without the lock
	bubble(t, "of its own", func(t *testing.T) {
		e := newEngine(t)
		node, other := remote(t, e, "node"), remote(t, e, "other")
		require.Empty(t, collect(t, node, every))
		want := byRoom{}
		for i := range rooms {
			must(t, node.Set(part(room(i), occ(1, i))), other.Set(part(room(i+100), occ(9, 9))), e.Join(room(i)))
			want[room(i)] = occ(1, i)
		}
		must(t, node.Set(part(room(5), occ(0, 0)), part(room(6), occ(6, 6))))
		delete(want, room(5))
		want[room(6)] = occ(6, 6)
		require.Equal(t, want, collect(t, node, every))
		must(t, node.Close())
		require.Empty(t, collect(t, node, every))
	})
	bubble(t, "the loop calls the engine and breaks", func(t *testing.T) {
		e := newEngine(t)
		node := remote(t, e, "node")
		for i := range rooms {
			must(t, node.Set(part(room(i), occ(1, 0))))
		}
		n := 0
		for p := range node.All() {
			if n++; n == rooms/2 {
				break
			}
			must(t, e.Join(p.Room), node.Set(part(p.Room, occ(2, 0))))
			require.Equal(t, part(p.Room, occ(2, 0)), node.Get(p.Room))
			for range node.All() {
				break
			}
			subscribe(t, e, p.Room).Unsubscribe()
		}
		require.Equal(t, rooms/2, n)
		must(t, node.Set(part("later", occ(1, 1)))) // the engine's lock is free again
	})
	bubble(t, "while another goroutine sets parts", func(t *testing.T) {
		const stay, others = 600, 5000
		e := newEngine(t, occupancy.WithInterval(0))
		node := remote(t, e, "node")
		stays := map[string]bool{}
		for i := range stay {
			stays[room(i)] = true
			must(t, node.Set(part(room(i), occ(1, 1))))
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for n := range 4 {
				for i := range others { // their parts come in one round and go in the next
					if err := node.Set(part(room(stay+i), occ(1-n%2, 0)), part(room(i%stay), occ(1, 1+n))); err != nil {
						t.Errorf("Set: %v", err)
					}
				}
			}
		}()
		for open := true; open; {
			select {
			case <-done:
				open = false
			default:
			}
			all := collect(t, node, func(room string) bool { return stays[room] })
			for i := range stay {
				if o := all[room(i)]; o.Connections != 1 || o.PresenceMembers < 1 || o.PresenceMembers > 4 {
					require.Fail(t, "wrong part", "%s: %+v", room(i), o)
				}
			}
		}
		require.Len(t, collect(t, node, every), stay)
	})
	bubble(t, "while another goroutine closes the remote", func(t *testing.T) {
		e := newEngine(t)
		for range 5 {
			node := remote(t, e, "node")
			for i := range rooms {
				must(t, node.Set(part(room(i), occ(1, 1))))
			}
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() { _ = node.Close() })
			}
			require.LessOrEqual(t, len(collect(t, node, every)), rooms)
			wg.Wait()
			require.Empty(t, collect(t, node, every))
			require.Empty(t, maps.Collect(e.All()))
		}
	})
}

func TestRemote_CloseIsIdempotentAndConcurrent(t *testing.T) {
	bubble(t, "other remotes are not affected", func(t *testing.T) {
		e := newEngine(t)
		node, other := remote(t, e, "node"), remote(t, e, "node")
		for i := range 2000 {
			must(t, node.Set(part(room(i), occ(1, 0))), other.Set(part(room(i), occ(0, 1))))
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := node.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if o := e.Current(room(7)); o != occ(0, 1) {
					t.Errorf("after Close: %+v", o)
				}
			})
		}
		wg.Wait()
		must(t, node.Close())
		for _, o := range e.All() {
			if o != occ(0, 1) {
				require.Equal(t, occ(0, 1), o)
			}
		}
		wantRoomCount(t, e, 2000)
		must(t, other.Close())
		wantRoomCount(t, e, 0)
	})
}

func TestRemote_SetWithoutPartsAfterClose(t *testing.T) {
	e := newEngine(t)
	node := remote(t, e, "node")
	require.NoError(t, node.Set())
	require.NoError(t, node.Close())
	require.ErrorIs(t, node.Set(), occupancy.ErrClosed)
}

func TestSetError_ZeroValueHasText(t *testing.T) {
	require.NotEmpty(t, (&occupancy.SetError{}).Error())
}
