package occupancy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// forgotten checks that e has let go of everything.
func forgotten(t *testing.T, e *Engine) {
	t.Helper()
	p := e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Zero(t, e.rooms.cells.Size(), "cells in the map")
	require.Zero(t, e.rooms.exist.Load(), "rooms that exist")
	require.True(t, p.inbox.cells.empty(), "in the inbox")
	require.True(t, p.cooling.empty(), "cooling")
	require.True(t, p.resting.empty(), "resting")
	require.True(t, p.totals.entries.empty(), "in the journal of totals")
	require.True(t, p.locals.entries.empty(), "in the journal of local parts")
}

func drain(t *testing.T, w *Watcher) (events []Event) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		batch, err := w.Next(ctx)
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return events
		}
		events = append(events, batch...)
	}
}

// A room that ended stays in memory until both kinds of watchers have read so, and
// no longer.
func TestARoomIsKeptForTheWatchersThatHaveNotReadItsEnd(t *testing.T) {
	for name, last := range map[string]func(*testing.T, *Watcher){
		"read":   func(t *testing.T, w *Watcher) { drain(t, w) },
		"closed": func(_ *testing.T, w *Watcher) { w.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New()
				defer e.Close()
				totals, locals := e.Watch(), e.Watch(LocalOnly())
				defer totals.Close()
				defer locals.Close()
				require.NoError(t, e.Join("a"))
				peer := e.Remote("peer") // so that the two parts are told apart
				require.NoError(t, peer.Set("a", Occupancy{Connections: 1}))
				time.Sleep(time.Second)
				drain(t, totals)
				drain(t, locals)

				require.NoError(t, e.Leave("a"))
				peer.Close()
				time.Sleep(time.Second)
				require.Zero(t, e.rooms.exist.Load())
				require.Equal(t, 1, e.rooms.cells.Size())

				require.Len(t, drain(t, totals), 1)
				require.Equal(t, 1, e.rooms.cells.Size(), "a watcher of local parts has not read it")
				last(t, locals)
				forgotten(t, e)
			})
		})
	}
}

// The room begins again while its end is still to be read: it is the same cell, and
// a watcher that reads afterwards hears of it once, as it is now.
func TestARoomThatIsKeptForAWatcherBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		w := e.Watch()
		handle := e.Room("a")
		require.NoError(t, handle.Join())
		time.Sleep(time.Second)
		require.NoError(t, handle.Leave())
		time.Sleep(time.Second)
		kept := handle.cell.Load()
		require.Equal(t, idle, kept.word.Load(), "let go, not retired")

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
		w.Close()
		forgotten(t, e)
	})
}

// A retired cell never changes again, whoever still has it, and what they do goes to
// the room as it is now.
func TestARetiredCellNeverChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(time.Millisecond))
		defer e.Close()
		handle := e.Room("a")
		conn, err := e.Connect("a")
		require.NoError(t, err)
		require.NoError(t, conn.Enter("x"))
		require.NoError(t, handle.Join())
		old := handle.cell.Load()
		require.NoError(t, handle.Leave())
		require.NoError(t, handle.Leave(), "the one of conn")
		require.NoError(t, handle.Exit(), "likewise")
		time.Sleep(time.Second)
		require.Equal(t, retired, old.word.Load())
		forgotten(t, e)

		require.Equal(t, Occupancy{}, handle.Current())
		require.Equal(t, Occupancy{}, handle.Local())
		require.ErrorIs(t, handle.Leave(), ErrNotJoined)
		require.ErrorIs(t, handle.Exit(), ErrNotEntered)
		require.False(t, old.tryJoin())
		require.False(t, old.tryEnter())
		require.False(t, old.tryLeave())
		require.False(t, old.tryExit())
		ok, _ := e.pub.change(old, func(uint64) (uint64, error) { t.Error("stepped"); return 0, nil })
		require.False(t, ok)

		require.NoError(t, e.Join("a"))
		require.NotSame(t, old, handle.find())
		require.NoError(t, conn.Close(), "the room of that name is another's now")
		require.Equal(t, Occupancy{Connections: 1}, e.Current("a"))
		e.rooms.drop(old) // late: the map has another already
		require.Equal(t, Occupancy{Connections: 1}, e.Current("a"))
		require.Equal(t, retired, old.word.Load())
		require.NoError(t, e.Leave("a"))
		time.Sleep(time.Second)
		forgotten(t, e)
	})
}

