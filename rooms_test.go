package occupancy

import (
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

// A retired cell never changes again. A handle or lease that still has it uses the current
// room of that name.
func TestRooms_RetiredCellNeverChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(time.Millisecond))
		defer e.Close()
		handle := e.Room("a")
		lease, err := e.Connect("a")
		require.NoError(t, err)
		require.NoError(t, lease.Enter("x"))
		require.NoError(t, handle.Join())
		old := handle.cell.Load()
		require.NoError(t, handle.Leave())
		require.NoError(t, handle.Leave(), "the connection of the lease")
		require.NoError(t, handle.Exit("x"), "the member of the lease")
		time.Sleep(time.Second)
		require.Equal(t, retired, old.word.Load())
		wantNothingKept(t, e)

		require.Equal(t, Occupancy{}, handle.Current())
		require.Equal(t, Occupancy{}, handle.Local())
		require.ErrorIs(t, handle.Leave(), ErrNotJoined)
		require.ErrorIs(t, handle.Exit("x"), ErrNotEntered)
		require.False(t, old.tryJoin())
		require.False(t, old.tryEnter())
		require.False(t, old.tryLeave())
		require.False(t, old.tryExit())
		e.pub.change(old, func(uint64) (uint64, error) { t.Error("step called"); return 0, nil })

		require.NoError(t, e.Join("a"))
		require.NotSame(t, old, handle.live())
		require.NoError(t, lease.Close(), "the room of that name is a new one")
		require.Equal(t, Occupancy{Connections: 1}, e.Current("a"))
		e.rooms.drop(old) // too late: the map has a new cell
		require.Equal(t, Occupancy{Connections: 1}, e.Current("a"))
		require.Equal(t, retired, old.word.Load())
		require.NoError(t, e.Leave("a"))
		time.Sleep(time.Second)
		wantNothingKept(t, e)
	})
}

func TestRooms_RefusedNamesDoNotFillTheMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithMaxRooms(1))
		defer e.Close()
		link, err := e.Link(nil)
		require.NoError(t, err)
		remote := link.Remote("node")
		require.NoError(t, e.Join("a"))
		require.NoError(t, remote.Set(Part{Room: "reported", Occupancy: Occupancy{Connections: 1}}))
		s := subscribe(t, e, "subscribed")
		for i := range 100 {
			name := fmt.Sprint(i)
			_, subscribe := e.Subscribe(name)
			_, connect := e.Connect(name)
			set := remote.Set(Part{Room: name, Occupancy: Occupancy{Connections: 1}})
			for _, err := range []error{e.Join(name), e.Enter(name, "c"), subscribe, connect, set} {
				require.ErrorIs(t, err, ErrTooManyRooms)
			}
			require.ErrorIs(t, e.Leave(name), ErrNotJoined)
			require.ErrorIs(t, e.Exit(name, "c"), ErrNotEntered)
			e.Current(name)
			e.Room(name).Local()
			remote.Get(name)
			require.ErrorIs(t, e.Join(name+"\xff"), ErrInvalidRoom)
			require.ErrorIs(t, remote.Set(Part{Room: name, Occupancy: Occupancy{Connections: -1}}), ErrCount)
			require.NoError(t, remote.Set(Part{Room: name, Occupancy: Occupancy{}}))
			require.Equal(t, 3, e.rooms.cells.Size())
		}
		s.Unsubscribe()
		require.NoError(t, link.Close())
		// A cell that was created before the limit was reached.
		require.NoError(t, e.Leave("a"))
		late, err := e.rooms.obtain("late")
		require.NoError(t, err)
		require.NoError(t, e.Join("a"))
		_, err = e.join(late, "late")
		require.ErrorIs(t, err, ErrTooManyRooms)
		require.NoError(t, e.Leave("a"))
		time.Sleep(time.Second)
		wantNothingKept(t, e)
	})
}

