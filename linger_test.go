package occupancy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// withAndWithoutUsers runs a test in virtual time, on both kinds of engine.
func withAndWithoutUsers(t *testing.T, f func(t *testing.T, e *Engine)) {
	for name, opts := range map[string][]Option{"users": {WithUsers()}, "no users": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New(opts...)
				defer e.Close()
				f(t, e)
			})
		})
	}
}

// wantRoom requires these connections and members, and as many users if the engine counts them.
func wantRoom(t *testing.T, e *Engine, room string, conns, members, users int) {
	t.Helper()
	if e.pub.users == nil {
		users = 0
	}
	require.Equal(t, Occupancy{conns, members, users}, e.Current(room))
}

// wantLingering requires that so many leases linger, and that the structure is consistent.
func wantLingering(t *testing.T, e *Engine, n int) {
	t.Helper()
	require.Equal(t, n, e.Stats().Lingering)
	s := e.lingering
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Len(t, s.heap, n)
	require.GreaterOrEqual(t, s.most, len(s.clients))
	for _, r := range s.heap[n:cap(s.heap)] {
		require.Nil(t, r.lease, "the heap must not keep a lease that has ended in memory")
	}
	inRings, withClient := map[*Lease]bool{}, 0
	for _, last := range s.clients {
		for l := last.next; ; l = l.next {
			require.False(t, inRings[l])
			inRings[l] = true
			if l == last {
				break
			}
		}
	}
	first := never
	for i, r := range s.heap {
		require.EqualValues(t, i+1, r.lease.heapIndex)
		first = min(first, r.at)
		if r.lease.client != "" {
			withClient++
			require.True(t, inRings[r.lease])
		}
	}
	require.Len(t, inRings, withClient)
	require.Equal(t, first, s.first())
}

func connect(t *testing.T, e *Engine, room string, opts ...ConnectOption) *Lease {
	t.Helper()
	l, err := e.Connect(room, opts...)
	require.NoError(t, err)
	return l
}

func TestLinger_CountsUntilItsTimeEnds(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		ann, bob, nobody := connect(t, e, "room", As("ann")), connect(t, e, "room", As("bob")), connect(t, e, "room")
		bob.Linger(2 * time.Second)
		ann.Linger(time.Second)
		nobody.Linger(3 * time.Second)
		wantLingering(t, e, 3)
		for _, method := range []func(string) error{ann.Enter, ann.Exit} {
			require.ErrorIs(t, method("ann"), ErrClosed)
		}
		time.Sleep(time.Second - 1)
		wantRoom(t, e, "room", 3, 2, 2)
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		wantRoom(t, e, "room", 2, 1, 1)
		time.Sleep(time.Second)
		wantRoom(t, e, "room", 1, 0, 0)
		time.Sleep(time.Second)
		wantRoom(t, e, "room", 0, 0, 0)
		wantLingering(t, e, 0)
		require.Equal(t, "room", ann.Room())
	})
}

func TestLinger_ReturningClientChangesNothing(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		s := subscribe(t, e, "room")
		l := connect(t, e, "room", As("ann"))
		time.Sleep(time.Second)
		<-s.Events()
		before := e.Stats()
		for range 100 {
			l.Linger(time.Minute)
			wantLingering(t, e, 1)
			l = connect(t, e, "room", As("ann"))
			wantLingering(t, e, 0)
			wantRoom(t, e, "room", 1, 1, 1)
		}
		time.Sleep(time.Hour)
		require.Empty(t, s.Events())
		after := e.Stats()
		after.Rounds, after.Publishing = before.Rounds, before.Publishing
		require.Equal(t, before, after)
		require.NoError(t, l.Close())
		wantRoom(t, e, "room", 0, 0, 0)
	})
}

