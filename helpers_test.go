package occupancy_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

const interval = 100 * time.Millisecond // what an engine has by default

// bubble is a subtest in virtual time.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// start makes an engine that is closed with the test.
func start(t testing.TB, opts ...occupancy.Option) *occupancy.Engine {
	e := occupancy.New(opts...)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func occ(connections, members int) occupancy.Occupancy {
	return occupancy.Occupancy{Connections: connections, PresenceMembers: members}
}

func room(i int) string { return fmt.Sprint("room", i) }

func subscribe(t testing.TB, e *occupancy.Engine, room string) *occupancy.Subscription {
	t.Helper()
	s, err := e.Subscribe(room)
	require.NoError(t, err)
	return s
}

// waiting is the event that waits in s once the engine has nothing more to do at
// this moment of virtual time.
func waiting(t testing.TB, s *occupancy.Subscription) occupancy.Event {
	t.Helper()
	synctest.Wait()
	select {
	case ev, open := <-s.Events():
		require.True(t, open, "the channel is closed")
		return ev
	default:
		require.Fail(t, "no event waits")
		panic("unreachable")
	}
}

// silent requires that nothing waits in s.
func silent(t testing.TB, s *occupancy.Subscription) {
	t.Helper()
	synctest.Wait()
	select {
	case ev, open := <-s.Events():
		require.Fail(t, "told too much", "%+v (open: %v)", ev, open)
	default:
	}
}

// told is an event and when it came.
type told struct {
	at time.Duration
	occupancy.Event
}

// record reads s until it is closed; the events are there then.
func record(s *occupancy.Subscription) <-chan []told {
	begin, done := time.Now(), make(chan []told, 1)
	go func() {
		var all []told
		for ev := range s.Events() {
			all = append(all, told{time.Since(begin), ev})
		}
		done <- all
	}()
	return done
}

// poll is a Next that does not wait: nil if w has nothing to tell at this moment
// of virtual time.
func poll(t testing.TB, w *occupancy.Watcher) []occupancy.Event {
	t.Helper()
	synctest.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	var batch []occupancy.Event
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

// news is all that w has to tell at this moment of virtual time, by room, and in
// how many events.
func news(t testing.TB, w *occupancy.Watcher) (rooms map[string]occupancy.Occupancy, events int) {
	t.Helper()
	rooms = map[string]occupancy.Occupancy{}
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

type byRoom = map[string]occupancy.Occupancy

// hears requires what w has to tell now, each room once.
func hears(t testing.TB, w *occupancy.Watcher, want byRoom) {
	t.Helper()
	rooms, events := news(t, w)
	require.Equal(t, want, rooms)
	require.Equal(t, len(want), events, "a room was told more than once")
}

func watch(t testing.TB, e *occupancy.Engine, opts ...occupancy.WatchOption) *occupancy.Watcher {
	w := e.Watch(opts...)
	t.Cleanup(w.Close)
	return w
}

// heap is how many bytes are in use once the garbage is gone.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// holds is Stats without the engine's work and its settings: zero where nothing is held
// and nothing was told.
func holds(e *occupancy.Engine) occupancy.Stats {
	s := e.Stats()
	s.Refused, s.Rounds, s.Publishing, s.MaxRooms, s.Interval = occupancy.Refused{}, 0, 0, 0, 0
	return s
}
