package promises_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func connectAs(t testing.TB, e *occupancy.Engine, room, client string) *occupancy.Lease {
	t.Helper()
	return connect(t, e, room, occupancy.As(client))
}

func TestLinger_CountedUntilItsTimeEnds(t *testing.T) {
	for name, linger := range map[string]func(t *testing.T, e *occupancy.Engine){
		"lease": func(t *testing.T, e *occupancy.Engine) { connectAs(t, e, "r", "ann").Linger(5 * time.Second) },
		"session": func(t *testing.T, e *occupancy.Engine) {
			session := e.Session("ann")
			must(t, session.Enter("r"))
			session.Linger(5 * time.Second)
		},
	} {
		bubble(t, name, func(t *testing.T) {
			e := newEngine(t, occupancy.WithUsers())
			s := subscribe(t, e, "r")
			receive(t, s)
			linger(t, e)
			require.Equal(t, counts(1, 1, 1), receive(t, s).Occupancy)
			time.Sleep(5*time.Second - time.Nanosecond)
			noEvent(t, s)
			require.Equal(t, 1, e.Stats().Lingering)
			time.Sleep(time.Nanosecond)
			require.Equal(t, counts(0, 0, 0), receive(t, s).Occupancy)
			require.Zero(t, e.Stats().Lingering)
		})
	}
	bubble(t, "Close ends it, a second Linger does not prolong it", func(t *testing.T) {
		e := newEngine(t)
		closed, twice := connectAs(t, e, "r", "ann"), connectAs(t, e, "r", "bob")
		closed.Linger(time.Hour)
		twice.Linger(time.Second)
		twice.Linger(time.Hour)
		must(t, closed.Close(), closed.Close())
		require.Equal(t, occ(1, 1), e.Current("r"))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, occ(0, 0), e.Current("r"))
	})
	bubble(t, "the engine's Close", func(t *testing.T) {
		e := newEngine(t)
		l := connectAs(t, e, "r", "ann")
		l.Linger(time.Second)
		must(t, e.Close())
		require.Zero(t, e.Stats().Lingering)
		time.Sleep(time.Minute)
		must(t, l.Close())
		require.Equal(t, occ(1, 1), e.Current("r"))
	})
}

// A client that reconnects in time never left, in whichever way it was and is connected.
func TestLinger_ReconnectChangesNothing(t *testing.T) {
	type place interface{ Linger(time.Duration) }
	ways := map[string]func(t *testing.T, e *occupancy.Engine) place{
		"Connect":      func(t *testing.T, e *occupancy.Engine) place { return connectAs(t, e, "r", "ann") },
		"Room.Connect": func(t *testing.T, e *occupancy.Engine) place { return mustConnect(t, e.Room("r"), occupancy.As("ann")) },
		"Lease.Enter": func(t *testing.T, e *occupancy.Engine) place {
			l := connectAs(t, e, "r", "ann")
			must(t, l.Enter("ann"))
			return l
		},
		"Session.Enter": func(t *testing.T, e *occupancy.Engine) place {
			session := e.Session("ann")
			must(t, session.Enter("r"))
			return session
		},
		"Session.Join, then Enter": func(t *testing.T, e *occupancy.Engine) place {
			session := e.Session("ann")
			must(t, session.Join("r"), session.Enter("r"))
			return session
		},
	}
	for before, first := range ways {
		for after, second := range ways {
			bubble(t, before+" and "+after, func(t *testing.T) {
				e := newEngine(t, occupancy.WithUsers())
				must(t, e.Join("r"), e.Enter("r", "bob"))
				s, w := subscribe(t, e, "r"), watch(t, e)
				old := first(t, e)
				time.Sleep(2 * interval)
				last := receive(t, s)
				require.Equal(t, counts(2, 2, 2), last.Occupancy)
				wantRooms(t, w, byRoom{"r": counts(2, 2, 2)})
				stats := quietStats(e)

				for range 3 {
					old.Linger(time.Second)
					require.Equal(t, 1, e.Stats().Lingering)
					time.Sleep(time.Second / 2)
					require.Equal(t, counts(2, 2, 2), e.Current("r"))
					old = second(t, e)
					require.Zero(t, e.Stats().Lingering)
					time.Sleep(time.Minute)
				}
				noEvent(t, s)
				wantRooms(t, w, byRoom{})
				require.Equal(t, stats, quietStats(e)) // no arrival, no departure
				old.Linger(0)                          // closes it
				next := receive(t, s)
				require.Equal(t, counts(1, 1, 1), next.Occupancy)
				require.Equal(t, last.Version+1, next.Version)
			})
		}
	}
}

