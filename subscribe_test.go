package occupancy

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func subscribe(t *testing.T, e *Engine, room string) *Subscription {
	t.Helper()
	s, err := e.Subscribe(room)
	require.NoError(t, err)
	return s
}

// A hook that changes a quiet room publishes the change itself.
func TestSubscription_HasTheEventWhenTheHookReturns(t *testing.T) {
	for _, subs := range []int{1, maxInlineListeners} {
		synctest.Test(t, func(t *testing.T) {
			e := New()
			defer e.Close()
			watcher := watch(t, e)
			var all []*Subscription
			for range subs {
				s := subscribe(t, e, "room")
				<-s.Events()
				all = append(all, s)
			}
			handle := e.Room("room")
			lease, err := e.Connect("room")
			require.NoError(t, err)
			require.NoError(t, lease.Enter("first"))
			for i, hook := range []func() error{
				func() error { return e.Join("room") },
				func() error { return e.Enter("room", "c") },
				handle.Join,
				func() error { return lease.Enter("c") },
				func() error { return lease.Exit("c") },
				lease.Close,
				handle.Leave,
				func() error { return e.Exit("room", "c") },
				func() error { return e.Leave("room") },
				func() (err error) { lease, err = e.Connect("room", As("c")); return err },
				func() error {
					lease.Linger(24 * time.Hour)
					lease, err = e.Connect("room", As("c"), As("d")) // takes over, and enters d
					return err
				},
				func() error { return lease.Close() },
			} {
				time.Sleep(time.Hour)
				for _, s := range all {
					select {
					case <-s.Events():
					default:
					}
				}
				drain(t, watcher) // from here on it waits
				require.NoError(t, hook())
				for _, s := range all {
					select {
					case ev := <-s.Events():
						require.Equal(t, e.Current("room"), ev.Occupancy, "hook %d", i)
					default:
						t.Fatalf("hook %d: no event when the hook returned", i)
					}
				}
				require.Len(t, watcher.wake, 1, "hook %d: the watcher was not woken", i)
			}
		})
	}
}

// With one processor the engine's goroutine does not run between Connect and Enter.
func TestSubscription_ConnectAndEnterAreOneEvent(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const rounds = 200
	two, late := 0, 0
	for i := range rounds {
		opts := []ConnectOption{Max(5)}[:i%2]
		e := New(WithInterval(time.Hour))
		s := subscribe(t, e, "room")
		<-s.Events()
		lease, err := e.Connect("room", opts...)
		require.NoError(t, err)
		require.NoError(t, lease.Enter("c"))
		select {
		case ev := <-s.Events():
			if ev.Occupancy != (Occupancy{1, 1, 0}) {
				two++ // the scheduler has preempted the test
			}
		default:
			late++
		}
		require.NoError(t, e.Close())
	}
	require.Less(t, two, rounds/10)
	require.Less(t, late, rounds/10, "Enter publishes the connection, too")
}

// A hook does not publish a room that many listen to, and delegates it to the goroutine.
func TestSubscription_HookPublishesToFewListenersOnly(t *testing.T) {
	for name, listen := range map[string]func(t *testing.T, e *Engine){
		"subscribers": func(t *testing.T, e *Engine) {
			for range maxInlineListeners {
				subscribe(t, e, "room")
			}
		},
		"a delivery that has unlocked the publisher": func(_ *testing.T, e *Engine) {
			e.pub.mu.Lock()
			defer e.pub.mu.Unlock()
			e.rooms.live("room").extra.Load().subs.delivering = true
		},
		"watchers of the room": func(t *testing.T, e *Engine) {
			for range maxInlineListeners {
				watch(t, e, Rooms("room"))
			}
		},
		"watchers that wait": func(t *testing.T, e *Engine) {
			for range maxInlineSleepers + 1 {
				w := watch(t, e)
				drain(t, w)
			}
		},
		"a journal that must be compacted": func(t *testing.T, e *Engine) {
			watch(t, e)
			full := func() bool {
				synctest.Wait()
				e.pub.mu.Lock()
				defer e.pub.mu.Unlock()
				return e.pub.watchers.totals.full()
			}
			for i := 0; !full(); i++ {
				require.NoError(t, e.Join(fmt.Sprint(i)))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New()
				defer e.Close()
				s := subscribe(t, e, "room")
				<-s.Events()
				listen(t, e)
				time.Sleep(time.Second)
				c := e.rooms.live("room")
				require.NotZero(t, c.word.Load()&idle)
				require.False(t, e.sched.tryPublish(c, false))
				require.NoError(t, e.Join("room"))
				synctest.Wait()
				require.Equal(t, Occupancy{1, 0, 0}, (<-s.Events()).Occupancy)
			})
		})
	}
}

