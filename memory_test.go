package occupancy_test

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// many is how many rooms come and go: less where the race detector watches, under
// which each takes 20 times as long.
func many() int {
	info, _ := debug.ReadBuildInfo()
	if testing.Short() || slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return 100_000
	}
	return 1_000_000
}

// memoryComesBack runs what has n rooms come and go. At each call of check, and in
// the end, the heap must be what it was before, but for 5% or what an engine keeps
// in its queues for reuse.
func memoryComesBack(t *testing.T, n int, run func(t *testing.T, e *occupancy.Engine, n int, check func())) {
	e := start(t)
	run(t, e, 100, func() {}) // let buffers find their size
	time.Sleep(2 * interval)
	synctest.Wait()
	before := heap()
	check := func() {
		t.Helper()
		now := heap()
		require.Less(t, now, max(before+before/20, before+128<<10), "%.1f bytes for each of %d", float64(now-before)/float64(n), n)
	}
	run(t, e, n, check)
	time.Sleep(2 * interval)
	synctest.Wait()
	check()
	require.Zero(t, e.Stats().Subscriptions)
	require.Zero(t, e.Stats().Watchers)
	require.Zero(t, e.Stats().Connections)
}

func TestPromise7_AnEmptiedRoomsMemoryComesBack(t *testing.T) {
	bubble(t, "joined and left", func(t *testing.T) {
		memoryComesBack(t, many(), func(t *testing.T, e *occupancy.Engine, n int, _ func()) {
			for i := range n {
				must(t, e.Join(room(i)))
			}
			require.Equal(t, n, e.Stats().Rooms)
			for i := range n {
				must(t, e.Leave(room(i)))
			}
			require.Zero(t, e.Stats().Rooms)
		})
	})
	bubble(t, "at leisure", func(t *testing.T) {
		memoryComesBack(t, many()/4, func(t *testing.T, e *occupancy.Engine, n int, _ func()) {
			for i := range n {
				must(t, e.Join(room(i)), e.Enter(room(i)))
			}
			time.Sleep(2 * interval)
			for i := range n {
				must(t, e.Leave(room(i)), e.Exit(room(i)))
				if i%1000 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	})
	bubble(t, "beside a room that is always busy", func(t *testing.T) {
		memoryComesBack(t, many()/4, func(t *testing.T, e *occupancy.Engine, n int, check func()) {
			s, w := subscribe(t, e, "busy"), e.Watch()
			defer s.Unsubscribe()
			defer w.Close()
			for i := range n {
				must(t, e.Join(room(i)))
			}
			news(t, w)
			for i := range n {
				must(t, e.Leave(room(i)))
			}
			keepBusy := func(hook func(string) error) {
				for range 200 {
					must(t, hook("busy"))
					time.Sleep(interval / 10)
					news(t, w)
				}
			}
			keepBusy(e.Join)
			check()
			keepBusy(e.Leave)
		})
	})
	bubble(t, "leased", func(t *testing.T) {
		memoryComesBack(t, many()/8, func(t *testing.T, e *occupancy.Engine, n int, _ func()) {
			conns := make([]*occupancy.Conn, n)
			for i := range n {
				c, err := e.Connect(room(i))
				must(t, err, c.Enter("a"), c.Enter("b"))
				conns[i] = c
			}
			for _, c := range conns {
				must(t, c.Close())
			}
		})
	})
	bubble(t, "named by a piece of a larger string", func(t *testing.T) {
		e := start(t)
		before := heap()
		for i := range 64 {
			name := fmt.Sprintf("%8d%s", i, strings.Repeat(" ", 1<<20))[:8]
			must(t, e.Join(name))
		}
		require.Less(t, heap(), before+1<<20)
	})
	bubble(t, "asked for, but never there", func(t *testing.T) {
		memoryComesBack(t, many()/4, func(t *testing.T, e *occupancy.Engine, n int, _ func()) {
			for i := range n {
				if e.Leave(room(i)) != occupancy.ErrNotJoined || e.Exit(room(i)) != occupancy.ErrNotEntered ||
					e.Current(room(i)) != occ(0, 0) || e.Local(room(i)) != occ(0, 0) {
					t.Fatal("it is there")
				}
			}
		})
	})
}

func TestPromise7_WhatListenersTookComesBack(t *testing.T) {
	bubble(t, "a subscriber in each room", func(t *testing.T) {
		memoryComesBack(t, many()/8, func(t *testing.T, e *occupancy.Engine, n int, _ func()) {
			subs := make([]*occupancy.Subscription, n)
			for i := range n {
				subs[i] = subscribe(t, e, room(i))
				must(t, e.Join(room(i)), e.Leave(room(i)))
			}
			for _, s := range subs {
				s.Unsubscribe()
			}
		})
	})
	bubble(t, "a crowd in one room", func(t *testing.T) {
		memoryComesBack(t, many()/8, func(t *testing.T, e *occupancy.Engine, n int, check func()) {
			keep := subscribe(t, e, "r")
			subs := make([]*occupancy.Subscription, n)
			for i := range subs {
				subs[i] = subscribe(t, e, "r")
			}
			must(t, e.Join("r"), e.Leave("r"))
			for _, s := range subs {
				s.Unsubscribe()
			}
			clear(subs)
			check()
			keep.Unsubscribe()
		})
	})
	bubble(t, "a crowd in each of many rooms, which stay", func(t *testing.T) {
		const crowd = 50
		e := start(t)
		n := many() / 400
		for i := range n {
			must(t, e.Join(room(i)))
			subscribe(t, e, room(i)).Unsubscribe() // what a room needs for its first, it may keep
		}
		time.Sleep(2 * interval)
		before := heap()
		for i := range n {
			subs := make([]*occupancy.Subscription, crowd)
			for j := range subs {
				subs[j] = subscribe(t, e, room(i))
			}
			for _, s := range subs {
				s.Unsubscribe()
			}
		}
		require.Less(t, heap(), before+128<<10)
	})
	bubble(t, "watchers", func(t *testing.T) {
		memoryComesBack(t, many()/4, func(t *testing.T, e *occupancy.Engine, n int, check func()) {
			w, idle := e.Watch(), e.Watch(occupancy.LocalOnly())
			for i := range n {
				must(t, e.Join(room(i)))
			}
			news(t, w)
			late := e.Watch() // with a backlog that it does not read
			for i := range n {
				must(t, e.Leave(room(i)))
			}
			time.Sleep(2 * interval)
			rooms, _ := news(t, w)
			require.Equal(t, n, len(rooms))
			clear(rooms)
			idle.Close()
			late.Close()
			time.Sleep(interval)
			news(t, w)
			check()
			w.Close()
		})
	})
	bubble(t, "another node", func(t *testing.T) {
		memoryComesBack(t, many()/8, func(t *testing.T, e *occupancy.Engine, n int, check func()) {
			node := e.Remote("node")
			for i := range n {
				must(t, node.Set(room(i), occ(1, 1)))
			}
			time.Sleep(2 * interval)
			node.Close()
			time.Sleep(2 * interval)
			synctest.Wait()
			check()
			require.ErrorIs(t, node.Set("r", occ(1, 1)), occupancy.ErrClosed)
		})
	})
	bubble(t, "another node's rooms, while it stays", func(t *testing.T) {
		memoryComesBack(t, many()/8, func(t *testing.T, e *occupancy.Engine, n int, check func()) {
			node := e.Remote("node")
			must(t, node.Set("stays", occ(1, 1)))
			for i := range n {
				must(t, node.Set(room(i), occ(1, 1)))
			}
			for i := range n {
				must(t, node.Set(room(i), occ(0, 0)))
			}
			time.Sleep(2 * interval)
			synctest.Wait()
			check()
			node.Close()
		})
	})
}

func TestPromise7_AHandlePinsNothing(t *testing.T) {
	bubble(t, "but what it is itself", func(t *testing.T) {
		e := start(t, occupancy.WithMaxRooms(1))
		n := many() / 20
		handles := make([]*occupancy.Room, n)
		for i := range handles {
			handles[i] = e.Room(room(i))
		}
		before := heap()
		for _, r := range handles {
			must(t, r.Join(), r.Enter()) // each takes the one room there may be
			s, err := r.Subscribe()
			must(t, err, r.Leave(), r.Exit())
			s.Unsubscribe()
			require.Zero(t, e.Stats().Rooms)
		}
		time.Sleep(2 * interval)
		// It remembers where it was found last, which is less than a room and is
		// forgotten with its next use.
		require.Less(t, heap(), before+uint64(n)*400)
		for _, r := range handles {
			require.Zero(t, r.Current())
		}
		require.Less(t, heap(), before+128<<10)
	})
}