// Names that are refused must not fill the map.
func TestRefusedRoomsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithMaxRooms(1))
		defer e.Close()
		require.NoError(t, e.Join("a"))
		for i := range 100 {
			require.ErrorIs(t, e.Join(fmt.Sprint(i)), ErrTooManyRooms)
			_, err := e.Subscribe(fmt.Sprint(i))
			require.ErrorIs(t, err, ErrTooManyRooms)
			require.Equal(t, 1, e.rooms.cells.Size())
		}
		// One whose cell was made while there was room yet, and is not any more.
		require.NoError(t, e.Leave("a"))
		late, err := e.rooms.obtain("late")
		require.NoError(t, err)
		require.NoError(t, e.Join("a"))
		_, err = e.add(late, "late", connection)
		require.ErrorIs(t, err, ErrTooManyRooms)
		require.NoError(t, e.Leave("a"))
		time.Sleep(time.Second)
		forgotten(t, e)
	})
}

// One room, ended and begun again as fast as can be, while the publisher retires it:
// each goroutine is in it alone or with others, and nobody's step is lost.
func TestNoJoinIsLostToARoomThatIsDropped(t *testing.T) {
	for _, limit := range []int{0, 1} {
		t.Run(fmt.Sprintf("limit %d", limit), func(t *testing.T) {
			// The rounds are at least so many, and go on until the room was dropped often,
			// which is up to the scheduler.
			const goroutines, rounds, often = 4, 5_000, 100
			e := New(WithInterval(0), WithMaxRooms(limit))
			defer e.Close()
			var seen sync.Map // every cell that was the room
			var cells atomic.Int64
			var wg sync.WaitGroup
			for g := range goroutines {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(1, uint64(g)))
					handle := e.Room("a")
					for n := 0; n < rounds || cells.Load() <= often && n < 1000*rounds; n++ {
						// A connection or a member, by name or by handle.
						steps := [][2]func() error{
							{func() error { return e.Join("a") }, func() error { return e.Leave("a") }},
							{func() error { return e.Enter("a") }, func() error { return e.Exit("a") }},
							{handle.Join, handle.Leave},
							{handle.Enter, handle.Exit},
						}
						kind := r.IntN(2)
						if err := steps[kind+2*r.IntN(2)][0](); err != nil {
							t.Errorf("begin: %v", err)
							return
						}
						c := e.rooms.live("a")
						if c == nil || absent(c.word.Load()) {
							t.Errorf("in the room, but the map has %v", c)
							return
						}
						if _, again := seen.LoadOrStore(c, nil); !again {
							cells.Add(1)
						}
						if n := e.rooms.exist.Load(); limit > 0 && n > 1 {
							t.Errorf("%d rooms exist", n)
							return
						}
						if err := steps[kind+2*r.IntN(2)][1](); err != nil {
							t.Errorf("end: %v", err)
							return
						}
						// Stay away until the room is dropped, or is begun by another.
						for n := 0; n < 20 && absent(c.word.Load()); n++ {
							runtime.Gosched()
						}
					}
				})
			}
			wg.Wait()
			require.Greater(t, cells.Load(), int64(often), "the room was hardly ever dropped: nothing was tested")
			require.Eventually(t, func() bool { return e.rooms.cells.Size() == 0 }, 10*time.Second, time.Millisecond)
			t.Logf("%d cells in %d rounds", cells.Load(), rounds)
			require.Zero(t, e.rooms.exist.Load())
			seen.Range(func(c, _ any) bool {
				require.Equal(t, retired, c.(*cell).word.Load())
				return true
			})
		})
	}
}

