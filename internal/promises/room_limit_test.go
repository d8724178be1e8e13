package promises_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// freeRooms requires that exactly n more rooms can be occupied, subscribed to or
// reported by another node, whichever add does, and undoes them.
func freeRooms(t testing.TB, e *occupancy.Engine, n int, add func(room string) (undo func(), err error)) {
	t.Helper()
	before := e.Stats().Rooms
	var undo []func()
	for i := range n {
		u, err := add(fmt.Sprint("free", i))
		require.NoError(t, err, "room %d of %d", i+1, n)
		undo = append(undo, u)
	}
	wantRoomCount(t, e, before+n)
	for range 3 {
		_, err := add("one too many")
		require.ErrorIs(t, err, occupancy.ErrTooManyRooms)
	}
	wantRoomCount(t, e, before+n)
	for _, u := range undo {
		u()
	}
	wantRoomCount(t, e, before)
}

func occupying(e *occupancy.Engine) func(room string) (func(), error) {
	return func(room string) (func(), error) {
		return func() { _ = e.Leave(room) }, e.Join(room)
	}
}

func subscribing(e *occupancy.Engine) func(room string) (func(), error) {
	return func(room string) (func(), error) {
		s, err := e.Subscribe(room)
		return s.Unsubscribe, err
	}
}

func reporting(r *occupancy.Remote) func(room string) (func(), error) {
	return func(room string) (func(), error) {
		return func() { _ = r.Set(part(room, occ(0, 0))) }, r.Set(part(room, occ(0, 1)))
	}
}

