package occupancy

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// wantNothingKept requires that the engine keeps nothing of any room.
func wantNothingKept(t *testing.T, e *Engine) {
	t.Helper()
	p := e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inbox.mu.Lock()
	defer p.inbox.mu.Unlock()
	require.Zero(t, e.rooms.cells.Size(), "cells in the map")
	require.Zero(t, e.rooms.existing(), "rooms that exist")
	require.True(t, p.inbox.cells.empty(), "in the inbox")
	require.True(t, p.inbox.urgent.empty(), "urgent in the inbox")
	require.True(t, p.waiting.empty(), "waiting")
	require.True(t, p.emptied.empty(), "emptied, without listeners")
	require.True(t, p.watchers.totals.entries.empty(), "in the journal of totals")
	require.True(t, p.watchers.locals.entries.empty(), "in the journal of local parts")
}

func TestPublisher_KeepsEmptiedRoomUntilAllWatchersHaveReadIt(t *testing.T) {
	for name, last := range map[string]func(*testing.T, *Watcher){
		"read":   func(t *testing.T, w *Watcher) { drain(t, w) },
		"closed": func(_ *testing.T, w *Watcher) { _ = w.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
				link, err := e.Link(nil)
				require.NoError(t, err)
				totals := watch(t, e)
				locals, err := link.Watch()
				require.NoError(t, err)
				require.NoError(t, e.Join("a"))
				peer := link.Remote("peer") // so that the room has separate publications of its total and its local counts
				require.NoError(t, peer.Set(Part{Room: "a", Occupancy: Occupancy{Connections: 1}}))
				time.Sleep(time.Second)
				drain(t, totals)
				drain(t, locals)

				require.NoError(t, e.Leave("a"))
				require.NoError(t, peer.Close())
				time.Sleep(time.Second)
				require.Zero(t, e.rooms.existing())
				require.Equal(t, 1, e.rooms.cells.Size())

				require.Len(t, drain(t, totals), 1)
				require.Equal(t, 1, e.rooms.cells.Size(), "the watcher of local parts has not read it")
				last(t, locals)
				wantNothingKept(t, e)
			})
		})
	}
}

// A room is emptied, and joined again before a watcher has read that it is empty. It keeps
// its cell, and the watcher returns it once, with its newest value.
func TestPublisher_RoomRejoinedBeforeWatcherReadItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		w := watch(t, e)
		handle := e.Room("a")
		require.NoError(t, handle.Join())
		time.Sleep(time.Second)
		drain(t, w)
		require.NoError(t, handle.Leave())
		time.Sleep(time.Second)
		kept := handle.cell.Load()
		require.Equal(t, idle, kept.word.Load(), "idle, not retired")

		require.NoError(t, handle.Join())
		require.Same(t, kept, handle.cell.Load())
		time.Sleep(time.Second)
		events := drain(t, w)
		require.Len(t, events, 1)
		require.Equal(t, Occupancy{Connections: 1}, events[0].Occupancy)

		require.NoError(t, handle.Leave())
		time.Sleep(time.Second)
		drain(t, w)
		require.Equal(t, retired, kept.word.Load())
		require.NoError(t, w.Close())
		wantNothingKept(t, e)
	})
}