// Rooms of different names that begin at the same moment are still no more than are
// allowed.
func TestTheLimitHoldsAtTheSameMoment(t *testing.T) {
	const goroutines = 3
	rounds := int64(20_000)
	if testing.Short() {
		rounds = 2_000 // with more processors than there are, they wait for one another long
	}
	e := New(WithInterval(0), WithMaxRooms(1))
	defer e.Close()
	var round, accepted, done atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			room := e.Room(fmt.Sprint(g))
			for n := int64(1); n <= rounds; n++ {
				for round.Load() < n {
					runtime.Gosched()
				}
				err := room.Join()
				if err == nil {
					accepted.Add(1)
				}
				done.Add(1)
				for done.Load() < n*goroutines {
					runtime.Gosched()
				}
				if err == nil {
					err = room.Leave()
				}
				if err != nil && err != ErrTooManyRooms {
					t.Error(err)
				}
			}
		})
	}
	for n := int64(1); n <= rounds && !t.Failed(); n++ {
		for e.rooms.exist.Load() > 0 {
			runtime.Gosched()
		}
		round.Store(n)
		for done.Load() < n*goroutines {
			runtime.Gosched()
		}
		if got := accepted.Swap(0); got != 1 {
			t.Errorf("%d rooms began, 1 is allowed", got)
		}
	}
	round.Store(rounds)
	wg.Wait()
}

// A step that begins a room is made before it is counted. One that ends the room may
// be counted in between.
func TestStatsNeverCountFewerThanNoRooms(t *testing.T) {
	e := New()
	defer e.Close()
	c, err := e.rooms.obtain("a")
	require.NoError(t, err)
	require.True(t, c.word.CompareAndSwap(idle, connection)) // the first half of a Join
	require.NoError(t, e.Leave("a"))                         // by another
	require.Zero(t, e.Stats().Rooms)
	e.rooms.exist.Add(1) // the other half
	require.Zero(t, e.Stats().Rooms)
}

// A change that comes between telling and letting go is not told yet, even where the
// total stays the same since a sum stops at what a room holds.
func TestPromise3_ARoomIsLetGoOnlyAsItWasTold(t *testing.T) {
	e := New(WithInterval(time.Hour))
	defer e.Close()
	s, err := e.Subscribe("a")
	require.NoError(t, err)
	defer s.Unsubscribe()
	p := e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	c := e.rooms.live("a")
	x := c.extra.Load()
	for what, s := range map[string]struct{ remote, newRemote, newLocal uint64 }{
		"this process's part, the total not": {connections, connections, 6 * connection},
		"another node's part":                {0, member, 5 * connection},
		"both, the total not":                {0, connection, 4 * connection},
	} {
		x.remote.Store(s.remote)
		c.word.Store(held | 5*connection)
		p.tell(c, c.local())
		x.remote.Store(s.newRemote)
		c.word.Store(held | s.newLocal)
		now := c.word.Load()
		require.False(t, p.settle(c), what)
		require.Equal(t, now, c.word.Load(), what)
		p.tell(c, c.local())
		require.True(t, p.settle(c), what)
		require.Equal(t, now|idle, c.word.Load(), what)
	}
	x.remote.Store(0)
	p.tell(c, c.local())
}

// However long the engine has run, a room that nobody listens to is forgotten after a
// rest, and not when a room that somebody listens to has cooled.
func TestPromise7_ARestIsNotAsLongAsAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(time.Hour))
		defer e.Close()
		time.Sleep(10 * time.Hour)
		s, err := e.Subscribe("heard")
		require.NoError(t, err)
		defer s.Unsubscribe()
		require.NoError(t, e.Join("heard"))
		require.NoError(t, e.Join("unheard"))
		synctest.Wait()
		require.NoError(t, e.Leave("unheard"))
		time.Sleep(3 * maxRest) // until it is told that it ended, and until it is forgotten
		require.Equal(t, 1, e.rooms.cells.Size())
	})
}

func TestPromise7_ABusyRoomThatNobodyHearsIsLookedAtSeldom(t *testing.T) {
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
		require.LessOrEqual(t, e.pub.seq, uint64(1+time.Second/maxRest))
	})
}
