package occupancy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

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

func TestLease_Is64BytesAtMost(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Lease{}), uintptr(64))
}

// A client ID that is a slice of a large message must not keep the message in memory.
func TestLease_ClonesClientIDs(t *testing.T) {
	e := New()
	defer e.Close()
	l, err := e.Connect("room")
	require.NoError(t, err)
	var ids []string
	for i := range 3 * fewClients {
		message := strings.Repeat("x", 1000) + fmt.Sprint("client", i)
		ids = append(ids, message[1000:])
		require.NoError(t, l.Enter(ids[i]))
		kept := l.clients(nil)
		require.ElementsMatch(t, ids, kept)
		for _, id := range kept {
			for _, given := range ids {
				require.NotSame(t, unsafe.StringData(given), unsafe.StringData(id))
			}
		}
	}
	require.NoError(t, l.Close())
	require.Empty(t, l.client)
	require.Nil(t, l.others)
}

// Names and IDs may be slices of large messages.
func TestSession_ClonesItsStrings(t *testing.T) {
	e := New()
	defer e.Close()
	message := "annroom"
	s := e.Session(message[:3])
	require.NotSame(t, unsafe.StringData(message), unsafe.StringData(s.client))
	require.NoError(t, s.Join(message[3:]))
	for room := range s.Rooms() {
		require.Equal(t, "room", room)
		require.NotSame(t, unsafe.StringData(message[3:]), unsafe.StringData(room))
	}
	require.NoError(t, s.Close())
	require.Nil(t, s.leases)
}

// A session whose Enter was refused is still the session of its client.
func TestSession_EnterIsRefused(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		s := e.Session("ann")
		require.NoError(t, s.Join("room"))
		c := e.rooms.live("room")
		w := c.word.Load()
		c.word.Store(withCounts(w, counts{1, maxLocal, 0}))
		require.ErrorIs(t, s.Enter("room"), ErrCount)
		c.word.Store(w)
		s.Linger(time.Hour)
		require.NoError(t, e.Session("ann").Enter("room"))
		wantRoom(t, e, "room", 1, 1, 1)
	})
}