// A watcher that is not read keeps the rooms that it knows, but no room that begins and
// ends meanwhile, however often another watcher reads.
func TestPublisher_UnreadWatcherKeepsOnlyTheRoomsItKnows(t *testing.T) {
	for _, readEvery := range []int{1, 7, 100} {
		synctest.Test(t, func(t *testing.T) {
			e := New()
			defer e.Close()
			link, err := e.Link(nil)
			require.NoError(t, err)
			open := func() (all []*Watcher) {
				for _, watch := range []func() (*Watcher, error){
					func() (*Watcher, error) { return e.Watch() },
					func() (*Watcher, error) { return e.Watch(WithPrefix("known")) },
					func() (*Watcher, error) { return e.Watch(WithPrefix("other")) },
					func() (*Watcher, error) { return link.Watch() },
				} {
					w, err := watch()
					require.NoError(t, err)
					all = append(all, w)
				}
				return all
			}
			isKnown := []int{1, 1, 0, 1} // how many rooms each knows
			unread, readers := open(), open()
			require.NoError(t, e.Join("known"))
			time.Sleep(time.Second)
			for i, w := range unread {
				require.Len(t, drain(t, w), isKnown[i])
			}
			require.NoError(t, e.Leave("known"))
			time.Sleep(time.Second)
			unread = append(unread, open()...) // these do not know any room
			for i := range 3000 {
				name := fmt.Sprint("known", i)
				require.NoError(t, e.Join(name))
				time.Sleep(time.Second)
				if i%2 == 0 { // its two counts have separate publications
					s := subscribe(t, e, name)
					s.Unsubscribe()
				}
				require.NoError(t, e.Leave(name))
				time.Sleep(time.Second)
				if i%readEvery == 0 {
					for _, w := range readers {
						drain(t, w)
					}
				}
				require.LessOrEqual(t, e.rooms.cells.Size(), 1+readEvery)
			}
			for _, j := range []*journal{&e.pub.watchers.totals, &e.pub.watchers.locals} {
				require.LessOrEqual(t, j.length, 2*blockLen)
			}
			for i, w := range unread[:4] {
				require.Len(t, drain(t, w), isKnown[i])
			}
			for _, w := range readers {
				drain(t, w)
			}
			require.Zero(t, e.rooms.cells.Size())
			for _, w := range unread {
				require.Empty(t, drain(t, w))
			}
		})
	}
}

// A watcher is closed before it has read that its rooms are empty. A watcher that has never
// been read does not keep them.
func TestPublisher_ClosedWatcherKeepsNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		unread := watch(t, e)
		defer unread.Close()
		w := watch(t, e)
		for i := range 2 * quantum {
			require.NoError(t, e.Join(fmt.Sprint(i)))
		}
		time.Sleep(time.Second)
		require.Len(t, drain(t, w), 2*quantum)
		for i := range 2 * quantum {
			require.NoError(t, e.Leave(fmt.Sprint(i)))
		}
		time.Sleep(time.Second)
		require.Equal(t, 2*quantum, e.rooms.cells.Size())
		require.NoError(t, w.Close())
		require.Zero(t, e.rooms.cells.Size())
	})
}

// A change between publish and settle must be published first, even if the total does not
// change because it is capped.
func TestPublisher_SettleRefusesAnUnpublishedChange(t *testing.T) {
	e := New(WithInterval(time.Hour))
	defer e.Close()
	s := subscribe(t, e, "a")
	defer s.Unsubscribe()
	p := e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	c := e.rooms.live("a")
	x := c.extra.Load()
	for what, s := range map[string]struct {
		remote, newRemote counts
		newLocal          uint64
	}{
		"this process's part, capped total": {counts{maxCount, 0, 0}, counts{maxCount, 0, 0}, 6 * connection},
		"remote part":                       {counts{}, counts{0, 1, 0}, 5 * connection},
		"both parts, same total":            {counts{}, counts{1, 0, 0}, 4 * connection},
	} {
		x.remote.Store(&s.remote)
		c.word.Store(held | queued | 5*connection)
		p.publish(c, c.local())
		x.remote.Store(&s.newRemote)
		now := held | queued | s.newLocal
		c.word.Store(now)
		require.False(t, p.settle(c), what)
		require.Equal(t, now, c.word.Load(), what)
		p.publish(c, c.local())
		require.True(t, p.settle(c), what)
		require.Equal(t, now&^queued|idle, c.word.Load(), what)
	}
	x.remote.Store(nil)
	p.publish(c, c.local())
}

// A room without a listener is dropped soon, although the interval is long and another
// room waits for it.
func TestPublisher_DropsRoomWithoutListenerBeforeTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(time.Hour))
		defer e.Close()
		time.Sleep(10 * time.Hour)
		s := subscribe(t, e, "subscribed")
		defer s.Unsubscribe()
		require.NoError(t, e.Join("subscribed"))
		require.NoError(t, e.Join("plain"))
		synctest.Wait()
		require.NoError(t, e.Leave("plain"))
		time.Sleep(3 * maxDropDelay) // its end is published, and then it is dropped
		require.Equal(t, 1, e.rooms.cells.Size())
	})
}

