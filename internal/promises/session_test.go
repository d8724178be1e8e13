package promises_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestSession_ManagesOneLeaseForEachRoom(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
		s := e.Session("ann")
		require.NoError(t, s.Join("a"))
		require.NoError(t, s.Join("a"))
		wantRoom(t, e, "a", 1, 0, 0)
		require.NoError(t, s.Enter("a"))
		require.NoError(t, s.Enter("a"))
		wantRoom(t, e, "a", 1, 1, 1)
		require.NoError(t, s.Enter("b"))
		wantRoom(t, e, "b", 1, 1, 1)
		require.NoError(t, s.Join("b", occupancy.Max(1)))
		require.ElementsMatch(t, []string{"a", "b"}, slices.Collect(s.Rooms()))
		for room := range s.Rooms() {
			require.NoError(t, s.Exit(room))
			wantRoom(t, e, room, 1, 0, 0)
			require.ErrorIs(t, s.Exit(room), occupancy.ErrNotEntered)
			break
		}
		require.NoError(t, s.Enter("a"))
		require.NoError(t, s.Leave("a"))
		wantRoom(t, e, "a", 0, 0, 0)
		require.ErrorIs(t, s.Leave("a"), occupancy.ErrNotJoined)
		require.ErrorIs(t, s.Exit("a"), occupancy.ErrNotEntered)
		require.Equal(t, []string{"b"}, slices.Collect(s.Rooms()))
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		wantRoom(t, e, "b", 0, 0, 0)
		for _, err := range []error{s.Join("a"), s.Leave("a"), s.Enter("a"), s.Exit("a")} {
			require.ErrorIs(t, err, occupancy.ErrClosed)
		}
		require.Empty(t, slices.Collect(s.Rooms()))
		s.Linger(time.Second)
	})
}

func TestSession_RefusesInvalidNames(t *testing.T) {
	e := occupancy.New(occupancy.WithUsers())
	defer e.Close()
	s := e.Session("ann")
	for _, err := range []error{s.Join(""), s.Leave(""), s.Enter("\xff"), s.Exit("\xff")} {
		require.ErrorIs(t, err, occupancy.ErrInvalidRoom)
	}
	_, err := e.Connect("full")
	require.NoError(t, err)
	require.ErrorIs(t, s.Join("full", occupancy.Max(1)), occupancy.ErrRoomFull)
	require.Empty(t, slices.Collect(s.Rooms()))
	for _, id := range []string{"", "\xff"} {
		s := e.Session(id)
		require.NoError(t, s.Join("a"))
		require.ErrorIs(t, s.Enter("a"), occupancy.ErrInvalidClientID)
		require.ErrorIs(t, s.Enter("b"), occupancy.ErrInvalidClientID)
		require.Equal(t, counts(1, 0, 0), e.Current("a"))
		require.Zero(t, e.Current("b"))
		s.Linger(time.Second)
		require.NoError(t, s.Close())
	}
	require.Equal(t, occupancy.Refused{InvalidRoom: 4, RoomFull: 1, InvalidClientID: 4}, e.Stats().Refused)
	require.ErrorIs(t, s.Exit("a"), occupancy.ErrNotEntered)
	require.ErrorIs(t, s.Leave("a"), occupancy.ErrNotJoined)
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Join("a"), occupancy.ErrClosed)
	refused := e.Stats().Refused
	require.Equal(t, []uint64{1, 1, 1}, []uint64{refused.NotEntered, refused.NotJoined, refused.Closed})
	var none *occupancy.Session
	require.NoError(t, none.Close())
	none.Linger(time.Second)
}

// A session that lingers is taken over, room by room, and nothing changes.
func TestSession_ReturnsWithoutAnyChange(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
		w := watch(t, e)
		s := e.Session("ann")
		require.NoError(t, s.Join("joined"))
		require.NoError(t, s.Enter("entered"))
		require.NoError(t, s.Enter("exited"))
		require.NoError(t, s.Exit("exited"))
		require.NoError(t, s.Join("left"))
		time.Sleep(time.Second)
		readAll(t, w)
		s.Linger(time.Minute)
		require.Equal(t, 4, e.Stats().Lingering)
		require.Empty(t, slices.Collect(s.Rooms()))
		require.ErrorIs(t, s.Join("joined"), occupancy.ErrClosed)
		other := e.Session("bob")
		require.NoError(t, other.Join("joined"))
		wantRoom(t, e, "joined", 2, 0, 0)
		require.NoError(t, other.Close())
		time.Sleep(time.Second)
		readAll(t, w)

		s = e.Session("ann")
		require.NoError(t, s.Join("joined"))
		require.NoError(t, s.Join("entered"))
		require.NoError(t, s.Enter("entered"))
		require.NoError(t, s.Join("exited"))
		require.Equal(t, 1, e.Stats().Lingering)
		time.Sleep(time.Second)
		wantRooms(t, w, byRoom{})
		require.NoError(t, s.Enter("exited"))
		time.Sleep(time.Second)
		wantRooms(t, w, byRoom{"exited": {Connections: 1, PresenceMembers: 1, Users: e.Current("exited").Users}})
		time.Sleep(time.Hour)
		synctest.Wait()
		wantRoom(t, e, "left", 0, 0, 0)
		wantRoom(t, e, "joined", 1, 0, 0)
		wantRoom(t, e, "entered", 1, 1, 1)

		// Connect takes it over, too.
		s.Linger(time.Minute)
		l := connect(t, e, "joined", occupancy.As("ann"))
		wantRoom(t, e, "joined", 1, 1, 1)
		require.NoError(t, l.Close())
		wantRoom(t, e, "joined", 0, 0, 0)
	})
}

func TestSession_EngineClosed(t *testing.T) {
	e := occupancy.New()
	s := e.Session("ann")
	require.NoError(t, s.Enter("room"))
	require.NoError(t, e.Close())
	for _, err := range []error{s.Join("room"), s.Join("a"), s.Leave("room"), s.Leave("a"), s.Enter("room"), s.Enter("a"), s.Exit("room")} {
		require.ErrorIs(t, err, occupancy.ErrClosed)
	}
	require.NoError(t, s.Close())
	require.Equal(t, counts(1, 1, 0), e.Current("room"))
	require.ErrorIs(t, e.Session("bob").Join("room"), occupancy.ErrClosed)
}

// Sessions are used and closed from several goroutines, and the engine is closed meanwhile.
func TestSession_ConcurrentUse(t *testing.T) {
	for i := range 200 {
		e := occupancy.New(occupancy.WithUsers())
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
		require.Eventually(t, func() bool { return e.Current("a") == occupancy.Occupancy{} && e.Current("b") == occupancy.Occupancy{} }, 10*time.Second, time.Millisecond)
		require.NoError(t, e.Close())
	}
}