// Hooks and the goroutine publish the same rooms at once. Each subscriber reads increasing
// versions, no two events within an interval, and the last value.
func TestSubscription_ConcurrentHooksKeepOrderAndInterval(t *testing.T) {
	const interval, rooms, goroutines = 2 * time.Millisecond, 3, 4
	e := New(WithInterval(interval))
	var readers, hooks sync.WaitGroup
	var total [rooms]atomic.Int64
	for i := range rooms {
		s := subscribe(t, e, string(rune('a'+i)))
		readers.Go(func() {
			last := <-s.Events()
			for ev := range s.Events() {
				if ev.Version != last.Version+1 && ev.Version <= last.Version || ev.Occupancy == last.Occupancy && ev.Version == last.Version+1 {
					t.Errorf("%+v after %+v", ev, last)
				}
				last = ev
			}
			if int64(last.Occupancy.Connections) != total[i].Load() {
				t.Errorf("the last event is %+v, %d joined", last, total[i].Load())
			}
		})
	}
	stop := make(chan struct{})
	for range goroutines {
		hooks.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				i := n % rooms
				if err := e.Join(string(rune('a' + i))); err != nil {
					t.Error(err)
				}
				total[i].Add(1)
				if n%1000 == 0 {
					time.Sleep(3 * interval) // so that the rooms become quiet
				}
			}
		})
	}
	began := e.pub.now()
	for e.pub.now()-began < 100*interval {
		time.Sleep(interval)
	}
	close(stop)
	hooks.Wait()
	intervals := uint64((e.pub.now() - began) / interval)
	require.LessOrEqual(t, e.Stats().Published, rooms*(intervals+2), "events in %d intervals", intervals)
	require.NoError(t, e.Close())
	readers.Wait()
}

// Hooks publish while the engine is closed. Each accepted hook is part of the last event.
func TestSubscription_HookPublishesDuringClose(t *testing.T) {
	for range 300 {
		e := New(WithInterval(0))
		s := subscribe(t, e, "room")
		var accepted atomic.Int64
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for {
					lease, err := e.Connect("room")
					if err != nil {
						return
					}
					_ = lease.Enter("c")
					if accepted.Add(1)%100 == 0 {
						runtime.Gosched() // with one processor
					}
				}
			})
		}
		for accepted.Load() == 0 {
			runtime.Gosched()
		}
		require.NoError(t, e.Close())
		wg.Wait()
		var last Event
		for ev := range s.Events() {
			require.GreaterOrEqual(t, ev.Version, last.Version)
			last = ev
		}
		require.Equal(t, int(accepted.Load()), last.Occupancy.Connections)
		require.Equal(t, e.Current("room"), last.Occupancy)
	}
}

// The interval of a room continues if subscriptions begin and end meanwhile.
func TestSubscription_ComesAndGoesWithinAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		w := watch(t, e)
		first := subscribe(t, e, "room")
		require.NoError(t, e.Join("room"))
		synctest.Wait()
		require.Len(t, drain(t, w), 1)
		second := subscribe(t, e, "room")
		first.Unsubscribe()
		second.Unsubscribe()
		require.NoError(t, e.Join("room"))
		synctest.Wait()
		require.Empty(t, drain(t, w), "less than an interval after the last event")
		time.Sleep(e.Interval())
		require.Len(t, drain(t, w), 1)
	})
}