// A room that emptied during its interval is dropped when the interval is over.
func TestPublisher_DropsRoomWithoutListenerWhenItsIntervalIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(time.Second))
		defer e.Close()
		s := subscribe(t, e, "room")
		require.NoError(t, e.Join("room"))
		s.Unsubscribe()
		require.NoError(t, e.Leave("room"))
		time.Sleep(time.Second - time.Nanosecond)
		require.Equal(t, 1, e.rooms.cells.Size())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		wantNothingKept(t, e)
	})
}

func TestPublisher_VisitsBusyRoomWithoutListenerSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(time.Hour))
		defer e.Close()
		for range 1000 {
			require.NoError(t, e.Join("room"))
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		e.pub.mu.Lock()
		defer e.pub.mu.Unlock()
		require.LessOrEqual(t, e.pub.seq, uint64(1+time.Second/maxDropDelay))
	})
}

func TestPublisher_DropsRoomsWithoutListenersSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(24*time.Hour), WithMaxRooms(1))
		defer e.Close()
		for i := range 1000 {
			require.NoError(t, e.Join(fmt.Sprint(i)))
			require.NoError(t, e.Leave(fmt.Sprint(i)))
		}
		time.Sleep(time.Second)
		require.Zero(t, e.rooms.cells.Size())
		require.Zero(t, e.Stats().Total)
	})
}

// listeners opens each kind of listener of a room. Each returns what the listener knows of
// the room once all is published, and a function that closes it.
var listeners = map[string]func(t *testing.T, e *Engine, link *Link, room string) (last func() Occupancy, end func()){
	"Subscribe": func(t *testing.T, e *Engine, _ *Link, room string) (func() Occupancy, func()) {
		s := subscribe(t, e, room)
		last := <-s.Events()
		return func() Occupancy {
			select {
			case last = <-s.Events():
			default:
			}
			return last.Occupancy
		}, s.Unsubscribe
	},
	"Watch": func(t *testing.T, e *Engine, _ *Link, _ string) (func() Occupancy, func()) {
		w := watch(t, e)
		return viewOf(w)
	},
	"Watch with a prefix": func(t *testing.T, e *Engine, _ *Link, room string) (func() Occupancy, func()) {
		w := watch(t, e, WithPrefix(room))
		return viewOf(w)
	},
	"Link.Watch": func(t *testing.T, e *Engine, link *Link, _ string) (func() Occupancy, func()) {
		w, err := link.Watch()
		require.NoError(t, err)
		return viewOf(w)
	},
	"Watch of selected rooms": func(t *testing.T, e *Engine, _ *Link, room string) (func() Occupancy, func()) {
		w := watch(t, e, Rooms(room))
		return viewOf(w)
	},
	"Add": func(t *testing.T, e *Engine, _ *Link, room string) (func() Occupancy, func()) {
		w := watch(t, e, Rooms())
		require.NoError(t, w.Add(room))
		return viewOf(w)
	},
}

// viewOf reads the watcher of one room now and whenever the first function is called.
func viewOf(w *Watcher) (func() Occupancy, func()) {
	r := newReader(w)
	r.read()
	return func() Occupancy {
		r.read()
		for _, o := range r.view {
			return o
		}
		return Occupancy{}
	}, func() { _ = w.Close() }
}

// detached reports whether the engine leaves the room alone while it is busy.
func detached(e *Engine, room string) bool {
	c := e.rooms.live(room)
	return c != nil && c.detached()
}