// One of two tabs of a user lingers. The other one is not affected.
func TestLinger_OneOfTwoTabs(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		a, b := connect(t, e, "room", As("ann")), connect(t, e, "room", As("ann"))
		wantRoom(t, e, "room", 2, 2, 1)
		a.Linger(time.Second)
		require.NoError(t, b.Close())
		wantRoom(t, e, "room", 1, 1, 1)
		c := connect(t, e, "room", As("ann"))
		wantRoom(t, e, "room", 1, 1, 1)
		d := connect(t, e, "room", As("ann"))
		wantRoom(t, e, "room", 2, 2, 1)
		c.Linger(2 * time.Second)
		d.Linger(time.Second)
		connect(t, e, "room", As("ann")) // takes over c, which began to linger first
		wantRoom(t, e, "room", 2, 2, 1)
		time.Sleep(time.Second + 1)
		synctest.Wait()
		wantRoom(t, e, "room", 1, 1, 1)
		wantLingering(t, e, 0)
		for _, l := range []*Lease{a, c, d} {
			require.Nil(t, l.next, "a lease that has ended must not keep another one in memory")
			require.Empty(t, l.client)
		}
	})
}

func TestLinger_OnlyOnceAndCloseEndsIt(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		l := connect(t, e, "room", As("ann"))
		l.Linger(time.Hour)
		l.Linger(time.Second) // changes nothing
		l.Linger(0)           // closes it
		wantRoom(t, e, "room", 0, 0, 0)
		wantLingering(t, e, 0)

		l = connect(t, e, "room", As("ann"))
		l.Linger(time.Second)
		l.Linger(time.Hour) // changes nothing
		time.Sleep(time.Second + 1)
		synctest.Wait()
		wantRoom(t, e, "room", 0, 0, 0)

		l = connect(t, e, "room", As("ann"))
		l.Linger(time.Hour)
		require.NoError(t, l.Close())
		require.NoError(t, l.Close())
		wantRoom(t, e, "room", 0, 0, 0)

		l = connect(t, e, "room", As("ann"))
		require.NoError(t, l.Close())
		l.Linger(time.Hour)
		wantLingering(t, e, 0)

		old := connect(t, e, "room", As("ann"))
		old.Linger(time.Hour)
		now := connect(t, e, "room", As("ann"))
		require.NoError(t, old.Close()) // it was taken over
		old.Linger(time.Second)
		wantRoom(t, e, "room", 1, 1, 1)
		now.Linger(math.MaxInt64)
		synctest.Wait()
		wantLingering(t, e, 1)
		(*Lease)(nil).Linger(time.Second)
	})
}

// The new lease has what the old one had, and what it enters itself.
func TestLinger_TakesOverAllClients(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		other := connect(t, e, "room", As("bob"), As("zoe"))
		old := connect(t, e, "room", As("ann"), As("bob"), As("zoe"))
		old.Linger(time.Hour)
		now := connect(t, e, "room", As("eve"), As("ann"), As("bob"))
		wantRoom(t, e, "room", 2, 6, 4)
		wantLingering(t, e, 0)
		for _, id := range []string{"ann", "bob", "eve", "zoe"} {
			require.NoError(t, now.Enter(id))
			wantRoom(t, e, "room", 2, 6, 4)
		}
		require.NoError(t, now.Exit("zoe"))
		wantRoom(t, e, "room", 2, 5, 4)
		require.NoError(t, now.Close())
		wantRoom(t, e, "room", 1, 2, 2)
		require.NoError(t, other.Close())

		// A client that has exited does not return to the lease.
		old = connect(t, e, "room", As("ann"))
		require.NoError(t, old.Exit("ann"))
		old.Linger(time.Hour)
		connect(t, e, "room", As("ann"))
		wantRoom(t, e, "room", 2, 1, 1)
	})
}

func TestLinger_InAFullRoom(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		connect(t, e, "room", As("bob"), Max(2))
		connect(t, e, "room", As("ann"), Max(2)).Linger(time.Minute)
		_, err := e.Connect("room", As("eve"), Max(2))
		require.ErrorIs(t, err, ErrRoomFull)
		connect(t, e, "room", As("ann"), Max(2))
		wantRoom(t, e, "room", 2, 2, 2)
		_, err = e.Connect("room", As("ann"), Max(2))
		require.ErrorIs(t, err, ErrRoomFull)
	})
}