// Each way to use the name of a room, or to keep something of a room, counts towards one
// limit at most.
func TestRoomLimit_IsOnlyUsedByItsOwnKind(t *testing.T) {
	const limit = 3
	type used struct{ occupied, subscribed, remote int }
	for name, c := range map[string]struct {
		use func(t *testing.T, e *occupancy.Engine, room string)
		// used is what each use takes; at most limit uses are made then.
		used used
	}{
		"Join":           {use: func(t *testing.T, e *occupancy.Engine, room string) { must(t, e.Join(room)) }, used: used{occupied: 1}},
		"Enter only":     {use: func(t *testing.T, e *occupancy.Engine, room string) { must(t, e.Enter(room, "c")) }, used: used{occupied: 1}},
		"Connect":        {use: func(t *testing.T, e *occupancy.Engine, room string) { connect(t, e, room) }, used: used{occupied: 1}},
		"Subscribe":      {use: func(t *testing.T, e *occupancy.Engine, room string) { subscribe(t, e, room) }, used: used{subscribed: 1}},
		"two Subscribes": {use: func(t *testing.T, e *occupancy.Engine, room string) { subscribe(t, e, room); subscribe(t, e, room) }, used: used{subscribed: 1}},
		"remote part": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			must(t, remote(t, e, "node").Set(part(room, occ(1, 1))))
		}, used: used{remote: 1}},
		"parts of two remotes": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			must(t, remote(t, e, "a").Set(part(room, occ(1, 1))), remote(t, e, "b").Set(part(room, occ(1, 0))))
		}, used: used{remote: 1}},
		"Join and Subscribe": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			must(t, e.Join(room))
			subscribe(t, e, room)
		}, used: used{occupied: 1}},
		"Subscribe and Join": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			subscribe(t, e, room)
			must(t, e.Join(room))
		}, used: used{occupied: 1}},
		"Subscribe and remote part": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			subscribe(t, e, room)
			must(t, remote(t, e, "node").Set(part(room, occ(1, 1))))
		}, used: used{remote: 1}},
		"Join, Subscribe and Leave": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			must(t, e.Join(room))
			subscribe(t, e, room)
			must(t, e.Leave(room))
		}, used: used{subscribed: 1}},
		"Subscribe and Unsubscribe": {use: func(t *testing.T, e *occupancy.Engine, room string) { subscribe(t, e, room).Unsubscribe() }},
		"Join and Leave":            {use: func(t *testing.T, e *occupancy.Engine, room string) { must(t, e.Join(room), e.Leave(room)) }},
		"Join, publish and Leave": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			must(t, e.Join(room))
			time.Sleep(interval)
			must(t, e.Leave(room))
		}},
		"Enter and Exit": {use: func(t *testing.T, e *occupancy.Engine, room string) { must(t, e.Enter(room, "c"), e.Exit(room, "c")) }},
		"closed lease": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			l := connect(t, e, room)
			must(t, l.Enter("c"), l.Close())
		}},
		"lease left by name": {use: func(t *testing.T, e *occupancy.Engine, room string) { connect(t, e, room); must(t, e.Leave(room)) }},
		"part set and removed": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			r := remote(t, e, "node")
			must(t, r.Set(part(room, occ(1, 1))), r.Set(part(room, occ(0, 0))))
		}},
		"closed remote": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			r := remote(t, e, "node")
			must(t, r.Set(part(room, occ(1, 1))), r.Close())
		}},
		"empty part": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			must(t, remote(t, e, "node").Set(part(room, occ(0, 0))))
		}},
		"impossible part": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			_ = remote(t, e, "node").Set(part(room, occ(-1, 0)))
		}},
		"Remote.Get": {use: func(t *testing.T, e *occupancy.Engine, room string) { remote(t, e, "node").Get(room) }},
		"handle": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			r := e.Room(room)
			t.Cleanup(func() { require.Zero(t, r.Current()) })
			require.ErrorIs(t, r.Leave(), occupancy.ErrNotJoined)
		}},
		"handle that was joined": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			r := e.Room(room)
			t.Cleanup(func() { require.Zero(t, r.Current()) })
			must(t, r.Join(), r.Leave())
		}},
		"Current, Local and Get": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			_, err := e.Get(t.Context(), room)
			must(t, err)
			require.Zero(t, e.Current(room))
			require.Zero(t, e.Local(room))
		}},
		"Leave and Exit of an unknown room": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			require.ErrorIs(t, e.Leave(room), occupancy.ErrNotJoined)
			require.ErrorIs(t, e.Exit(room, "c"), occupancy.ErrNotEntered)
		}},
		"refused lease": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			l := connect(t, e, room)
			require.ErrorIs(t, l.Enter(""), occupancy.ErrInvalidClientID)
			must(t, l.Close())
		}},
		"unread watcher with the prefix": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			watch(t, e, occupancy.WithPrefix(room))
			watchLocal(t, e)
		}},
		"room kept for an unread watcher": {use: func(t *testing.T, e *occupancy.Engine, room string) {
			watch(t, e)
			must(t, e.Join(room))
			time.Sleep(interval)
			must(t, e.Leave(room))
			time.Sleep(2 * interval)
		}},
	} {
		bubble(t, name, func(t *testing.T) {
			e := newEngine(t, occupancy.WithMaxRooms(limit))
			node := remote(t, e, "other")
			times := limit
			if c.used == (used{}) {
				times = 10 * limit
			}
			for i := range times {
				c.use(t, e, room(i))
				occupied := c.used.occupied * (i + 1)
				subscribed := c.used.subscribed * (i + 1)
				reported := c.used.remote * (i + 1)
				wantRoomCount(t, e, occupied+subscribed+reported)
				freeRooms(t, e, limit-occupied, occupying(e))
				freeRooms(t, e, limit-subscribed, subscribing(e))
				freeRooms(t, e, limit-reported, reporting(node))
			}
			// The rooms that exist accept the other kinds.
			for i := range times {
				if c.used == (used{}) {
					break
				}
				subscribe(t, e, room(i))
				must(t, e.Join(room(i)), node.Set(part(room(i), occ(1, 1))))
				wantRoomCount(t, e, limit)
			}
		})
	}
}