func mustConnect(t testing.TB, r *occupancy.Room, opts ...occupancy.ConnectOption) *occupancy.Lease {
	t.Helper()
	l, err := r.Connect(opts...)
	require.NoError(t, err)
	return l
}

func TestLinger_TakesOverOnePlaceOfOneClientInOneRoom(t *testing.T) {
	bubble(t, "another client, another room and a client without an ID do not", func(t *testing.T) {
		e := newEngine(t, occupancy.WithUsers())
		connectAs(t, e, "r", "ann").Linger(time.Second)
		connect(t, e, "r").Linger(time.Second)
		connectAs(t, e, "r", "bob")
		connectAs(t, e, "other", "ann")
		connect(t, e, "r")
		require.Equal(t, 2, e.Stats().Lingering)
		require.Equal(t, counts(4, 2, 2), e.Current("r"))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, counts(2, 1, 1), e.Current("r"))
	})
	bubble(t, "two tabs of which one lingers", func(t *testing.T) {
		e := newEngine(t, occupancy.WithUsers())
		stays := connectAs(t, e, "r", "ann")
		connectAs(t, e, "r", "ann").Linger(time.Second)
		require.Equal(t, counts(2, 2, 1), e.Current("r"))
		must(t, stays.Close())
		require.Equal(t, counts(1, 1, 1), e.Current("r"))
		connectAs(t, e, "r", "ann")
		connectAs(t, e, "r", "ann") // a new tab
		time.Sleep(time.Minute)
		require.Equal(t, counts(2, 2, 1), e.Current("r"))
	})
	bubble(t, "in a full room only the client that returns has a place", func(t *testing.T) {
		e := newEngine(t)
		connectAs(t, e, "r", "ann").Linger(time.Second)
		_, err := e.Connect("r", occupancy.As("bob"), occupancy.Max(1))
		require.ErrorIs(t, err, occupancy.ErrRoomFull)
		mustConnect(t, e.Room("r"), occupancy.As("ann"), occupancy.Max(1))
		time.Sleep(time.Minute)
		require.Equal(t, occ(1, 1), e.Current("r"))
	})
	bubble(t, "a session takes over its rooms one by one", func(t *testing.T) {
		e := newEngine(t, occupancy.WithUsers())
		old := e.Session("ann")
		must(t, old.Enter("a"), old.Enter("b"), old.Join("c"))
		old.Linger(time.Second)
		session := e.Session("ann")
		must(t, session.Enter("a"), session.Join("c"))
		require.Equal(t, 1, e.Stats().Lingering)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, counts(1, 1, 1), e.Current("a"))
		require.Equal(t, counts(0, 0, 0), e.Current("b"))
		require.Equal(t, counts(1, 0, 0), e.Current("c"))
	})
}

// 50 clients lose their connections and reconnect, again and again, while others read the counts.
func TestLinger_NobodySeesAChange(t *testing.T) {
	const clients = 50
	e := newEngine(t, occupancy.WithInterval(0), occupancy.WithUsers())
	leases := make([]*occupancy.Lease, clients)
	for i := range leases {
		leases[i] = connectAs(t, e, "r", fmt.Sprint(i))
	}
	done := make(chan struct{})
	var readers, callers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if o := e.Current("r"); o != counts(clients, clients, clients) {
					t.Errorf("a change: %+v", o)
					return
				}
			}
		})
	}
	for i := range leases {
		callers.Go(func() {
			for range 200 {
				leases[i].Linger(time.Hour)
				l, err := e.Connect("r", occupancy.As(fmt.Sprint(i)))
				if err != nil {
					t.Error(err)
					return
				}
				leases[i] = l
			}
		})
	}
	callers.Wait()
	close(done)
	readers.Wait()
	require.Zero(t, e.Stats().Lingering)
}