// A take-over that cannot enter a further client leaves the lease as it was.
func TestLinger_ContinuesIfTheTakeOverIsRefused(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		old := connect(t, e, "room", As("ann"))
		old.Linger(time.Second)
		c := e.rooms.live("room")
		c.word.Store(withCounts(c.word.Load(), counts{maxLocal, maxLocal, 1}))
		_, err := e.Connect("room", As("ann"), As("bob"))
		require.ErrorIs(t, err, ErrCount)
		wantLingering(t, e, 1)
		time.Sleep(time.Second + 1)
		synctest.Wait()
		require.Equal(t, maxLocal-1, e.Current("room").Connections)
		wantLingering(t, e, 0)
	})
}

// A lease that is closed while its take-over is refused does not linger any more.
func TestLinger_CloseRacesWithARefusedTakeOver(t *testing.T) {
	e := New()
	defer e.Close()
	require.NoError(t, e.Join("room"))
	c := e.rooms.live("room")
	c.word.Store(withCounts(c.word.Load(), counts{1, maxLocal - 1, 0}))
	for i := range 4000 {
		old := connect(t, e, "room", As("ann"))
		old.Linger(time.Hour)
		var refused atomic.Bool
		var wg sync.WaitGroup
		wg.Go(func() {
			for i%2 == 0 && !refused.Load() && e.lingering.len() > 0 {
			}
			_ = old.Close()
		})
		_, err := e.Connect("room", As("ann"), As("bob"))
		refused.Store(true)
		require.ErrorIs(t, err, ErrCount, "there is no place for bob")
		wg.Wait()
		wantRoom(t, e, "room", 1, maxLocal-1, 0)
		require.Zero(t, e.lingering.len())
	}
}

// Engine.Leave and Engine.Exit have removed what lingers. The room ended, and perhaps began again.
func TestLinger_RoomEndedMeanwhile(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		for _, rejoined := range []bool{false, true} {
			connect(t, e, "room", As("ann")).Linger(time.Hour)
			c := e.rooms.live("room")
			require.NoError(t, e.Leave("room"))
			require.NoError(t, e.Exit("room", "ann"))
			time.Sleep(time.Second)
			require.Nil(t, e.rooms.live("room"))
			if rejoined {
				require.NoError(t, e.Join("room"))
			}
			l, err := e.connect(c, "room", []ConnectOption{As("ann")}) // c is retired since Connect found it
			require.NoError(t, err)
			require.Equal(t, 1, e.Current("room").PresenceMembers)
			require.NoError(t, l.Close())
			if rejoined {
				require.NoError(t, e.Leave("room"))
			}
			time.Sleep(2 * time.Hour)
			wantRoom(t, e, "room", 0, 0, 0)
			if e.pub.users != nil {
				require.Zero(t, tableSize(e))
			}
		}
		wantLingering(t, e, 0)
	})
}

// The first client of a lease has exited. Another of its clients can take over the place.
func TestLinger_OfALeaseWhoseFirstClientHasExited(t *testing.T) {
	for _, clients := range []int{2, 3, 2 * fewClients} {
		withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
			old := connect(t, e, "room")
			for i := range clients {
				require.NoError(t, old.Enter(fmt.Sprint(i)))
			}
			for i := range clients - 1 {
				require.NoError(t, old.Exit(fmt.Sprint(i)))
			}
			last := fmt.Sprint(clients - 1)
			require.NoError(t, old.Enter(last))
			wantRoom(t, e, "room", 1, 1, 1)
			old.Linger(time.Hour)
			now := connect(t, e, "room", As(last))
			wantRoom(t, e, "room", 1, 1, 1)
			require.ErrorIs(t, now.Exit("0"), ErrNotEntered)
			require.NoError(t, now.Exit(last))
			wantRoom(t, e, "room", 1, 0, 0)
		})
	}
}