// The snapshot of another subscription has the value that a change at the end of the interval
// undoes. The first subscriber has received nothing since, so the next change is not late.
func TestSubscription_SnapshotOfAnotherStartsNoInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		s := subscribe(t, e, "room")
		require.NoError(t, e.Join("room"))
		require.NoError(t, e.Leave("room"))
		other := subscribe(t, e, "room")
		require.NoError(t, e.Join("room"))
		other.Unsubscribe()
		time.Sleep(e.Interval())
		synctest.Wait()
		require.Equal(t, 1, (<-s.Events()).Occupancy.Connections)
		require.Empty(t, s.Events())
		require.NoError(t, e.Join("room"))
		synctest.Wait()
		require.Len(t, s.Events(), 1)
	})
}

// The interval of a room is over, but the publisher has not visited the room yet. After
// Subscribe, a hook may publish the next change.
func TestSubscription_MakesRoomIdleWhenItsIntervalIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		watch(t, e)
		subscribe(t, e, "room")
		require.NoError(t, e.Join("room"))
		time.Sleep(time.Second)
		c := e.rooms.live("room")
		c.word.Store(c.word.Load()&^idle | queued)
		s := subscribe(t, e, "room")
		require.NotZero(t, c.word.Load()&idle)
		<-s.Events()
		require.NoError(t, e.Join("room"))
		require.Len(t, s.Events(), 1)
	})
}

// If Subscribe publishes a change before the end of the interval, watchers return it at once.
func TestSubscription_SnapshotWakesWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(time.Hour))
		defer e.Close()
		w := watch(t, e)
		require.NoError(t, e.Join("room"))
		synctest.Wait()
		require.NoError(t, e.Join("room")) // until the end of the interval
		synctest.Wait()
		require.Len(t, drain(t, w), 1) // from here on it waits
		s := subscribe(t, e, "room")
		require.Equal(t, Occupancy{2, 0, 0}, (<-s.Events()).Occupancy)
		require.Len(t, w.wake, 1)
		require.Len(t, drain(t, w), 1)
	})
}

// betweenSlices makes the calls between two slices of a delivery of the room of c, if the
// scheduler permits, and reports whether it did. It returns when all is done.
func betweenSlices(t *testing.T, e *Engine, c *cell, calls ...func()) (between bool) {
	t.Helper()
	p, x := e.pub, c.extra.Load()
	require.Eventually(t, func() bool { return c.word.Load()&idle != 0 }, 10*time.Second, time.Millisecond)
	p.mu.Lock()
	w := c.word.Load() // a Join, whose room no other goroutine visits
	ok, err := e.rooms.swap(c, w, (w&^idle|queued)+connection)
	require.True(t, ok && err == nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		between = 0 < x.subs.passed && int(x.subs.passed) < len(x.subs.list)
	})
	for _, call := range calls {
		wg.Go(call)
	}
	// A mutex is handed over to goroutines that have waited for a millisecond and once in vain.
	time.Sleep(2 * time.Millisecond)
	p.mu.Unlock()
	p.mu.Lock()
	time.Sleep(time.Millisecond)
	p.visit(c, p.now(), p.now(), false)
	e.sched.arm()
	p.mu.Unlock()
	wg.Wait()
	return between
}

