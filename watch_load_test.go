package occupancy_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestPromise6_WhatASlowWatcherHoldsIsBoundedByTheRooms(t *testing.T) {
	const rooms, rounds = 10, 10_000 // 100,000 of each
	lives := map[string]func(t *testing.T, e *occupancy.Engine, name string, round int){
		"that change": func(t *testing.T, e *occupancy.Engine, name string, _ int) {
			must(t, e.Join(name))
		},
		"that die and are reborn": func(t *testing.T, e *occupancy.Engine, name string, round int) {
			if round%2 == 0 {
				must(t, e.Join(name))
			} else {
				must(t, e.Leave(name))
			}
		},
		"that are subscribed to at times": func(t *testing.T, e *occupancy.Engine, name string, round int) {
			s := subscribe(t, e, name)
			s.Unsubscribe()
			if round%2 == 0 {
				must(t, e.Enter(name))
			} else {
				must(t, e.Exit(name))
			}
		},
	}
	for life, live := range lives {
		bubble(t, life, func(t *testing.T) {
			e := start(t, occupancy.WithInterval(time.Nanosecond))
			never, local := watch(t, e), watch(t, e, occupancy.LocalOnly())
			some := watch(t, e, occupancy.WithPrefix("room7"))
			round := 0
			run := func(n int) {
				for range n {
					for i := range rooms {
						live(t, e, room(i), round)
					}
					round++
					time.Sleep(2 * time.Nanosecond)
					synctest.Wait()
				}
			}
			run(rounds / 10) // let buffers find their size
			before := heap()
			run(rounds * 9 / 10)
			require.Less(t, heap(), before+256<<10)

			want := byRoom{}
			for i := range rooms {
				want[room(i)] = e.Current(room(i))
			}
			hears(t, never, want)
			hears(t, local, want)
			hears(t, some, byRoom{"room7": want["room7"]})
		})
	}
}

// Watchers of different pace, some that come late and some that leave, while rooms
// change at full speed, die and are reborn: each ends with the truth.
func TestPromise6_NoRoomIsMissedUnderLoad(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, interval} {
		bubble(t, "interval "+d.String(), func(t *testing.T) {
			e := start(t, occupancy.WithInterval(d))
			const rooms = 200
			name := func(i int) string { return fmt.Sprint(i%7, "/room", i) }
			node := e.Remote("node")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var writers, readers sync.WaitGroup
			for i := range 4 {
				writers.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 10))
					var mine []string
					for range 4000 {
						room := name(r.IntN(rooms))
						switch k := r.IntN(10); {
						case k == 0:
							if err := node.Set(room, occ(r.IntN(3), r.IntN(3))); err != nil {
								t.Errorf("Set: %v", err)
							}
						case k < 5 || len(mine) == 0:
							if err := e.Join(room); err != nil {
								t.Errorf("Join: %v", err)
							}
							mine = append(mine, room)
						default:
							j := r.IntN(len(mine))
							if err := e.Leave(mine[j]); err != nil {
								t.Errorf("Leave: %v", err)
							}
							mine = append(mine[:j], mine[j+1:]...)
						}
						if r.IntN(30) == 0 {
							time.Sleep(time.Duration(r.IntN(5000)) * time.Microsecond)
						}
					}
				})
			}

			heard := make([]byRoom, 20)
			prefix := func(i int) string { return []string{"", "", "3/", "none"}[i%4] }
			local := func(i int) bool { return i%2 == 1 }
			for i := range heard {
				heard[i] = byRoom{}
				readers.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 11))
					time.Sleep(time.Duration(r.IntN(i*10+1)) * time.Millisecond)
					opts := []occupancy.WatchOption{occupancy.WithPrefix(prefix(i))}
					if local(i) {
						opts = append(opts, occupancy.LocalOnly())
					}
					w := e.Watch(opts...)
					defer w.Close()
					if i >= 12 {
						time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
						return // some leave, read or not
					}
					versions := map[string]uint64{}
					for {
						batch, err := w.Next(ctx)
						if err != nil {
							return
						}
						once := map[string]bool{}
						for _, ev := range batch {
							if once[ev.Room] {
								t.Errorf("%s is twice in a batch", ev.Room)
							}
							if v := versions[ev.Room]; v >= ev.Version {
								t.Errorf("%s: version %d after %d", ev.Room, ev.Version, v)
							}
							once[ev.Room], versions[ev.Room], heard[i][ev.Room] = true, ev.Version, ev.Occupancy
						}
						if i%3 > 0 {
							time.Sleep(time.Duration(r.IntN(i*10)) * time.Millisecond)
						}
					}
				})
			}
			writers.Wait()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			cancel()
			readers.Wait()
			for i, got := range heard[:12] {
				want := byRoom{}
				for j := range rooms {
					room := name(j)
					if p := prefix(i); len(room) < len(p) || room[:len(p)] != p {
						continue
					}
					o := e.Current(room)
					if local(i) {
						o = e.Local(room)
					}
					if o != occ(0, 0) {
						want[room] = o
					}
				}
				maps.DeleteFunc(got, func(_ string, o occupancy.Occupancy) bool { return o == occ(0, 0) })
				require.Equal(t, want, got, "watcher %d", i)
			}
			require.Zero(t, e.Stats().Watchers)
		})
	}
}

