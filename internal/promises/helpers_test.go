package promises_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

const (
	interval = 100 * time.Millisecond // the default interval of an engine
	most     = 1<<31 - 1              // the maximum of each count of a room
)

// over is one more than the maximum. Where an int has 32 bits it is negative, which is
// refused as well.
var over = func() int { n := most; n++; return n }()

// byRoom is the occupancy of each room.
type byRoom = map[string]occupancy.Occupancy

// bubble runs a subtest in virtual time.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// newEngine returns an engine that is closed at the end of the test.
func newEngine(t testing.TB, opts ...occupancy.Option) *occupancy.Engine {
	e := occupancy.New(opts...)
	t.Cleanup(func() {
		require.NoError(t, e.Close())
		links.Delete(e)
	})
	return e
}

// withUsers has the engines of withAndWithoutUsers that count users.
var withUsers sync.Map

// withAndWithoutUsers runs a test in virtual time, on both kinds of engine.
func withAndWithoutUsers(t *testing.T, f func(t *testing.T, e *occupancy.Engine)) {
	t.Helper()
	bubble(t, "no users", func(t *testing.T) { f(t, newEngine(t)) })
	bubble(t, "users", func(t *testing.T) {
		e := newEngine(t, occupancy.WithUsers())
		withUsers.Store(e, nil)
		t.Cleanup(func() { withUsers.Delete(e) })
		f(t, e)
	})
}

// wantRoom requires these counts of a room, without the users if the engine does not count them.
func wantRoom(t testing.TB, e *occupancy.Engine, room string, connections, members, users int) {
	t.Helper()
	if _, ok := withUsers.Load(e); !ok {
		users = 0
	}
	require.Equal(t, counts(connections, members, users), e.Current(room))
}

func occ(connections, members int) occupancy.Occupancy {
	return occupancy.Occupancy{Connections: connections, PresenceMembers: members}
}

// counts is an occupancy of an engine that counts users.
func counts(connections, members, users int) occupancy.Occupancy {
	return occupancy.Occupancy{Connections: connections, PresenceMembers: members, Users: users}
}

func room(i int) string { return fmt.Sprint("room", i) }

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

func connect(t testing.TB, e *occupancy.Engine, room string, opts ...occupancy.ConnectOption) *occupancy.Lease {
	t.Helper()
	l, err := e.Connect(room, opts...)
	require.NoError(t, err)
	return l
}

func subscribe(t testing.TB, e *occupancy.Engine, room string) *occupancy.Subscription {
	t.Helper()
	s, err := e.Subscribe(room)
	require.NoError(t, err)
	return s
}