// One room ends and begins again as fast as possible, while the publisher drops its cells.
// No hook may be lost.
func TestRooms_NoJoinIsLostToADroppedCell(t *testing.T) {
	for _, limit := range []int{0, 1} {
		t.Run(fmt.Sprintf("limit %d", limit), func(t *testing.T) {
			// How often the room is dropped depends on the scheduler, so the rounds go on
			// until it was dropped often.
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
							{func() error { return e.Enter("a", "c") }, func() error { return e.Exit("a", "c") }},
							{handle.Join, handle.Leave},
							{func() error { return handle.Enter("c") }, func() error { return handle.Exit("c") }},
						}
						kind := r.IntN(2)
						if err := steps[kind+2*r.IntN(2)][0](); err != nil {
							t.Errorf("begin: %v", err)
							return
						}
						c := e.rooms.live("a")
						if c == nil || stateOf(c.word.Load()) == absent {
							t.Errorf("in the room, but the map has %v", c)
							return
						}
						if _, again := seen.LoadOrStore(c, nil); !again {
							cells.Add(1)
						}
						if n := e.rooms.existing(); limit > 0 && n > 1 {
							t.Errorf("%d rooms exist", n)
							return
						}
						if err := steps[kind+2*r.IntN(2)][1](); err != nil {
							t.Errorf("end: %v", err)
							return
						}
						// Wait until the room is dropped or begins again.
						for n := 0; n < 20 && stateOf(c.word.Load()) == absent; n++ {
							runtime.Gosched()
						}
					}
				})
			}
			wg.Wait()
			require.Greater(t, cells.Load(), int64(often), "the room was dropped too seldom to test anything")
			require.Eventually(t, func() bool { return e.rooms.cells.Size() == 0 }, 10*time.Second, time.Millisecond)
			t.Logf("%d cells in %d rounds", cells.Load(), rounds)
			require.Zero(t, e.rooms.existing())
			seen.Range(func(c, _ any) bool {
				require.Equal(t, retired, c.(*cell).word.Load())
				return true
			})
		})
	}
}

func TestRooms_LimitIsExactForConcurrentJoins(t *testing.T) {
	const goroutines = 3
	rounds := int64(20_000)
	if testing.Short() {
		rounds = 2_000 // slow if GOMAXPROCS is higher than the number of processors
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
		for e.rooms.existing() > 0 {
			runtime.Gosched()
		}
		round.Store(n)
		for done.Load() < n*goroutines {
			runtime.Gosched()
		}
		if got := accepted.Swap(0); got != 1 {
			t.Errorf("%d rooms began, the limit is 1", got)
		}
	}
	round.Store(rounds)
	wg.Wait()
}

// The step that begins a room comes before its count. The end of the room may be counted
// in between.
func TestRooms_NumberInStatsIsNeverNegative(t *testing.T) {
	e := New()
	defer e.Close()
	c, err := e.rooms.obtain("a")
	require.NoError(t, err)
	require.True(t, c.word.CompareAndSwap(idle, connection)) // the first half of a Join
	require.NoError(t, e.Leave("a"))                         // of another goroutine
	require.Zero(t, e.Stats().Rooms)
	e.rooms.states.Add(stateWeight[occupied]) // the second half
	require.Zero(t, e.Stats().Rooms)
}

// After random calls and a quiet interval, the map has exactly the rooms that exist.
func TestRooms_MapHasOnlyRoomsThatExist(t *testing.T) {
	for _, limit := range []int{0, 3} {
		t.Run(fmt.Sprintf("limit %d", limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New(WithMaxRooms(limit))
				defer e.Close()
				link, err := e.Link(nil)
				require.NoError(t, err)
				remotes := []*Remote{link.Remote("a"), link.Remote("b")}
				r := rand.New(rand.NewPCG(1, uint64(limit)))
				var subs []*Subscription
				var leases []*Lease
				for n := range 20_000 {
					name := fmt.Sprint(r.IntN(6))
					switch r.IntN(10) {
					case 0:
						_ = e.Join(name)
					case 1, 2:
						_ = e.Leave(name)
					case 3:
						_ = e.Enter(name, "c")
					case 4:
						_ = e.Exit(name, "c")
					case 5:
						if l, err := e.Connect(name); err == nil {
							leases = append(leases, l)
						}
					case 6:
						if s, err := e.Subscribe(name); err == nil {
							subs = append(subs, s)
						}
					case 7:
						_ = remotes[r.IntN(2)].Set(Part{Room: name, Occupancy: Occupancy{r.IntN(2), r.IntN(2), 0}})
					case 8:
						if len(leases) > 3 {
							_ = leases[0].Close()
							leases = leases[1:]
						}
					case 9:
						if len(subs) > 2 {
							subs[0].Unsubscribe()
							subs = subs[1:]
						}
					}
					if n%50 == 0 {
						time.Sleep(time.Second)
						require.Equal(t, e.rooms.existing(), e.rooms.cells.Size())
						require.Equal(t, e.rooms.existing(), e.Stats().Rooms)
					}
				}
				for _, l := range leases {
					_ = l.Close()
				}
				for _, s := range subs {
					s.Unsubscribe()
				}
				require.NoError(t, link.Close())
				for n := range 6 {
					name := fmt.Sprint(n)
					for e.Leave(name) == nil || e.Exit(name, "c") == nil {
					}
				}
				time.Sleep(time.Second)
				wantNothingKept(t, e)
			})
		})
	}
}