func TestPublisher_RoomWithoutListenersCostsNothingWhileBusy(t *testing.T) {
	for name, open := range listeners {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New(WithInterval(time.Second))
				defer e.Close()
				link, err := e.Link(nil)
				require.NoError(t, err)
				busy := func() (rounds uint64) {
					began := e.pub.rounds.Load()
					for range 1000 {
						require.NoError(t, e.Join("room"))
						require.NoError(t, e.Enter("room", "c"))
						time.Sleep(20 * time.Millisecond)
						require.NoError(t, e.Exit("room", "c"))
					}
					return e.pub.rounds.Load() - began
				}
				require.Equal(t, uint64(1), busy(), "the round in which the room begins")
				require.True(t, detached(e, "room"))
				require.Zero(t, busy(), "busy and without listeners")

				last, end := open(t, e, link, "room")
				require.Equal(t, e.Current("room"), last())
				require.GreaterOrEqual(t, busy(), uint64(20), "a round in each interval of 20 seconds")
				time.Sleep(2 * time.Second)
				require.Equal(t, e.Current("room"), last())
				wantSettled(t, e)

				end()
				require.LessOrEqual(t, busy(), uint64(1), "at most the round after the next change")
				require.True(t, detached(e, "room"))
				require.Zero(t, busy(), "without listeners again")
			})
		})
	}
}

// Hooks of a room whose total does not change must not make the publisher visit it each time.
func TestPublisher_VisitsRoomWithCappedTotalOncePerInterval(t *testing.T) {
	for _, most := range []Occupancy{{Connections: maxCount}, {PresenceMembers: maxCount}, {maxCount, maxCount, 0}} {
		synctest.Test(t, func(t *testing.T) {
			e := New()
			defer e.Close()
			link, err := e.Link(nil)
			require.NoError(t, err)
			require.NoError(t, link.Remote("node").Set(Part{Room: "room", Occupancy: most}))
			watch(t, e)
			time.Sleep(time.Second)
			before := e.pub.rounds.Load()
			for range 100 {
				require.NoError(t, e.Enter("room", "c"))
				require.NoError(t, e.Join("room"))
				synctest.Wait()
				require.NoError(t, e.Leave("room"))
				require.NoError(t, e.Exit("room", "c"))
				synctest.Wait()
			}
			require.LessOrEqual(t, e.pub.rounds.Load()-before, uint64(3))
		})
	}
}

// The hooks of a quiet room undo their changes before the publisher visits it. It must not
// visit the room each time.
func TestPublisher_VisitsRoomWithUndoneChangesOncePerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		w := watch(t, e)
		require.NoError(t, e.Join("room"))
		time.Sleep(time.Second)
		drain(t, w)
		before := e.pub.rounds.Load()
		for range 100 {
			e.pub.mu.Lock() // so that the publisher does not visit the room in between
			require.NoError(t, e.Join("room"))
			require.NoError(t, e.Leave("room"))
			e.pub.mu.Unlock()
			synctest.Wait()
		}
		require.LessOrEqual(t, e.pub.rounds.Load()-before, uint64(1))
		require.Empty(t, drain(t, w))
		require.NoError(t, e.Join("room"))
		time.Sleep(e.Interval())
		require.Len(t, drain(t, w), 1)
	})
}

func TestPublisher_DetachedRoomIsDroppedWhenItEmpties(t *testing.T) {
	empty := map[string]func(t *testing.T, e *Engine){
		"by hooks": func(t *testing.T, e *Engine) {
			require.NoError(t, e.Leave("room"))
			require.NoError(t, e.Exit("room", "c"))
		},
		"by a lease": func(t *testing.T, e *Engine) {
			lease, err := e.Connect("room")
			require.NoError(t, err)
			require.NoError(t, lease.Enter("a"))
			require.NoError(t, e.Leave("room"))
			require.NoError(t, e.Exit("room", "c"))
			time.Sleep(time.Second)
			require.True(t, detached(e, "room"))
			require.NoError(t, lease.Close())
		},
		"after it flapped": func(t *testing.T, e *Engine) {
			require.NoError(t, e.Exit("room", "c"))
			for i := range 200 {
				require.NoError(t, e.Leave("room"))
				time.Sleep(time.Duration(i) * time.Millisecond)
				require.NoError(t, e.Join("room"))
				time.Sleep(time.Duration(200-i) * time.Millisecond)
			}
			require.NoError(t, e.Leave("room"))
		},
		"while a subscription comes and goes": func(t *testing.T, e *Engine) {
			s := subscribe(t, e, "room")
			require.NoError(t, e.Leave("room"))
			require.NoError(t, e.Exit("room", "c"))
			s.Unsubscribe()
			time.Sleep(25 * time.Hour) // the room has had an event, so it waits for the interval
		},
		"while another node reports it": func(t *testing.T, e *Engine) {
			link, err := e.Link(nil)
			require.NoError(t, err)
			require.NoError(t, link.Remote("node").Set(Part{Room: "room", Occupancy: Occupancy{Connections: 1}}))
			time.Sleep(time.Second)
			require.NoError(t, e.Leave("room"))
			require.NoError(t, e.Exit("room", "c"))
			time.Sleep(time.Second)
			require.True(t, detached(e, "room"))
			require.NoError(t, link.Close())
		},
	}
	for name, empty := range empty {
		for _, limit := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, limit %d", name, limit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e := New(WithInterval(24*time.Hour), WithMaxRooms(limit))
					defer e.Close()
					require.NoError(t, e.Join("room"))
					require.NoError(t, e.Enter("room", "c"))
					time.Sleep(time.Second)
					require.True(t, detached(e, "room"))
					empty(t, e)
					time.Sleep(time.Second)
					wantSettled(t, e)
					wantNothingKept(t, e)
				})
			})
		}
	}
}