func TestRoomLimit_SubscribedRoomThatIsOccupied(t *testing.T) {
	bubble(t, "frees its place, and takes it again when it empties", func(t *testing.T) {
		const limit = 2
		e := newEngine(t, occupancy.WithMaxRooms(limit))
		a, b := subscribe(t, e, "a"), subscribe(t, e, "b")
		freeRooms(t, e, 0, subscribing(e))
		must(t, e.Join("a"))
		wantRoomCount(t, e, 2)
		freeRooms(t, e, 1, subscribing(e))
		freeRooms(t, e, 1, occupying(e))
		c := subscribe(t, e, "c")
		freeRooms(t, e, 0, subscribing(e))

		// Three rooms are only subscribed to after this Leave. It is not refused, and
		// neither is a subscription to a room that exists.
		must(t, e.Leave("a"))
		wantRoomCount(t, e, 3)
		freeRooms(t, e, 0, subscribing(e))
		freeRooms(t, e, 2, occupying(e))
		subscribe(t, e, "a").Unsubscribe()

		must(t, e.Enter("a", "x"), e.Exit("a", "x"))
		wantRoomCount(t, e, 3)
		c.Unsubscribe()
		freeRooms(t, e, 0, subscribing(e))
		b.Unsubscribe()
		freeRooms(t, e, 1, subscribing(e))
		a.Unsubscribe()
		freeRooms(t, e, 2, subscribing(e))
		wantRoomCount(t, e, 0)
	})
	bubble(t, "Subscribe to an occupied room is never refused", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(2))
		subscribe(t, e, "a")
		subscribe(t, e, "b")
		must(t, e.Join("c"), e.Enter("d", "x"))
		for _, name := range []string{"c", "d"} {
			for range 3 {
				subscribe(t, e, name)
			}
		}
		wantRoomCount(t, e, 4)
		freeRooms(t, e, 0, subscribing(e))
		must(t, e.Leave("c"), e.Exit("d", "x"))
		wantRoomCount(t, e, 4) // all four are only subscribed to
		freeRooms(t, e, 0, subscribing(e))
		freeRooms(t, e, 2, occupying(e))
	})
	bubble(t, "Subscribe to a room with a remote part is never refused", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(1))
		node := remote(t, e, "node")
		must(t, node.Set(part("a", occ(1, 1))))
		subscribe(t, e, "b")
		subscribe(t, e, "a")
		freeRooms(t, e, 0, subscribing(e))
		must(t, node.Close()) // a is only subscribed to from now on
		wantRoomCount(t, e, 2)
		freeRooms(t, e, 0, subscribing(e))
		freeRooms(t, e, 1, occupying(e))
	})
}

func TestRoomLimit_OfOccupiedRoomsIsExact(t *testing.T) {
	bubble(t, "a place is free at once after the last Leave", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(2))
		watch(t, e) // never read
		lease := connect(t, e, "a")
		must(t, lease.Enter("x"), lease.Enter("y"), e.Enter("b", "x"))
		full := func(room string) {
			t.Helper()
			r := e.Room(room)
			_, byName := e.Connect(room)
			_, byHandle := r.Connect()
			for _, err := range []error{e.Join(room), e.Enter(room, "x"), r.Join(), r.Enter("x"), byName, byHandle} {
				require.ErrorIs(t, err, occupancy.ErrTooManyRooms)
			}
			wantRoomCount(t, e, 2)
			require.Equal(t, occ(0, 0), e.Current(room))
		}
		full("c")
		must(t, e.Join("a"), e.Join("b"), e.Leave("b")) // rooms that exist accept more
		full("c")
		must(t, e.Exit("b", "x"), e.Join("c"))
		full("b")
		must(t, lease.Close())
		full("b")
		must(t, e.Leave("a"), e.Enter("b", "x"))
		full("a")
		must(t, e.Close())
		wantRoomCount(t, e, 2)
	})
	bubble(t, "while emptied rooms wait for the interval", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(1))
		for i := range 1000 {
			must(t, e.Join(room(i)))
			require.ErrorIs(t, e.Join("other"), occupancy.ErrTooManyRooms)
			must(t, e.Leave(room(i)))
		}
		freeRooms(t, e, 1, occupying(e))
	})
	bubble(t, "a subscribed or reported room needs a place too", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(1))
		subscribe(t, e, "subscribed")
		must(t, remote(t, e, "node").Set(part("reported", occ(1, 1))), e.Join("a"))
		for _, name := range []string{"subscribed", "reported"} {
			require.ErrorIs(t, e.Join(name), occupancy.ErrTooManyRooms)
			require.ErrorIs(t, e.Enter(name, "x"), occupancy.ErrTooManyRooms)
			_, err := e.Connect(name)
			require.ErrorIs(t, err, occupancy.ErrTooManyRooms)
		}
		wantRoomCount(t, e, 3)
		must(t, e.Leave("a"), e.Join("reported"))
		require.Equal(t, occ(2, 1), e.Current("reported"))
		wantRoomCount(t, e, 2)
	})
	bubble(t, "a lease cannot begin its room again when the limit is reached", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(1))
		l := connect(t, e, "a")
		must(t, e.Leave("a"), e.Join("b"))
		require.ErrorIs(t, l.Enter("x"), occupancy.ErrTooManyRooms)
		wantRoomCount(t, e, 1)
		must(t, e.Leave("b"), l.Enter("x"))
		wantRoomCount(t, e, 1)
		must(t, l.Close())
		wantRoomCount(t, e, 0)
	})
	bubble(t, "zero means no limit", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(0))
		node := remote(t, e, "node")
		for i := range 1000 {
			must(t, e.Join(room(i)), node.Set(part(fmt.Sprint("remote", i), occ(1, 1))))
			subscribe(t, e, fmt.Sprint("subscribed", i))
		}
		wantRoomCount(t, e, 3000)
	})
}