// The subscribers of a large room come and go between the slices of a delivery. The others
// receive the event exactly once.
func TestSubscription_ComesAndGoesDuringADelivery(t *testing.T) {
	const subs, going = 2000, 500
	round := func(n int) (between bool) {
		e := New(WithInterval(time.Hour))
		defer e.Close()
		var all []*Subscription
		for range subs {
			s := subscribe(t, e, "room")
			<-s.Events()
			all = append(all, s)
		}
		var calls []func()
		gone := map[*Subscription]bool{}
		var late [going / 5]*Subscription
		for i := range going {
			s := all[(i*7+n*31)%subs]
			gone[s] = true
			calls = append(calls, s.Unsubscribe)
			if i < len(late) {
				calls = append(calls, func() { late[i], _ = e.Subscribe("room") })
			}
		}
		c := e.rooms.live("room")
		between = betweenSlices(t, e, c, calls...)

		e.pub.mu.Lock()
		x := c.extra.Load()
		require.Zero(t, x.subs.passed)
		require.Len(t, x.subs.list, subs+len(late)-going)
		for i, s := range x.subs.list {
			require.Equal(t, i, s.sub.index)
		}
		e.pub.mu.Unlock()
		require.Zero(t, e.pub.folded.Load(), "some received the event twice")
		for _, s := range append(all, late[:]...) {
			if gone[s] {
				_, open := <-s.Events()
				require.False(t, open)
				continue
			}
			select {
			case ev := <-s.Events():
				require.Equal(t, Occupancy{1, 0, 0}, ev.Occupancy)
			default:
				t.Fatal("a subscriber did not receive the event")
			}
		}
		return between
	}
	between := 0
	for n := 0; between < 10; n++ {
		require.Less(t, n, 200, "few calls came between two quanta of a delivery")
		if round(n) {
			between++
		}
	}
}

// All subscribers of a large room, or all but a few, end during a delivery. Then a hook may
// publish the room while the delivery is not over.
func TestSubscription_MostUnsubscribedDuringDelivery(t *testing.T) {
	for left := range 3 {
		for between, n := 0, 0; between < 5; n++ {
			require.Less(t, n, 100, "few calls came between two quanta of a delivery")
			e := New(WithInterval(0))
			var all []*Subscription
			var calls []func()
			for i := range 2 * quantum {
				s := subscribe(t, e, "room")
				<-s.Events()
				if i >= left {
					calls = append(calls, s.Unsubscribe)
				} else {
					all = append(all, s)
				}
			}
			calls = append(calls, func() {
				lease, err := e.Connect("room")
				if err == nil {
					err = lease.Enter("c") // publishes the room if it can
				}
				if err != nil {
					t.Error(err)
				}
			})
			if betweenSlices(t, e, e.rooms.live("room"), calls...) {
				between++
			}
			wantSettled(t, e)
			for _, s := range all {
				require.Equal(t, Occupancy{2, 1, 0}, (<-s.Events()).Occupancy)
				s.Unsubscribe()
			}
			require.NoError(t, e.Close())
		}
	}
}

// The list of a room's subscriptions does not keep one that has ended.
func TestSubscription_RoomForgetsEndedSubscription(t *testing.T) {
	e := New()
	defer e.Close()
	var all []*Subscription
	for range 3 {
		s := subscribe(t, e, "room")
		all = append(all, s)
	}
	all[1].Unsubscribe()
	e.pub.mu.Lock()
	defer e.pub.mu.Unlock()
	subs := e.rooms.live("room").extra.Load().subs.list
	require.Equal(t, []*Subscription{all[0], all[2], nil}, []*Subscription{subs[0].sub, subs[1].sub, subs[:3][2].sub})
}

// A room that waits for its interval gives back its extra afterwards.
func TestSubscription_RoomGivesBackItsExtraAfterItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		s := subscribe(t, e, "room")
		require.NoError(t, e.Join("room"))
		s.Unsubscribe()
		require.NotNil(t, e.rooms.live("room").extra.Load())
		time.Sleep(2 * e.Interval())
		require.Nil(t, e.rooms.live("room").extra.Load())
	})
}

