package promises_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func connectAs(t testing.TB, e *occupancy.Engine, room, client string) *occupancy.Lease {
	t.Helper()
	l, err := e.Connect(room, occupancy.As(client))
	require.NoError(t, err)
	return l
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