func TestRoomLimit_RefusalsNameTheFirstReason(t *testing.T) {
	bubble(t, "invalid name, then closed engine", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(1))
		node := remote(t, e, "node")
		must(t, e.Join("a"), node.Set(part("r", occ(1, 1))))
		subscribe(t, e, "b")
		calls := func(room string) []error {
			_, subscribe := e.Subscribe(room)
			_, connect := e.Connect(room)
			return []error{subscribe, connect, e.Join(room), e.Enter(room, "x"), node.Set(part(room, occ(1, 1)))}
		}
		for _, want := range []struct {
			room string
			err  error
		}{{"c", occupancy.ErrTooManyRooms}, {"", occupancy.ErrInvalidRoom}} {
			for i, err := range calls(want.room) {
				require.ErrorIs(t, err, want.err, i)
			}
		}
		must(t, e.Close())
		for _, room := range []string{"a", "c", ""} {
			for i, err := range calls(room) {
				require.True(t, errors.Is(err, occupancy.ErrClosed), "call %d of %q: %v", i, room, err)
			}
		}
	})
}

// A Leave cannot be refused, so rooms that were subscribed to while they were occupied may
// exceed the limit of rooms that are only subscribed to. They must not do so without bound.
func TestRoomLimit_RoomsSubscribedToWhileOccupied(t *testing.T) {
	const limit = 10
	e := newEngine(t, occupancy.WithMaxRooms(limit))
	refused := 0
	for i := range 100 * limit {
		name := fmt.Sprint(i)
		lease, err := e.Connect(name)
		require.NoError(t, err, "subscribers must not cause a Connect to be refused")
		if _, err := e.Subscribe(name); err != nil {
			require.ErrorIs(t, err, occupancy.ErrTooManyRooms)
			refused++
		}
		require.NoError(t, lease.Close())
	}
	require.LessOrEqual(t, e.Stats().Rooms, 3*limit)
	require.GreaterOrEqual(t, refused, 97*limit)
}

// A subscription of each kind of room fits into the limit of rooms with subscriptions.
func TestRoomLimit_SubscriptionsOfThreeKindsOfRooms(t *testing.T) {
	e := newEngine(t, occupancy.WithMaxRooms(1))
	must(t, e.Join("occupied"), remote(t, e, "node").Set(part("remote", occ(1, 0))))
	for _, name := range []string{"occupied", "remote", "subscribed"} {
		subscribe(t, e, name)
	}
	_, err := e.Subscribe("one more")
	require.ErrorIs(t, err, occupancy.ErrTooManyRooms)
}