// A listener is opened while hooks change a detached room. It must return the last change.
func TestPublisher_NewListenerOfDetachedRoomMissesNoChange(t *testing.T) {
	rounds := 1000
	if testing.Short() {
		rounds = 200
	}
	for name, open := range listeners {
		t.Run(name, func(t *testing.T) {
			e := New(WithInterval(0))
			defer e.Close()
			link, err := e.Link(nil)
			require.NoError(t, err)
			require.NoError(t, e.Join("room"))
			for n := range rounds {
				for !detached(e, "room") { // a hook after the last listener ended
					require.NoError(t, e.Join("room"))
					require.NoError(t, e.Leave("room"))
					runtime.Gosched()
				}
				var begun, opened atomic.Bool
				done := make(chan struct{})
				go func() {
					defer close(done)
					for i := 0; !opened.Load(); i++ {
						_ = e.Join("room")
						_ = e.Leave("room")
						begun.Store(true)
						if i%100 == 99 {
							runtime.Gosched() // with one processor
						}
					}
					for range n % 3 {
						_ = e.Join("room")
					}
				}()
				for !begun.Load() {
					runtime.Gosched()
				}
				last, end := open(t, e, link, "room")
				opened.Store(true)
				<-done
				wantSettled(t, e)
				require.Equal(t, e.Current("room"), last(), "round %d", n)
				require.False(t, detached(e, "room"))
				end()
			}
		})
	}
}

// Closing a watcher that is not read any more drops all emptied rooms that were kept for it. That
// must not block a Subscribe. A few rooms may be dropped before the scheduler runs another
// goroutine, so the test tries again with more.
func TestPublisher_ClosingUnreadWatcherDoesNotBlockSubscribe(t *testing.T) {
	for rooms := 20_000; !subscribesMeanwhile(t, rooms); rooms *= 2 {
		require.Less(t, rooms, 1_000_000, "no Subscribe returned while the rooms were dropped")
	}
}

// settled reports whether the publisher has marked every room as idle.
func settled(e *Engine) bool {
	p := e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inbox.mu.Lock()
	defer p.inbox.mu.Unlock()
	return p.inbox.cells.empty() && p.inbox.urgent.empty() && p.waiting.empty() && p.emptied.empty()
}

// subscribesMeanwhile reports whether a Subscribe returned while rooms were dropped.
func subscribesMeanwhile(t *testing.T, rooms int) (meanwhile bool) {
	e := New(WithInterval(time.Millisecond))
	defer e.Close()
	w := watch(t, e)
	for i := range rooms {
		require.NoError(t, e.Join(fmt.Sprint(i)))
	}
	for e.Stats().Total.Connections < rooms {
		runtime.Gosched()
	}
	for read := 0; read < rooms; { // a room that the watcher does not know is not kept
		events, err := w.Next(t.Context())
		require.NoError(t, err)
		read += len(events)
	}
	for i := range rooms {
		require.NoError(t, e.Leave(fmt.Sprint(i)))
	}
	for e.Stats().Total.Connections > 0 || !settled(e) { // so that only Close drops them
		runtime.Gosched()
	}
	require.Equal(t, rooms, e.rooms.cells.Size(), "rooms kept for the watcher")
	closed := make(chan struct{})
	go func() { _ = w.Close(); close(closed) }()
	for done := false; !done; {
		before := e.rooms.cells.Size()
		s := subscribe(t, e, "another")
		meanwhile = meanwhile || before < rooms && e.rooms.cells.Size() > 1 // one of its own
		s.Unsubscribe()
		select {
		case <-closed:
			done = true
		default:
		}
	}
	require.Eventually(t, func() bool { return e.rooms.cells.Size() == 0 }, 10*time.Second, time.Millisecond)
	return meanwhile
}

