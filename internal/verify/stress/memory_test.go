package stress

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// many returns how many rooms come and go: fewer with the race detector, which makes each
// take 20 times as long.
func many() int {
	info, _ := debug.ReadBuildInfo()
	if testing.Short() || slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return 50_000
	}
	return 1_000_000
}

// releasesMemory calls run, which lets n rooms come and go. At each call of check, and at
// the end, the heap may be larger than before by 5% or by what the queues keep for reuse.
func releasesMemory(t *testing.T, n int, run func(t *testing.T, e *occupancy.Engine, n int, check func())) {
	e := newEngine(t)
	run(t, e, 100, func() {}) // so that buffers have their size
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
	require.Zero(t, e.Stats().Total)
}

func TestMemory_OfEmptiedRoomsIsReleased(t *testing.T) {
	bubble(t, "joined and left", func(t *testing.T) {
		releasesMemory(t, many(), func(t *testing.T, e *occupancy.Engine, n int, _ func()) {
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
	bubble(t, "with pauses", func(t *testing.T) {
		releasesMemory(t, many()/4, func(t *testing.T, e *occupancy.Engine, n int, _ func()) {
			for i := range n {
				must(t, e.Join(room(i)), e.Enter(room(i), "c"))
			}
			time.Sleep(2 * interval)
			for i := range n {
				must(t, e.Leave(room(i)), e.Exit(room(i), "c"))
				if i%1000 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	})
	bubble(t, "together with a room that is always busy", func(t *testing.T) {
		releasesMemory(t, many()/4, func(t *testing.T, e *occupancy.Engine, n int, check func()) {
			s, w := subscribe(t, e, "busy"), watch(t, e)
			defer s.Unsubscribe()
			defer w.Close()
			for i := range n {
				must(t, e.Join(room(i)))
			}
			readAll(t, w)
			for i := range n {
				must(t, e.Leave(room(i)))
			}
			keepBusy := func(hook func(string) error) {
				for range 200 {
					must(t, hook("busy"))
					time.Sleep(interval / 10)
					readAll(t, w)
				}
			}
			keepBusy(e.Join)
			check()
			keepBusy(e.Leave)
		})
	})
	bubble(t, "leased", func(t *testing.T) {
		releasesMemory(t, many()/8, func(t *testing.T, e *occupancy.Engine, n int, _ func()) {
			leases := make([]*occupancy.Lease, n)
			for i := range n {
				c, err := e.Connect(room(i))
				must(t, err, c.Enter("a"), c.Enter("b"))
				leases[i] = c
			}
			for _, c := range leases {
				must(t, c.Close())
			}
		})
	})
	bubble(t, "name that is a part of a larger string", func(t *testing.T) {
		e := newEngine(t)
		before := heap()
		for i := range 64 {
			name := fmt.Sprintf("%8d%s", i, strings.Repeat(" ", 1<<20))[:8]
			must(t, e.Join(name))
		}
		require.Less(t, heap(), before+1<<20)
	})
	bubble(t, "unknown names", func(t *testing.T) {
		releasesMemory(t, many()/4, func(t *testing.T, e *occupancy.Engine, n int, _ func()) {
			for i := range n {
				if e.Leave(room(i)) != occupancy.ErrNotJoined || e.Exit(room(i), "c") != occupancy.ErrNotEntered ||
					e.Current(room(i)) != occ(0, 0) || e.Local(room(i)) != occ(0, 0) {
					t.Fatal("the room exists")
				}
			}
		})
	})
	bubble(t, "refused by Max", func(t *testing.T) {
		releasesMemory(t, many()/4, func(t *testing.T, e *occupancy.Engine, n int, _ func()) {
			for i := range n {
				_, err := e.Connect(room(i), occupancy.Max(0))
				require.ErrorIs(t, err, occupancy.ErrRoomFull)
			}
		})
	})
}

func TestMemory_OfListenersIsReleased(t *testing.T) {
	bubble(t, "a subscriber in each room", func(t *testing.T) {
		releasesMemory(t, many()/8, func(t *testing.T, e *occupancy.Engine, n int, _ func()) {
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
	bubble(t, "many subscribers in one room", func(t *testing.T) {
		releasesMemory(t, many()/8, func(t *testing.T, e *occupancy.Engine, n int, check func()) {
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
	bubble(t, "many subscribers in each of many rooms, which stay", func(t *testing.T) {
		const subscribers = 50
		e := newEngine(t)
		n := many() / 400
		for i := range n {
			must(t, e.Join(room(i)))
			subscribe(t, e, room(i)).Unsubscribe() // a room may keep what its first subscriber needs
		}
		time.Sleep(2 * interval)
		before := heap()
		for i := range n {
			subs := make([]*occupancy.Subscription, subscribers)
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
		releasesMemory(t, many()/4, func(t *testing.T, e *occupancy.Engine, n int, check func()) {
			w, idle := watch(t, e), watchLocal(t, e)
			for i := range n {
				must(t, e.Join(room(i)))
			}
			readAll(t, w)
			late := watch(t, e) // does not read the rooms that exist
			for i := range n {
				must(t, e.Leave(room(i)))
			}
			time.Sleep(2 * interval)
			rooms, _ := readAll(t, w)
			require.Equal(t, n, len(rooms))
			clear(rooms)
			idle.Close()
			late.Close()
			time.Sleep(interval)
			readAll(t, w)
			check()
			w.Close()
		})
	})
	bubble(t, "remote", func(t *testing.T) {
		releasesMemory(t, many()/8, func(t *testing.T, e *occupancy.Engine, n int, check func()) {
			node := remote(t, e, "node")
			for i := range n {
				must(t, node.Set(part(room(i), occ(1, 1))))
			}
			time.Sleep(2 * interval)
			node.Close()
			time.Sleep(2 * interval)
			synctest.Wait()
			check()
			require.ErrorIs(t, node.Set(part("r", occ(1, 1))), occupancy.ErrClosed)
		})
	})
	bubble(t, "parts of a remote that stays open", func(t *testing.T) {
		releasesMemory(t, many()/8, func(t *testing.T, e *occupancy.Engine, n int, check func()) {
			node := remote(t, e, "node")
			must(t, node.Set(part("stays", occ(1, 1))))
			for i := range n {
				must(t, node.Set(part(room(i), occ(1, 1))))
			}
			for i := range n {
				must(t, node.Set(part(room(i), occ(0, 0))))
			}
			time.Sleep(2 * interval)
			synctest.Wait()
			check()
			node.Close()
		})
	})
}

func TestMemory_HandleKeepsNoRoom(t *testing.T) {
	bubble(t, "many handles", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(1))
		n := many() / 20
		handles := make([]*occupancy.Room, n)
		for i := range handles {
			handles[i] = e.Room(room(i))
		}
		before := heap()
		for _, r := range handles {
			must(t, r.Join(), r.Enter("c")) // the limit allows one room
			s, err := r.Subscribe()
			must(t, err, r.Leave(), r.Exit("c"))
			s.Unsubscribe()
			require.Zero(t, e.Stats().Rooms)
		}
		time.Sleep(2 * interval)
		// A handle keeps the room's last cell, which is small, until its next use.
		require.Less(t, heap(), before+uint64(n)*400)
		for _, r := range handles {
			require.Zero(t, r.Current())
		}
		require.Less(t, heap(), before+128<<10)
	})
}

func TestMemory_RefusedNamesUseNone(t *testing.T) {
	bubble(t, "refused names", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(1))
		must(t, e.Join("r"))
		w, r, node := watch(t, e), e.Room("handle"), remote(t, e, "node")
		must(t, node.Set(part("reported", occ(1, 1))))
		subscribe(t, e, "subscribed")
		wantRooms(t, w, byRoom{"r": occ(1, 0), "reported": occ(1, 1)})
		before := heap()
		for i := range 30_000 {
			_, err := e.Subscribe(room(i))
			if e.Join(room(i)) == nil || e.Enter(room(i), "c") == nil || r.Join() == nil || err == nil || node.Set(part(room(i), occ(1, 1))) == nil {
				t.Fatal("accepted")
			}
		}
		require.Less(t, heap(), before+128<<10)
		names := make([]string, 10_000)
		for i := range names {
			names[i] = "another " + room(i)
		}
		allocs := mallocs()
		for _, name := range names {
			if e.Join(name) == nil {
				t.Fatal("accepted")
			}
		}
		require.Less(t, mallocs()-allocs, uint64(len(names)/10)) // not even for a moment
		wantRooms(t, w, byRoom{})
		require.Equal(t, byRoom{"r": occ(1, 0), "reported": occ(1, 1)}, maps.Collect(e.All()))
	})
}

func TestMemory_OfUnreadWatcherIsBoundedByTheRooms(t *testing.T) {
	const rooms, rounds = 10, 5_000
	changes := map[string]func(t *testing.T, e *occupancy.Engine, name string, round int){
		"rooms that change": func(t *testing.T, e *occupancy.Engine, name string, _ int) {
			must(t, e.Join(name))
		},
		"rooms that end and begin again": func(t *testing.T, e *occupancy.Engine, name string, round int) {
			if round%2 == 0 {
				must(t, e.Join(name))
			} else {
				must(t, e.Leave(name))
			}
		},
		"rooms that are subscribed to for a moment": func(t *testing.T, e *occupancy.Engine, name string, round int) {
			s := subscribe(t, e, name)
			s.Unsubscribe()
			if round%2 == 0 {
				must(t, e.Enter(name, "c"))
			} else {
				must(t, e.Exit(name, "c"))
			}
		},
	}
	for name, change := range changes {
		bubble(t, name, func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(time.Nanosecond))
			unread, local := watch(t, e), watchLocal(t, e)
			some := watch(t, e, occupancy.WithPrefix("room7"))
			round := 0
			run := func(n int) {
				for range n {
					for i := range rooms {
						change(t, e, room(i), round)
					}
					round++
					time.Sleep(2 * time.Nanosecond)
					synctest.Wait()
				}
			}
			run(rounds / 10) // so that buffers have their size
			before := heap()
			run(rounds * 9 / 10)
			require.Less(t, heap(), before+256<<10)

			want, wantSome := byRoom{}, byRoom{} // without the rooms that began and ended
			for name, o := range e.All() {
				want[name] = o
				if name == "room7" {
					wantSome[name] = o
				}
			}
			wantRooms(t, unread, want)
			wantRooms(t, local, want)
			wantRooms(t, some, wantSome)
		})
	}
}

// Each name is used once, by concurrent goroutines. Handles, leases and a watcher outlive
// the rooms.
func TestMemory_IsReleasedUnderConcurrentCalls(t *testing.T) {
	defer noGoroutineLeft(t, runtime.NumGoroutine())
	e := occupancy.New(occupancy.WithInterval(time.Millisecond))
	defer e.Close()
	w, err := e.Watch(occupancy.WithPrefix("5"))
	must(t, err)
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			if _, err := w.Next(context.Background()); err != nil {
				return
			}
		}
	})

	const goroutines, names, atATime = 4, 10_000, 1_000
	before := heap()
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			var leave []func() error
			for n := range names {
				name := fmt.Sprintf("%d/%d/%s%d", n%10, g, strings.Repeat("x", 200), n)
				var err error
				switch n % 3 {
				case 0:
					var l *occupancy.Lease
					if l, err = e.Connect(name); err == nil {
						leave = append(leave, l.Close)
					}
				case 1:
					var s *occupancy.Subscription
					if s, err = e.Subscribe(name); err == nil {
						leave = append(leave, func() error { s.Unsubscribe(); return nil })
					}
				case 2:
					h := e.Room(name)
					if err = h.Join(); err == nil {
						leave = append(leave, h.Leave)
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
				for len(leave) > atATime || n == names-1 && len(leave) > 0 {
					i := r.IntN(len(leave))
					if err := leave[i](); err != nil {
						t.Error(err)
						return
					}
					leave[i] = leave[len(leave)-1]
					leave = leave[:len(leave)-1]
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, e.Stats().Rooms)
	eventually(t, func() error {
		if now := heap(); now > before+1<<20 {
			return fmt.Errorf("the heap has grown by %d bytes, although every room has ended", now-before)
		}
		return nil
	})
	must(t, w.Close())
	watching.Wait()
}
