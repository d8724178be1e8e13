package stress

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// A hook concurrent with Close is either counted or returns ErrClosed. It must not return
// ErrNotJoined or ErrNotEntered, and Close of a lease returns nil in both cases.
func TestClose_ConcurrentHookIsCountedOrReturnsErrClosed(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	const rooms, callers = 256, 16
	conn, member := occupancy.Occupancy{Connections: 1}, occupancy.Occupancy{PresenceMembers: 1}
	// prepare fills a room and returns the call that empties it. before and after are the
	// room's occupancy.
	for name, c := range map[string]struct {
		prepare       func(e *occupancy.Engine, room string) (call func() error)
		before, after occupancy.Occupancy
	}{
		"Leave": {func(e *occupancy.Engine, room string) func() error {
			_ = e.Join(room)
			return func() error { return e.Leave(room) }
		}, conn, occupancy.Occupancy{}},
		"Exit": {func(e *occupancy.Engine, room string) func() error {
			_ = e.Enter(room, "c")
			return func() error { return e.Room(room).Exit("c") }
		}, member, occupancy.Occupancy{}},
		"Lease.Exit": {func(e *occupancy.Engine, room string) func() error {
			c, _ := e.Connect(room)
			_ = c.Enter("ann")
			_ = e.Leave(room) // so that the Exit ends the room
			return func() error { return c.Exit("ann") }
		}, member, occupancy.Occupancy{}},
		"Lease.Close": {func(e *occupancy.Engine, room string) func() error {
			c, _ := e.Connect(room)
			return c.Close
		}, conn, occupancy.Occupancy{}},
	} {
		t.Run(name, func(t *testing.T) {
			for range 150 {
				// With a limit the rooms end one after the other, so some calls are late.
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
					got := e.Current(fmt.Sprint(i))
					ok := err == nil && got == c.after || errors.Is(err, occupancy.ErrClosed) && got == c.before
					if name == "Lease.Close" { // returns nil also if the engine was closed before
						ok = err == nil && (got == c.after || got == c.before)
					}
					if !ok {
						t.Fatalf("%s returned %v, and then the room had %+v", name, err, got)
					}
				}
			}
		})
	}
}

// The engine is closed while every method is being called. No call may block forever, panic
// or return a wrong error. A goroutine that does not end is reported by synctest.
func TestClose_WhileEveryMethodIsCalled(t *testing.T) {
	for seed := range uint64(12) {
		d := []time.Duration{0, time.Millisecond, interval}[seed%3]
		bubble(t, fmt.Sprintf("seed %d, interval %v", seed, d), func(t *testing.T) {
			opts := []occupancy.Option{occupancy.WithInterval(d)}
			if seed%2 == 0 {
				opts = append(opts, occupancy.WithMaxRooms(20))
			}
			e := occupancy.New(opts...)
			link, err := e.Link(nil)
			must(t, err)
			var wg sync.WaitGroup
			// again calls f until the engine is closed.
			again := func(name string, f func(r *rand.Rand, room string) error) {
				for i := range 2 {
					wg.Go(func() {
						r := rand.New(rand.NewPCG(seed, uint64(i)))
						for {
							switch err := f(r, room(r.IntN(20))); {
							case errors.Is(err, occupancy.ErrClosed):
								return
							case err != nil:
								t.Errorf("%s: %v", name, err)
								return
							}
							if r.IntN(50) == 0 {
								time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
							}
						}
					})
				}
			}
			again("hooks", func(_ *rand.Rand, room string) error {
				return errors.Join(e.Join(room), e.Enter(room, "c"), e.Exit(room, "c"), e.Leave(room))
			})
			again("handle", func(_ *rand.Rand, room string) error {
				h := e.Room(room)
				return errors.Join(h.Join(), h.Enter("c"), h.Exit("c"), h.Leave())
			})
			again("lease", func(_ *rand.Rand, room string) error {
				c, err := e.Connect(room)
				if err != nil {
					return err
				}
				return errors.Join(c.Enter("a"), c.Enter("b"), c.Exit("a"), c.Close())
			})
			again("subscribe", func(r *rand.Rand, room string) error {
				s, err := e.Subscribe(room)
				if err != nil {
					return err
				}
				if r.IntN(3) == 0 {
					s.Unsubscribe()
					return nil
				}
				wg.Go(func() {
					for range s.Events() {
					}
				})
				return nil
			})
			again("watch", func(r *rand.Rand, _ string) error {
				w, err := e.Watch()
				if err != nil {
					return err
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				defer cancel()
				for range r.IntN(4) {
					if _, err := w.Next(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
						return err
					}
				}
				if r.IntN(2) == 0 {
					_ = w.Close()
				}
				return nil
			})
			again("remote", func(r *rand.Rand, room string) error {
				node := link.Remote("node")
				defer node.Close()
				return errors.Join(node.Set(part(room, occ(r.IntN(3), 1))), node.Set(part(room, occ(0, r.IntN(2)))))
			})
			again("read", func(_ *rand.Rand, room string) error {
				for range e.All() {
					e.Stats()
				}
				_, err := e.Get(context.Background(), room)
				return err
			})
			wg.Go(func() {
				w, err := e.Watch()
				if err != nil {
					return // closed already
				}
				for {
					if _, err := w.Next(context.Background()); err != nil {
						if !errors.Is(err, occupancy.ErrClosed) {
							t.Errorf("Next: %v", err)
						}
						return
					}
				}
			})
			time.Sleep(time.Duration(5+seed) * time.Millisecond)
			for range 3 {
				wg.Go(func() {
					if err := e.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
			}
			wg.Wait()
			require.Zero(t, e.Stats().Subscriptions)
		})
	}
}
