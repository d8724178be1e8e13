package occupancy

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// wantNothingKept requires that the engine keeps nothing of any room.
func wantNothingKept(t *testing.T, e *Engine) {
	t.Helper()
	p := e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Zero(t, e.rooms.cells.Size(), "cells in the map")
	require.Zero(t, e.rooms.exist(), "rooms that exist")
	require.True(t, p.inbox.cells.empty(), "in the inbox")
	require.True(t, p.waiting.empty(), "waiting")
	require.True(t, p.unwatched.empty(), "without listeners")
	require.True(t, p.totals.entries.empty(), "in the journal of totals")
	require.True(t, p.locals.entries.empty(), "in the journal of local parts")
}

// drain calls Next until it would block.
func drain(t *testing.T, w *Watcher) (events []RoomEvent) {
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

func TestPublisher_KeepsEmptiedRoomUntilAllWatchersHaveReadIt(t *testing.T) {
	for name, last := range map[string]func(*testing.T, *Watcher){
		"read":   func(t *testing.T, w *Watcher) { drain(t, w) },
		"closed": func(_ *testing.T, w *Watcher) { _ = w.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New()
				defer e.Close()
				link, err := e.Link(nil)
				require.NoError(t, err)
				totals, err := e.Watch()
				require.NoError(t, err)
				locals, err := link.Watch()
				require.NoError(t, err)
				require.NoError(t, e.Join("a"))
				peer := link.Remote("peer") // so that the room has separate marks
				require.NoError(t, peer.Set(Part{"a", Occupancy{Connections: 1}}))
				time.Sleep(time.Second)
				drain(t, totals)
				drain(t, locals)

				require.NoError(t, e.Leave("a"))
				require.NoError(t, peer.Close())
				time.Sleep(time.Second)
				require.Zero(t, e.rooms.exist())
				require.Equal(t, 1, e.rooms.cells.Size())

				require.Len(t, drain(t, totals), 1)
				require.Equal(t, 1, e.rooms.cells.Size(), "the watcher of local parts has not read it")
				last(t, locals)
				wantNothingKept(t, e)
			})
		})
	}
}

// A room that begins again before a watcher has read its end keeps its cell. The watcher
// returns it once, with its newest value.
func TestPublisher_RoomKeptForWatcherBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		w, err := e.Watch()
		require.NoError(t, err)
		handle := e.Room("a")
		require.NoError(t, handle.Join())
		time.Sleep(time.Second)
		require.NoError(t, handle.Leave())
		time.Sleep(time.Second)
		kept := handle.cell.Load()
		require.Equal(t, idle, kept.word.Load(), "idle, not retired")

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
		require.NoError(t, w.Close())
		wantNothingKept(t, e)
	})
}

// A change between publish and makeIdle must be published first, even if the total does not
// change because it is capped.
func TestPublisher_MakeIdleRefusesAnUnpublishedChange(t *testing.T) {
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
		"this process's part, capped total": {connections, connections, 6 * connection},
		"remote part":                       {0, member, 5 * connection},
		"both parts, same total":            {0, connection, 4 * connection},
	} {
		x.remote.Store(s.remote)
		c.word.Store(held | 5*connection)
		p.publish(c, c.local())
		x.remote.Store(s.newRemote)
		c.word.Store(held | s.newLocal)
		now := c.word.Load()
		require.False(t, p.makeIdle(c), what)
		require.Equal(t, now, c.word.Load(), what)
		p.publish(c, c.local())
		require.True(t, p.makeIdle(c), what)
		require.Equal(t, now|idle, c.word.Load(), what)
	}
	x.remote.Store(0)
	p.publish(c, c.local())
}

// A room without a listener is dropped soon, although the interval is long and another
// room waits for it.
func TestPublisher_DropsRoomWithoutListenerBeforeTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(time.Hour))
		defer e.Close()
		time.Sleep(10 * time.Hour)
		s, err := e.Subscribe("subscribed")
		require.NoError(t, err)
		defer s.Unsubscribe()
		require.NoError(t, e.Join("subscribed"))
		require.NoError(t, e.Join("plain"))
		synctest.Wait()
		require.NoError(t, e.Leave("plain"))
		time.Sleep(3 * maxPause) // its end is published, and then it is dropped
		require.Equal(t, 1, e.rooms.cells.Size())
	})
}

func TestPublisher_VisitsBusyRoomWithoutListenerSeldom(t *testing.T) {
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
		require.LessOrEqual(t, e.pub.seq, uint64(1+time.Second/maxPause))
	})
}

func TestPublisher_DropsRoomsWithoutListenersSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(24*time.Hour), WithMaxRooms(1))
		defer e.Close()
		for i := range 1000 {
			require.NoError(t, e.Join(fmt.Sprint(i)))
			require.NoError(t, e.Leave(fmt.Sprint(i)))
		}
		time.Sleep(time.Second)
		require.Zero(t, e.rooms.cells.Size())
		require.Zero(t, e.Stats().Total)
	})
}

// Closing a watcher that never read drops all emptied rooms that were kept for it. That
// must not block a Subscribe. A few rooms may be dropped before the scheduler runs another
// goroutine, so the test tries again with more.
func TestPublisher_ClosingUnreadWatcherDoesNotBlockSubscribe(t *testing.T) {
	for rooms := 20_000; !subscribesMeanwhile(t, rooms); rooms *= 2 {
		require.Less(t, rooms, 1_000_000, "no Subscribe returned while the rooms were dropped")
	}
}

// settled reports whether the publisher has marked every room as idle.
func settled(e *Engine) bool {
	p := e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inbox.mu.Lock()
	defer p.inbox.mu.Unlock()
	return p.inbox.cells.empty() && p.waiting.empty() && p.unwatched.empty()
}

// subscribesMeanwhile reports whether a Subscribe returned while rooms were dropped.
func subscribesMeanwhile(t *testing.T, rooms int) (meanwhile bool) {
	e := New(WithInterval(time.Millisecond))
	defer e.Close()
	w, err := e.Watch()
	require.NoError(t, err)
	for i := range rooms {
		require.NoError(t, e.Join(fmt.Sprint(i)))
	}
	for e.Stats().Total.Connections < rooms { // a room that is never published is not kept
		runtime.Gosched()
	}
	for i := range rooms {
		require.NoError(t, e.Leave(fmt.Sprint(i)))
	}
	for e.Stats().Total.Connections > 0 || !settled(e) { // so that only Close drops them
		runtime.Gosched()
	}
	require.Equal(t, rooms, e.rooms.cells.Size(), "rooms kept for the watcher")
	closed := make(chan struct{})
	go func() { _ = w.Close(); close(closed) }()
	for done := false; !done; {
		before := e.rooms.cells.Size()
		s, err := e.Subscribe("another")
		require.NoError(t, err)
		meanwhile = meanwhile || before < rooms && e.rooms.cells.Size() > 1 // one of its own
		s.Unsubscribe()
		select {
		case <-closed:
			done = true
		default:
		}
	}
	require.Eventually(t, func() bool { return e.rooms.cells.Size() == 0 }, 10*time.Second, time.Millisecond)
	return meanwhile
}
