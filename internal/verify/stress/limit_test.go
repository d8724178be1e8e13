package stress

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// As many goroutines as the limit, each in one room at a time: no call may be refused.
// With more goroutines, no more rooms may exist than the limits allow.
func TestRoomLimit_ExactUnderConcurrentCalls(t *testing.T) {
	const limit = 4
	const occupied, subscribed, reported = 0, 1, 2
	for goroutines, refusals := range map[int]bool{limit: false, 3 * limit: true} {
		bubble(t, fmt.Sprintf("%d goroutines", goroutines), func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(0), occupancy.WithMaxRooms(limit))
			link := linked(t, e)
			var exist [3]atomic.Int64 // the rooms that exist for sure, by the limit that applies
			var refused atomic.Int64
			var wg sync.WaitGroup
			for i := range goroutines {
				node := link.Remote(strconv.Itoa(i))
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 12))
					for n := range 3000 {
						// Of this goroutine only, and often the same name as before.
						name := fmt.Sprint(i, "/", r.IntN(2))
						var err error
						var leave func() error
						limited := occupied
						switch r.IntN(5) {
						case 0:
							err, leave = e.Join(name), func() error { return e.Leave(name) }
						case 1:
							h := e.Room(name)
							err, leave = h.Enter("c"), func() error { return h.Exit("c") }
						case 2:
							var c *occupancy.Lease
							c, err = e.Connect(name)
							leave = func() error { return errors.Join(c.Enter("a"), c.Close()) }
						case 3:
							limited = subscribed
							var s *occupancy.Subscription
							s, err = e.Subscribe(name)
							leave = func() error { s.Unsubscribe(); return nil }
						case 4:
							limited = reported
							err = node.Set(part(name, occ(1, 1)))
							leave = func() error { return node.Set(part(name, occ(0, 0))) }
						}
						if err != nil {
							if refused.Add(1); !refusals || !errors.Is(err, occupancy.ErrTooManyRooms) {
								t.Errorf("refused: %v", err)
							}
							continue
						}
						if now := exist[limited].Add(1); now > limit {
							t.Errorf("%d rooms of kind %d exist", now, limited)
						}
						if now := e.Stats().Rooms; now < 1 || now > 3*limit {
							t.Errorf("Stats.Rooms is %d", now)
						}
						if n%50 == 0 {
							time.Sleep(time.Microsecond)
						}
						exist[limited].Add(-1)
						if err := leave(); err != nil {
							t.Errorf("leave: %v", err)
						}
					}
				})
			}
			wg.Wait()
			synctest.Wait()
			require.Equal(t, refusals, refused.Load() > 0)
			require.Zero(t, e.Stats().Rooms)
			for i := range limit {
				must(t, e.Join(room(i)))
			}
			require.ErrorIs(t, e.Join("more"), occupancy.ErrTooManyRooms)
		})
	}
}

// Rooms that are subscribed to become occupied and empty again, while other goroutines
// join and subscribe. No Leave and no call on an existing room may be refused, and at the
// end both limits must be exact.
func TestRoomLimit_SubscribedRoomsBecomeOccupied(t *testing.T) {
	const limit = 3
	bubble(t, "concurrent calls", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0), occupancy.WithMaxRooms(limit))
		var subs []*occupancy.Subscription
		for i := range limit {
			subs = append(subs, subscribe(t, e, room(i)))
		}
		var wg sync.WaitGroup
		for i := range limit { // at most one room each: never refused
			wg.Go(func() {
				for range 5000 {
					s, err := e.Subscribe(room(i))
					if err != nil || e.Join(room(i)) != nil || e.Leave(room(i)) != nil {
						t.Errorf("refused: %v", err)
						return
					}
					s.Unsubscribe()
				}
			})
		}
		wg.Go(func() {
			for n := range 5000 {
				s, err := e.Subscribe(fmt.Sprint("other", n%7))
				switch {
				case err == nil:
					s.Unsubscribe()
				case !errors.Is(err, occupancy.ErrTooManyRooms):
					t.Errorf("Subscribe: %v", err)
				}
				if n := e.Stats().Rooms; n < limit || n > limit+1 {
					t.Errorf("Stats.Rooms is %d", n)
				}
			}
		})
		wg.Wait()
		require.Equal(t, limit, e.Stats().Rooms)
		_, err := e.Subscribe("other")
		require.ErrorIs(t, err, occupancy.ErrTooManyRooms)
		for i := range limit {
			must(t, e.Join(fmt.Sprint("joined", i)))
		}
		require.ErrorIs(t, e.Join("other"), occupancy.ErrTooManyRooms)
		for _, s := range subs {
			s.Unsubscribe()
		}
		require.Equal(t, limit, e.Stats().Rooms)
		for i := range limit {
			subscribe(t, e, fmt.Sprint("subscribed", i))
		}
		require.Equal(t, 2*limit, e.Stats().Rooms)
	})
}