// The versions of a room increase, also if only other nodes' parts have changed it before its
// extra was released.
func TestSubscription_VersionsIncreaseWithoutTheExtra(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		link, err := e.Link(nil)
		require.NoError(t, err)
		remote := link.Remote("node")
		require.NoError(t, e.Join("room"))
		var last uint64
		for range 3 {
			s := subscribe(t, e, "room")
			ev := <-s.Events()
			require.GreaterOrEqual(t, ev.Version, last)
			for _, n := range []int{1, 2, 0} {
				require.NoError(t, remote.Set(Part{Room: "room", Occupancy: Occupancy{Connections: n}}))
				ev = <-s.Events()
				require.Equal(t, n+1, ev.Occupancy.Connections)
			}
			last = ev.Version
			s.Unsubscribe()
			time.Sleep(time.Second)
			require.Nil(t, e.rooms.live("room").extra.Load())
		}
	})
}

// A room keeps its extra during a delivery, and until the watchers of local counts have read
// past its last publication.
func TestSubscription_RoomKeepsItsExtraWhileItIsNecessary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		require.NoError(t, e.Join("room"))
		s := subscribe(t, e, "room")
		time.Sleep(time.Second)
		x := e.rooms.live("room").extra.Load()
		x.subs.delivering = true
		s.Unsubscribe()
		require.Same(t, x, e.rooms.live("room").extra.Load())
		x.subs.delivering = false

		link, err := e.Link(nil)
		require.NoError(t, err)
		w, err := link.Watch()
		require.NoError(t, err)
		require.Len(t, drain(t, w), 1)
		node := link.Remote("node")
		require.NoError(t, node.Set(Part{Room: "room", Occupancy: Occupancy{Connections: 1}}))
		time.Sleep(time.Second)
		require.NoError(t, node.Set(Part{Room: "room"})) // the journal of local counts has no entry of it
		time.Sleep(time.Second)
		require.NotNil(t, e.rooms.live("room").extra.Load())
		require.NoError(t, e.Join("room"))
		time.Sleep(time.Second)
		require.Len(t, drain(t, w), 1)

		// A connection moves from the other node to this process, so the total does not change.
		require.NoError(t, node.Set(Part{Room: "room", Occupancy: Occupancy{Connections: 1}}))
		time.Sleep(time.Second)
		require.NoError(t, e.Join("another"))
		time.Sleep(time.Second)
		require.Len(t, drain(t, w), 1)
		e.pub.mu.Lock()
		require.NoError(t, e.Join("room"))
		require.NoError(t, node.set(Part{Room: "room"}))
		e.pub.mu.Unlock()
		time.Sleep(time.Second)
		require.Len(t, drain(t, w), 1)
	})
}

// An occupied room gives back the memory of its last subscription or part of another node.
// Versions increase all the same.
func TestSubscription_RoomGivesBackItsExtra(t *testing.T) {
	for name, watchLocal := range map[string]bool{"without a watcher": false, "watched by a link": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New()
				defer e.Close()
				link, err := e.Link(nil)
				require.NoError(t, err)
				require.NoError(t, e.Join("room"))
				w, err := link.Watch()
				require.NoError(t, err)
				if !watchLocal {
					require.NoError(t, w.Close())
				}
				version := uint64(0)
				for range 10 {
					s := subscribe(t, e, "room")
					require.NoError(t, link.Remote("node").Set(Part{Room: "room", Occupancy: Occupancy{Connections: 1}}))
					time.Sleep(time.Second)
					require.NoError(t, e.Join("room"))
					require.NoError(t, link.Close())
					time.Sleep(time.Second)
					ev := <-s.Events()
					require.Equal(t, e.Current("room"), ev.Occupancy)
					require.Greater(t, ev.Version, version)
					version = ev.Version
					s.Unsubscribe()

					link, err = e.Link(nil)
					require.NoError(t, err)
					if watchLocal {
						_ = w.Close()
						w, err = link.Watch()
						require.NoError(t, err)
					}
					time.Sleep(time.Second)
					require.Nil(t, e.rooms.live("room").extra.Load())
				}
			})
		})
	}
}
