package occupancy_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/occupancy/occupancy"
)

// Promises 1 and 9 at the moment of Close: a call that Close overtakes either counts
// or is refused with ErrClosed, and is not told that nobody is there.
func TestCallsThatCloseOvertakesCountOrAreRefused(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	const rooms, callers = 256, 16
	conn, member := occupancy.Occupancy{Connections: 1}, occupancy.Occupancy{PresenceMembers: 1}
	// prepare is who is in a room, and the call that takes some of that away; before
	// and after are the room's occupancy.
	for name, c := range map[string]struct {
		prepare       func(e *occupancy.Engine, room string) (call func() error)
		before, after occupancy.Occupancy
	}{
		"Leave": {func(e *occupancy.Engine, room string) func() error {
			_ = e.Join(room)
			return func() error { return e.Leave(room) }
		}, conn, occupancy.Occupancy{}},
		"Exit": {func(e *occupancy.Engine, room string) func() error {
			_ = e.Enter(room)
			return e.Room(room).Exit
		}, member, occupancy.Occupancy{}},
		"Conn.Exit": {func(e *occupancy.Engine, room string) func() error {
			c, _ := e.Connect(room)
			_ = c.Enter("ann")
			_ = e.Leave(room) // so that the Exit ends the room
			return func() error { return c.Exit("ann") }
		}, member, occupancy.Occupancy{}},
		"Conn.Close": {func(e *occupancy.Engine, room string) func() error {
			c, _ := e.Connect(room)
			return c.Close
		}, conn, occupancy.Occupancy{}},
	} {
		t.Run(name, func(t *testing.T) {
			for range 150 {
				// With a limit the rooms end one by one, so calls wait and are overtaken.
				e := occupancy.New(occupancy.WithMaxRooms(rooms))
				calls := make([]func() error, rooms)
				for i := range calls {
					calls[i] = c.prepare(e, fmt.Sprint(i))
				}
				errs := make([]error, rooms)
				var wg sync.WaitGroup
				var done atomic.Int64
				midway := make(chan struct{})
				for caller := range callers {
					wg.Go(func() {
						for i := caller; i < rooms; i += callers {
							errs[i] = calls[i]()
							if done.Add(1) == rooms/4 {
								close(midway)
							}
						}
					})
				}
				<-midway
				_ = e.Close()
				wg.Wait()
				for i, err := range errs {
					want := c.after
					if err != nil {
						want = c.before
					}
					if err != nil && !errors.Is(err, occupancy.ErrClosed) || e.Current(fmt.Sprint(i)) != want {
						t.Fatalf("%s returned %v, and then the room had %+v", name, err, e.Current(fmt.Sprint(i)))
					}
				}
			}
		})
	}
}

// The event by which Close tells a last word is an event as any other.
func TestStatsCountTheEventsOfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := occupancy.New()
		s, _ := e.Subscribe("room")
		_ = e.Join("room")
		synctest.Wait() // told at once
		_ = e.Join("room")
		_ = e.Close() // before the interval is over
		if got := <-s.Events(); got.Occupancy.Connections != 2 {
			t.Errorf("the last word is %+v", got)
		}
		if got := e.Stats(); got.Published != 2 || got.Delivered != 3 || got.Folded != 2 {
			t.Errorf("after two events and a snapshot, of which one was read, Stats are %+v", got)
		}
	})
}