func TestLinger_CountsUntilItsTimeEnds(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
		ann, bob, nobody := connect(t, e, "room", occupancy.As("ann")), connect(t, e, "room", occupancy.As("bob")), connect(t, e, "room")
		bob.Linger(2 * time.Second)
		ann.Linger(time.Second)
		nobody.Linger(3 * time.Second)
		require.Equal(t, 3, e.Stats().Lingering)
		for _, method := range []func(string) error{ann.Enter, ann.Exit} {
			require.ErrorIs(t, method("ann"), occupancy.ErrClosed)
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
		require.Equal(t, 0, e.Stats().Lingering)
		require.Equal(t, "room", ann.Room())
	})
}

func TestLinger_ReturningClientChangesNothing(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
		s := subscribe(t, e, "room")
		l := connect(t, e, "room", occupancy.As("ann"))
		time.Sleep(time.Second)
		<-s.Events()
		before := e.Stats()
		for range 100 {
			l.Linger(time.Minute)
			require.Equal(t, 1, e.Stats().Lingering)
			l = connect(t, e, "room", occupancy.As("ann"))
			require.Equal(t, 0, e.Stats().Lingering)
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

func TestLinger_OnlyOnceAndCloseEndsIt(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
		l := connect(t, e, "room", occupancy.As("ann"))
		l.Linger(time.Hour)
		l.Linger(time.Second) // changes nothing
		l.Linger(0)           // closes it
		wantRoom(t, e, "room", 0, 0, 0)
		require.Equal(t, 0, e.Stats().Lingering)

		l = connect(t, e, "room", occupancy.As("ann"))
		l.Linger(time.Second)
		l.Linger(time.Hour) // changes nothing
		time.Sleep(time.Second + 1)
		synctest.Wait()
		wantRoom(t, e, "room", 0, 0, 0)

		l = connect(t, e, "room", occupancy.As("ann"))
		l.Linger(time.Hour)
		require.NoError(t, l.Close())
		require.NoError(t, l.Close())
		wantRoom(t, e, "room", 0, 0, 0)

		l = connect(t, e, "room", occupancy.As("ann"))
		require.NoError(t, l.Close())
		l.Linger(time.Hour)
		require.Equal(t, 0, e.Stats().Lingering)

		old := connect(t, e, "room", occupancy.As("ann"))
		old.Linger(time.Hour)
		now := connect(t, e, "room", occupancy.As("ann"))
		require.NoError(t, old.Close()) // it was taken over
		old.Linger(time.Second)
		wantRoom(t, e, "room", 1, 1, 1)
		now.Linger(math.MaxInt64)
		synctest.Wait()
		require.Equal(t, 1, e.Stats().Lingering)
		(*occupancy.Lease)(nil).Linger(time.Second)
	})
}

// The new lease has what the old one had, and what it enters itself.
func TestLinger_TakesOverAllClients(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
		other := connect(t, e, "room", occupancy.As("bob"), occupancy.As("zoe"))
		old := connect(t, e, "room", occupancy.As("ann"), occupancy.As("bob"), occupancy.As("zoe"))
		old.Linger(time.Hour)
		now := connect(t, e, "room", occupancy.As("eve"), occupancy.As("ann"), occupancy.As("bob"))
		wantRoom(t, e, "room", 2, 6, 4)
		require.Equal(t, 0, e.Stats().Lingering)
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
		old = connect(t, e, "room", occupancy.As("ann"))
		require.NoError(t, old.Exit("ann"))
		old.Linger(time.Hour)
		connect(t, e, "room", occupancy.As("ann"))
		wantRoom(t, e, "room", 2, 1, 1)
	})
}