// A room that begins while Watch walks the others is told, as is one that ends.
func TestPromise6_WatchAndAHookAtTheSameMoment(t *testing.T) {
	bubble(t, "150 times", func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		for i := range 1000 {
			must(t, e.Join(room(i)))
		}
		synctest.Wait()
		for i := range 150 {
			gate := make(chan struct{})
			var w *occupancy.Watcher
			var wg sync.WaitGroup
			wg.Go(func() { <-gate; w = e.Watch() })
			wg.Go(func() { <-gate; _ = e.Join("new") })
			wg.Go(func() { <-gate; _ = e.Enter(room(i)) })
			close(gate)
			wg.Wait()
			rooms, _ := news(t, w)
			w.Close()
			if len(rooms) != 1001 || rooms["new"] != occ(1, 0) || rooms[room(i)] != occ(1, 1) {
				require.Fail(t, "missed", "%d rooms, %+v, %+v", len(rooms), rooms["new"], rooms[room(i)])
			}
			must(t, e.Leave("new"), e.Exit(room(i)))
			synctest.Wait()
		}
	})
}

func TestPromise6_SeveralMayCallNext(t *testing.T) {
	bubble(t, "and each change goes to one of them", func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
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
				require.Fail(t, "told wrongly", "%s %d times, last %+v", room, n, last[room])
			}
		}
	})
	bubble(t, "and one that gives up leaves it to the other", func(t *testing.T) {
		e := start(t)
		w := watch(t, e)
		ctx, cancel := context.WithCancel(context.Background())
		patient, hasty := make(chan []occupancy.Event, 1), make(chan error, 1)
		go func() { _, err := w.Next(ctx); hasty <- err }()
		go func() { batch, _ := w.Next(context.Background()); patient <- batch }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-hasty, context.Canceled)
		must(t, e.Join("r"))
		require.Equal(t, occ(1, 0), (<-patient)[0].Occupancy)
	})
}

func TestPromise6_WatchersComeAndGo(t *testing.T) {
	bubble(t, "and none disturbs another", func(t *testing.T) {
		e := start(t)
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
		hears(t, third, byRoom{"a": {}, "b": occ(1, 0)})
		hears(t, fourth, byRoom{"b": occ(1, 0)})
		require.Equal(t, 2, e.Stats().Watchers)
	})
	bubble(t, "before their backlog was read", func(t *testing.T) {
		e := start(t)
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
		rooms, events := news(t, second)
		require.Equal(t, len(rooms), events)
		require.Equal(t, occ(1, 0), rooms["new"])
		delete(rooms, "new")
		for _, o := range rooms {
			require.Equal(t, occ(0, 0), o)
		}
	})
}