// Engine.Leave and Engine.Exit have emptied the room, but its cell is not dropped yet.
func TestLinger_RoomEmptiedMeanwhile(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		connect(t, e, "room", As("ann")).Linger(time.Hour)
		require.NoError(t, e.Leave("room"))
		require.NoError(t, e.Exit("room", "ann"))
		connect(t, e, "room", As("ann"))
		wantRoom(t, e, "room", 1, 1, 1)
	})
}

// A hook can empty the room after the take-over has found a lease. Then the clients that the
// place does not have must not enter the empty room, and Connect counts a new connection.
func TestLinger_RoomEmptiedDuringTheTakeOver(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		lease, err := e.Connect("lobby", As("alice"))
		require.NoError(t, err)
		missing := place{clients: []string{"bob"}, takenOver: true}
		ok, err := e.addPlace(lease.cell, missing, noLimit, false)
		require.True(t, ok)
		require.NoError(t, err)
		wantRoom(t, e, "lobby", 1, 2, 2)

		require.NoError(t, e.Exit("lobby", "alice"))
		require.NoError(t, e.Exit("lobby", "bob"))
		require.NoError(t, e.Leave("lobby"))
		ok, err = e.addPlace(lease.cell, missing, noLimit, false)
		require.True(t, ok, "the room was dropped: this is no test")
		require.Error(t, err)
		wantRoom(t, e, "lobby", 0, 0, 0)
	})
}

// Engine.Leave has removed the connection of a lease that entered afterwards. A lease that takes
// over its place has no connection to remove, either.
func TestLinger_PlaceWithoutConnection(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		old := connect(t, e, "room")
		require.NoError(t, old.Enter("bob"))
		require.NoError(t, old.Enter("eve"))
		require.NoError(t, e.Leave("room"))
		require.NoError(t, e.Exit("room", "bob"))
		require.NoError(t, e.Exit("room", "eve"))
		time.Sleep(time.Second)
		require.Nil(t, e.rooms.live("room"))
		require.NoError(t, old.Exit("bob"))
		require.NoError(t, old.Enter("ann"))
		require.ErrorIs(t, old.Exit("eve"), ErrNotEntered)
		require.NoError(t, e.Join("room"))
		wantRoom(t, e, "room", 1, 1, 1)
		old.Linger(time.Hour)
		now := connect(t, e, "room", As("ann"))
		wantRoom(t, e, "room", 1, 1, 1)
		require.NoError(t, now.Close())
		wantRoom(t, e, "room", 1, 0, 0)
	})
}

func TestLinger_EndsWithTheEngine(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		l, late := connect(t, e, "room", As("ann")), connect(t, e, "room", As("bob"))
		l.Linger(time.Second)
		require.NoError(t, e.Close())
		wantRoom(t, e, "room", 2, 2, 2)
		late.Linger(time.Second)
		wantLingering(t, e, 0)
		require.NoError(t, l.Close())
		time.Sleep(time.Hour)
		wantRoom(t, e, "room", 2, 2, 2)
	})
}

// Leases with a long and a short time, of many clients, in any order.
func TestLinger_ManyLeasesEndInOrder(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		const n = 3 * quantum
		r := rand.New(rand.NewPCG(1, 2))
		var leases []*Lease
		for i := range n {
			leases = append(leases, connect(t, e, "room", As(fmt.Sprint(i%(n/3)))))
		}
		for i, at := range r.Perm(n) {
			leases[i].Linger(time.Duration(at+1) * time.Second)
		}
		wantLingering(t, e, n)
		for i := range n / 2 {
			time.Sleep(time.Second)
			synctest.Wait()
			require.Equal(t, n-i-1, e.Current("room").Connections)
		}
		wantLingering(t, e, n/2)
		for _, l := range leases[:n/2] {
			require.NoError(t, l.Close())
		}
		wantLingering(t, e, e.Current("room").Connections)
		time.Sleep(n * time.Second)
		wantRoom(t, e, "room", 0, 0, 0)
		wantLingering(t, e, 0)
	})
}

