package occupancy

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestSession_ManagesOneLeaseForEachRoom(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		s := e.Session("ann")
		require.NoError(t, s.Join("a"))
		require.NoError(t, s.Join("a"))
		wantRoom(t, e, "a", 1, 0, 0)
		require.NoError(t, s.Enter("a"))
		require.NoError(t, s.Enter("a"))
		wantRoom(t, e, "a", 1, 1, 1)
		require.NoError(t, s.Enter("b"))
		wantRoom(t, e, "b", 1, 1, 1)
		require.NoError(t, s.Join("b", Max(1)))
		require.ElementsMatch(t, []string{"a", "b"}, slices.Collect(s.Rooms()))
		for room := range s.Rooms() {
			require.NoError(t, s.Exit(room))
			wantRoom(t, e, room, 1, 0, 0)
			require.ErrorIs(t, s.Exit(room), ErrNotEntered)
			break
		}
		require.NoError(t, s.Enter("a"))
		require.NoError(t, s.Leave("a"))
		wantRoom(t, e, "a", 0, 0, 0)
		require.ErrorIs(t, s.Leave("a"), ErrNotJoined)
		require.ErrorIs(t, s.Exit("a"), ErrNotEntered)
		require.Equal(t, []string{"b"}, slices.Collect(s.Rooms()))
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		require.Nil(t, s.leases)
		wantRoom(t, e, "b", 0, 0, 0)
		for _, err := range []error{s.Join("a"), s.Leave("a"), s.Enter("a"), s.Exit("a")} {
			require.ErrorIs(t, err, ErrClosed)
		}
		require.Empty(t, slices.Collect(s.Rooms()))
		s.Linger(time.Second)
	})
}

func TestSession_RefusesInvalidNames(t *testing.T) {
	e := New(WithUsers())
	defer e.Close()
	s := e.Session("ann")
	for _, err := range []error{s.Join(""), s.Leave(""), s.Enter("\xff"), s.Exit("\xff")} {
		require.ErrorIs(t, err, ErrInvalidRoom)
	}
	_, err := e.Connect("full")
	require.NoError(t, err)
	require.ErrorIs(t, s.Join("full", Max(1)), ErrRoomFull)
	require.Empty(t, slices.Collect(s.Rooms()))
	for _, id := range []string{"", "\xff"} {
		s := e.Session(id)
		require.NoError(t, s.Join("a"))
		require.ErrorIs(t, s.Enter("a"), ErrInvalidClientID)
		require.ErrorIs(t, s.Enter("b"), ErrInvalidClientID)
		require.Equal(t, Occupancy{1, 0, 0}, e.Current("a"))
		require.Zero(t, e.Current("b"))
		s.Linger(time.Second)
		require.NoError(t, s.Close())
	}
	require.Equal(t, Refused{InvalidRoom: 4, RoomFull: 1, InvalidClientID: 4}, e.Stats().Refused)
	require.ErrorIs(t, s.Exit("a"), ErrNotEntered)
	require.ErrorIs(t, s.Leave("a"), ErrNotJoined)
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Join("a"), ErrClosed)
	refused := e.Stats().Refused
	require.Equal(t, []uint64{1, 1, 1}, []uint64{refused.NotEntered, refused.NotJoined, refused.Closed})
	var none *Session
	require.NoError(t, none.Close())
	none.Linger(time.Second)
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

// A session that lingers is taken over, room by room, and nothing changes.
func TestSession_ReturnsWithoutAnyChange(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		w := watch(t, e)
		s := e.Session("ann")
		require.NoError(t, s.Join("joined"))
		require.NoError(t, s.Enter("entered"))
		require.NoError(t, s.Enter("exited"))
		require.NoError(t, s.Exit("exited"))
		require.NoError(t, s.Join("left"))
		time.Sleep(time.Second)
		drain(t, w)
		s.Linger(time.Minute)
		wantLingering(t, e, 4)
		require.Empty(t, slices.Collect(s.Rooms()))
		require.ErrorIs(t, s.Join("joined"), ErrClosed)
		other := e.Session("bob")
		require.NoError(t, other.Join("joined"))
		wantRoom(t, e, "joined", 2, 0, 0)
		require.NoError(t, other.Close())
		time.Sleep(time.Second)
		drain(t, w)

		s = e.Session("ann")
		require.NoError(t, s.Join("joined"))
		require.NoError(t, s.Join("entered"))
		require.NoError(t, s.Enter("entered"))
		require.NoError(t, s.Join("exited"))
		wantLingering(t, e, 1)
		time.Sleep(time.Second)
		require.Empty(t, drain(t, w))
		require.NoError(t, s.Enter("exited"))
		time.Sleep(time.Second)
		require.Len(t, drain(t, w), 1)
		time.Sleep(time.Hour)
		synctest.Wait()
		wantRoom(t, e, "left", 0, 0, 0)
		wantRoom(t, e, "joined", 1, 0, 0)
		wantRoom(t, e, "entered", 1, 1, 1)

		// Connect takes it over, too.
		s.Linger(time.Minute)
		l := connect(t, e, "joined", As("ann"))
		wantRoom(t, e, "joined", 1, 1, 1)
		require.NoError(t, l.Close())
		wantRoom(t, e, "joined", 0, 0, 0)
	})
}

func TestSession_EngineClosed(t *testing.T) {
	e := New()
	s := e.Session("ann")
	require.NoError(t, s.Enter("room"))
	require.NoError(t, e.Close())
	for _, err := range []error{s.Join("room"), s.Join("a"), s.Leave("room"), s.Leave("a"), s.Enter("room"), s.Enter("a"), s.Exit("room")} {
		require.ErrorIs(t, err, ErrClosed)
	}
	require.NoError(t, s.Close())
	require.Equal(t, Occupancy{1, 1, 0}, e.Current("room"))
	require.ErrorIs(t, e.Session("bob").Join("room"), ErrClosed)
}

// Sessions are used and closed from several goroutines, and the engine is closed meanwhile.
func TestSession_ConcurrentUse(t *testing.T) {
	for i := range 200 {
		e := New(WithUsers())
		s := e.Session("ann")
		var wg sync.WaitGroup
		for _, f := range []func(string) error{
			s.Enter, s.Exit, s.Leave, func(r string) error { return s.Join(r) },
			func(string) error { _ = slices.Collect(s.Rooms()); return nil },
		} {
			wg.Go(func() {
				for range 20 {
					_ = f("a")
					_ = f("b")
				}
			})
		}
		if i%2 == 0 {
			wg.Go(func() { s.Linger(time.Microsecond) })
		} else {
			wg.Go(func() { _ = s.Close() })
		}
		if i%4 == 3 {
			wg.Go(func() { _ = e.Close() })
			wg.Wait()
			continue
		}
		wg.Wait()
		require.Eventually(t, func() bool { return e.Current("a") == Occupancy{} && e.Current("b") == Occupancy{} }, 10*time.Second, time.Millisecond)
		require.Zero(t, tableSize(e))
		require.NoError(t, e.Close())
	}
}