func watch(t testing.TB, e *occupancy.Engine, opts ...occupancy.WatchOption) *occupancy.Watcher {
	t.Helper()
	w, err := e.Watch(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// links has the link of each engine, as an engine has at most one.
var links sync.Map

// linked returns the link of the engine, without peers. The first call creates it.
func linked(t testing.TB, e *occupancy.Engine) *occupancy.Link {
	t.Helper()
	if l, ok := links.Load(e); ok {
		return l.(*occupancy.Link)
	}
	l, err := e.Link(nil)
	require.NoError(t, err)
	links.Store(e, l)
	return l
}

func remote(t testing.TB, e *occupancy.Engine, node string) *occupancy.Remote {
	t.Helper()
	return linked(t, e).Remote(node)
}

// watchLocal returns a watcher of this process's own counts.
func watchLocal(t testing.TB, e *occupancy.Engine) *occupancy.Watcher {
	t.Helper()
	w, err := linked(t, e).Watch()
	require.NoError(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func part(room string, o occupancy.Occupancy) occupancy.Part {
	return occupancy.Part{Room: room, Occupancy: o}
}

// hooks are the four hooks of one room, called by name or by handle.
type hooks struct{ join, leave, enter, exit func() error }

func byName(e *occupancy.Engine, room string) hooks {
	return hooks{
		join:  func() error { return e.Join(room) },
		leave: func() error { return e.Leave(room) },
		enter: func() error { return e.Enter(room, "client") },
		exit:  func() error { return e.Exit(room, "client") },
	}
}

func byHandle(r *occupancy.Room) hooks {
	return hooks{
		join:  r.Join,
		leave: r.Leave,
		enter: func() error { return r.Enter("client") },
		exit:  func() error { return r.Exit("client") },
	}
}

// receive returns the event that s holds once the engine has nothing more to do at
// this moment of virtual time.
func receive(t testing.TB, s *occupancy.Subscription) occupancy.Event {
	t.Helper()
	synctest.Wait()
	return receiveNow(t, s)
}

// receiveNow is receive without waiting for the engine.
func receiveNow(t testing.TB, s *occupancy.Subscription) occupancy.Event {
	t.Helper()
	select {
	case ev, open := <-s.Events():
		require.True(t, open, "the channel is closed")
		require.Equal(t, occupancy.EventUpdated, ev.Type)
		return ev
	default:
		require.Fail(t, "the subscription holds no event")
		panic("unreachable")
	}
}

// noEvent requires that s holds no event.
func noEvent(t testing.TB, s *occupancy.Subscription) {
	t.Helper()
	synctest.Wait()
	select {
	case ev, open := <-s.Events():
		require.Fail(t, "unexpected event", "%+v (open: %v)", ev, open)
	default:
	}
}

// timedEvent is an event and the time of its arrival.
type timedEvent struct {
	at time.Duration
	occupancy.Event
}

// record reads s until its channel is closed, and then sends all its events.
func record(s *occupancy.Subscription) <-chan []timedEvent {
	begin, done := time.Now(), make(chan []timedEvent, 1)
	go func() {
		var all []timedEvent
		for ev := range s.Events() {
			all = append(all, timedEvent{time.Since(begin), ev})
		}
		done <- all
	}()
	return done
}

// poll calls Next without blocking. It returns nil if Next would block at this moment
// of virtual time.
func poll(t testing.TB, w *occupancy.Watcher) []occupancy.RoomEvent {
	t.Helper()
	synctest.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	var batch []occupancy.RoomEvent
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		batch, err = w.Next(ctx)
	}()
	synctest.Wait()
	cancel()
	<-done
	if err == nil {
		require.NotEmpty(t, batch)
		require.LessOrEqual(t, len(batch), 4096)
		return batch
	}
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, batch)
	return nil
}

// readAll calls Next until it would block. It returns the newest value of each room
// and the number of events.
func readAll(t testing.TB, w *occupancy.Watcher) (rooms byRoom, events int) {
	t.Helper()
	rooms = byRoom{}
	for {
		batch := poll(t, w)
		if batch == nil {
			return rooms, events
		}
		for _, ev := range batch {
			require.Equal(t, occupancy.EventUpdated, ev.Type)
			rooms[ev.Room] = ev.Occupancy
		}
		events += len(batch)
	}
}

// wantRooms requires that the watcher returns these rooms now, each once.
func wantRooms(t testing.TB, w *occupancy.Watcher, want byRoom) {
	t.Helper()
	rooms, events := readAll(t, w)
	require.Equal(t, want, rooms)
	require.Equal(t, len(want), events, "a room was returned more than once")
}

// statsTotal returns the totals of Stats.
func statsTotal(e *occupancy.Engine) occupancy.Occupancy { return e.Stats().Total }

// quietStats returns Stats without the counters of refused hooks and rounds.
func quietStats(e *occupancy.Engine) occupancy.Stats {
	s := e.Stats()
	s.Refused, s.Rounds, s.Publishing = occupancy.Refused{}, 0, 0
	return s
}

// wantRoomCount requires the number of existing rooms, which Stats reports without delay.
func wantRoomCount(t testing.TB, e *occupancy.Engine, want int) {
	t.Helper()
	require.Equal(t, want, e.Stats().Rooms, "Stats.Rooms")
}