// Many leases whose time ends at once.
func TestLinger_ManyEndAtOnce(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		const n = 9 * blockLen
		for i := range n {
			connect(t, e, fmt.Sprint("room", i%7), As(fmt.Sprint(i))).Linger(time.Second)
		}
		wantLingering(t, e, n)
		time.Sleep(time.Second)
		synctest.Wait()
		wantLingering(t, e, 0)
		for i := range 7 {
			wantRoom(t, e, fmt.Sprint("room", i), 0, 0, 0)
		}
		require.LessOrEqual(t, cap(e.lingering.heap), blockLen)
		require.LessOrEqual(t, e.lingering.most, 8*blockLen)
	})
}

// A lease ends at the moment at which the interval of its room is over. That and the changes
// within the interval are one event.
func TestLinger_EndsBeforeTheRoomIsPublished(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		s := subscribe(t, e, "room")
		first := <-s.Events()
		connect(t, e, "room", As("ann")).Linger(e.Interval()) // begins an interval
		require.NoError(t, e.Join("room"))
		require.NoError(t, e.Join("room"))
		time.Sleep(10 * e.Interval())
		last := <-s.Events()
		require.Equal(t, 2, last.Occupancy.Connections)
		require.Equal(t, first.Version+2, last.Version)
	})
}

// Only a lease that ends before all others wakes the publisher.
func TestLinger_OnlyTheFirstDeadlineWakesThePublisher(t *testing.T) {
	s := newLingering()
	require.Equal(t, never, s.first())
	require.True(t, s.add(&Lease{}, 5))
	require.False(t, s.add(&Lease{}, 6))
	require.False(t, s.add(&Lease{}, 5))
	require.True(t, s.add(&Lease{}, 4))
	require.EqualValues(t, 4, s.first())
}

func TestLinger_NoWakeUpWhenNothingLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		for range 10 {
			connect(t, e, "room", As("ann")).Linger(time.Minute)
		}
		require.NoError(t, connect(t, e, "room", As("ann")).Close())
		time.Sleep(time.Hour)
		rounds := e.Stats().Rounds
		time.Sleep(24 * time.Hour)
		require.Equal(t, rounds, e.Stats().Rounds)
		e.pub.mu.Lock()
		defer e.pub.mu.Unlock()
		require.Equal(t, never, e.sched.armed)
	})
}

// Clients break off and return, while their time is as long as the interval of their returns:
// the end of a lease races with its take-over and its Close.
func TestLinger_TakeOverRacesWithExpiryAndClose(t *testing.T) {
	for _, opts := range [][]Option{nil, {WithUsers()}} {
		e := New(append(opts, WithInterval(0))...)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 7))
				id := As(fmt.Sprint("client", i%3))
				var old *Lease
				for range 3000 {
					l, err := e.Connect("room", id)
					if err != nil {
						panic(err)
					}
					l.Linger(time.Duration(r.IntN(30_000)))
					if r.IntN(3) == 0 {
						_ = old.Close()
					}
					old = l
				}
			})
		}
		wg.Wait()
		require.Eventually(t, func() bool { return e.Current("room") == Occupancy{} }, 10*time.Second, time.Millisecond)
		wantLingering(t, e, 0)
		require.NoError(t, e.Close())
	}
}

// Of many callers that return as the same client at once, each place is given to one.
func TestLinger_EachPlaceIsTakenOverOnce(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		for range 100 {
			for range 4 {
				connect(t, e, "room", As("ann")).Linger(time.Hour)
			}
			var mu sync.Mutex
			var leases []*Lease
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					l, err := e.Connect("room", As("ann"))
					mu.Lock()
					defer mu.Unlock()
					require.NoError(t, err)
					leases = append(leases, l)
				})
			}
			wg.Wait()
			wantRoom(t, e, "room", 8, 8, 1)
			wantLingering(t, e, 0)
			for _, l := range leases {
				require.NoError(t, l.Close())
			}
			wantRoom(t, e, "room", 0, 0, 0)
		}
	})
}