// A Stats call that begins while the engine closes must not wait for a walk that no
// goroutine will make.
func TestPublisher_StatsDuringCloseReturns(t *testing.T) {
	for range 50 {
		e := New()
		require.NoError(t, e.Join("room"))
		wantSettled(t, e)
		time.Sleep(time.Millisecond) // the goroutine has nothing to do
		var wg sync.WaitGroup
		e.pub.mu.Lock()
		for range 3 {
			wg.Go(func() { e.Stats() })
		}
		time.Sleep(time.Millisecond) // they wait for mu, and then the goroutine does
		wg.Go(func() { _ = e.Close() })
		time.Sleep(time.Millisecond)
		e.pub.mu.Unlock()
		wg.Wait()
		require.Equal(t, Occupancy{1, 0, 0}, e.Stats().Total)
	}
}

// delayed returns the number of events in the bucket whose bound is the given one.
func delayed(e *Engine, bound time.Duration) uint64 {
	return e.Stats().Delays.Counts[slices.Index(DelayBounds(), bound)]
}

func TestDelays_OfRoomThatWaitedForItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(100 * time.Millisecond))
		defer e.Close()
		w, err := e.Watch()
		require.NoError(t, err)
		defer w.Close()

		require.NoError(t, e.Join("room"))
		synctest.Wait()
		require.EqualValues(t, 1, delayed(e, 100*time.Microsecond), "published at once")

		require.NoError(t, e.Join("room"))
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, 2, delayed(e, 100*time.Microsecond), "the interval is no delay")

		require.NoError(t, e.Join("room"))
		e.pub.mu.Lock()
		e.sched.timer.Stop() // the goroutine wakes up too late
		e.pub.mu.Unlock()
		time.Sleep(350 * time.Millisecond)
		e.pub.inbox.signal()
		synctest.Wait()
		require.EqualValues(t, 1, delayed(e, 300*time.Millisecond))
		require.Equal(t, 250*time.Millisecond, e.Stats().Delays.Sum)

		require.NoError(t, e.Leave("room"))
		time.Sleep(10 * time.Second)
		require.NoError(t, e.Leave("room"))
		synctest.Wait()
		require.EqualValues(t, 4, delayed(e, 100*time.Microsecond), "the time without changes is no delay")
	})
}

func TestDelays_OfRoomFromTheInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		w, err := e.Watch(Rooms("room"))
		require.NoError(t, err)
		defer w.Close()
		require.NoError(t, e.Join("room"))
		time.Sleep(time.Second)
		synctest.Wait()

		// The room waits for two seconds while the goroutine publishes other rooms.
		c := e.rooms.live("room")
		_, _, err = c.step(e.pub.rooms, func(w uint64) (uint64, error) { return plus(w, counts{connections: 1}) })
		require.NoError(t, err)
		arrived, due := fifo[*cell]{}, e.pub.now()
		arrived.push(c)
		time.Sleep(2 * time.Second)
		e.sched.drain(&arrived, due)
		require.EqualValues(t, 1, delayed(e, 3*time.Second))
		require.Equal(t, 2*time.Second, e.Stats().Delays.Sum)
	})
}

func TestDelays_NoneWithoutListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		require.NoError(t, e.Join("room"))
		time.Sleep(10 * time.Second)
		require.Equal(t, 1, e.Stats().Local.Connections)
		require.Zero(t, e.Stats().Delays)
	})
}