func TestLinger_InAFullRoom(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
		connect(t, e, "room", occupancy.As("bob"), occupancy.Max(2))
		connect(t, e, "room", occupancy.As("ann"), occupancy.Max(2)).Linger(time.Minute)
		_, err := e.Connect("room", occupancy.As("eve"), occupancy.Max(2))
		require.ErrorIs(t, err, occupancy.ErrRoomFull)
		connect(t, e, "room", occupancy.As("ann"), occupancy.Max(2))
		wantRoom(t, e, "room", 2, 2, 2)
		_, err = e.Connect("room", occupancy.As("ann"), occupancy.Max(2))
		require.ErrorIs(t, err, occupancy.ErrRoomFull)
	})
}

// The first client of a lease has exited. Another of its clients can take over the place.
func TestLinger_OfALeaseWhoseFirstClientHasExited(t *testing.T) {
	for _, clients := range []int{2, 3, 20} {
		withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
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
			now := connect(t, e, "room", occupancy.As(last))
			wantRoom(t, e, "room", 1, 1, 1)
			require.ErrorIs(t, now.Exit("0"), occupancy.ErrNotEntered)
			require.NoError(t, now.Exit(last))
			wantRoom(t, e, "room", 1, 0, 0)
		})
	}
}

// Engine.Leave and Engine.Exit have emptied the room, but its cell is not dropped yet.
func TestLinger_RoomEmptiedMeanwhile(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
		connect(t, e, "room", occupancy.As("ann")).Linger(time.Hour)
		require.NoError(t, e.Leave("room"))
		require.NoError(t, e.Exit("room", "ann"))
		connect(t, e, "room", occupancy.As("ann"))
		wantRoom(t, e, "room", 1, 1, 1)
	})
}

func TestLinger_EndsWithTheEngine(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
		l, late := connect(t, e, "room", occupancy.As("ann")), connect(t, e, "room", occupancy.As("bob"))
		l.Linger(time.Second)
		require.NoError(t, e.Close())
		wantRoom(t, e, "room", 2, 2, 2)
		late.Linger(time.Second)
		require.Equal(t, 0, e.Stats().Lingering)
		require.NoError(t, l.Close())
		time.Sleep(time.Hour)
		wantRoom(t, e, "room", 2, 2, 2)
	})
}

// A lease ends at the moment at which the interval of its room is over. That and the changes
// within the interval are one event.
func TestLinger_EndsBeforeTheRoomIsPublished(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
		s := subscribe(t, e, "room")
		first := <-s.Events()
		connect(t, e, "room", occupancy.As("ann")).Linger(e.Interval()) // begins an interval
		require.NoError(t, e.Join("room"))
		require.NoError(t, e.Join("room"))
		time.Sleep(10 * e.Interval())
		last := <-s.Events()
		require.Equal(t, 2, last.Occupancy.Connections)
		require.Equal(t, first.Version+2, last.Version)
	})
}

// Clients break off and return, while their time is as long as the interval of their returns:
// the end of a lease races with its take-over and its Close.
func TestLinger_TakeOverRacesWithExpiryAndClose(t *testing.T) {
	for _, opts := range [][]occupancy.Option{nil, {occupancy.WithUsers()}} {
		e := occupancy.New(append(opts, occupancy.WithInterval(0))...)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 7))
				id := occupancy.As(fmt.Sprint("client", i%3))
				var old *occupancy.Lease
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
		require.Eventually(t, func() bool { return e.Current("room") == occupancy.Occupancy{} }, 10*time.Second, time.Millisecond)
		require.Equal(t, 0, e.Stats().Lingering)
		require.NoError(t, e.Close())
	}
}

// Of many callers that return as the same client at once, each place is given to one.
func TestLinger_EachPlaceIsTakenOverOnce(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
		for range 100 {
			for range 4 {
				connect(t, e, "room", occupancy.As("ann")).Linger(time.Hour)
			}
			var mu sync.Mutex
			var leases []*occupancy.Lease
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					l, err := e.Connect("room", occupancy.As("ann"))
					mu.Lock()
					defer mu.Unlock()
					require.NoError(t, err)
					leases = append(leases, l)
				})
			}
			wg.Wait()
			wantRoom(t, e, "room", 8, 8, 1)
			require.Equal(t, 0, e.Stats().Lingering)
			for _, l := range leases {
				require.NoError(t, l.Close())
			}
			wantRoom(t, e, "room", 0, 0, 0)
		}
	})
}
