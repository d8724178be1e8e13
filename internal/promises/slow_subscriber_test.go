package promises_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestSlowSubscriber_HoldsOnlyTheNewestEvent(t *testing.T) {
	bubble(t, "it never reads", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		for i := range 20 {
			must(t, e.Join("r"))
			synctest.Wait()
			require.Len(t, s.Events(), 1)
			stats := e.Stats()
			require.Equal(t, uint64(i+1), stats.Published)
			require.Equal(t, uint64(i+2), stats.Delivered)
			require.Equal(t, uint64(i+1), stats.Folded)
			time.Sleep(interval)
		}
		require.Equal(t, occ(20, 0), receive(t, s).Occupancy)
		noEvent(t, s)
		require.Equal(t, uint64(20), e.Stats().Folded) // an event that was read is not folded
		must(t, e.Join("r"))
		synctest.Wait()
		require.Equal(t, uint64(20), e.Stats().Folded)
		require.Equal(t, uint64(22), e.Stats().Delivered)
	})
	bubble(t, "the snapshot is replaced", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		must(t, e.Join("r"))
		require.Equal(t, occ(1, 0), receive(t, s).Occupancy)
		noEvent(t, s)
	})
	bubble(t, "the newest value equals the last one read", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		must(t, e.Join("r"))
		before := receive(t, s)
		must(t, e.Join("r"))
		time.Sleep(interval)
		synctest.Wait()
		require.Len(t, s.Events(), 1)
		must(t, e.Leave("r"))
		time.Sleep(interval)
		after := receive(t, s) // an event with 2 was replaced by one with 1
		require.Equal(t, before.Occupancy, after.Occupancy)
		require.Equal(t, before.Version+2, after.Version)
	})
}

func TestSlowSubscriber_DelaysNoHookSubscriberOrClose(t *testing.T) {
	const rooms, stalled, changes = 100, 20, 30
	for _, d := range []time.Duration{0, interval} {
		bubble(t, "interval "+d.String(), func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(d))
			var unread []*occupancy.Subscription
			var readers []<-chan []timedEvent
			for i := range rooms {
				for range stalled {
					unread = append(unread, subscribe(t, e, room(i)))
				}
				readers = append(readers, record(subscribe(t, e, room(i))))
				for range stalled {
					unread = append(unread, subscribe(t, e, room(i)))
				}
			}
			begin := time.Now()
			for range changes {
				var wg sync.WaitGroup
				for w := range 2 {
					wg.Go(func() {
						for i := w; i < rooms; i += 2 {
							if e.Join(room(i)) != nil || e.Enter(room(i), "c") != nil {
								t.Error("refused")
							}
						}
					})
				}
				wg.Wait()
				synctest.Wait()
				time.Sleep(max(d, 1))
			}
			require.Equal(t, changes*max(d, 1), time.Since(begin)) // no hook was delayed
			synctest.Wait()
			stats := e.Stats()
			require.Equal(t, rooms*(2*stalled+1), stats.Subscriptions)
			require.Equal(t, rooms*changes, stats.Total.Connections)

			for i, s := range unread {
				require.Len(t, s.Events(), 1)
				if i%2 == 0 {
					require.Equal(t, occ(changes, changes), receive(t, s).Occupancy)
				}
			}

			begin = time.Now()
			must(t, e.Close())
			require.Zero(t, time.Since(begin))
			var delivered uint64
			for _, reader := range readers {
				all := <-reader
				require.Equal(t, occ(changes, changes), all[len(all)-1].Occupancy)
				require.GreaterOrEqual(t, len(all), changes)
				delivered += uint64(len(all))
			}
			for i, s := range unread {
				ev, open := <-s.Events()
				require.Equal(t, i%2 == 1, open)
				if open {
					require.Equal(t, occ(changes, changes), ev.Occupancy)
				}
			}
			// The stalled subscribers received as many events as the readers, but all except
			// the last were folded.
			stats = e.Stats()
			require.LessOrEqual(t, delivered, stats.Delivered/(2*stalled+1)+rooms)
			require.Equal(t, delivered+stats.Folded+uint64(len(unread)), stats.Delivered)
			require.Zero(t, stats.Subscriptions)
		})
	}
}

// Subscribers of different speed in one room: each published event is delivered to each
// of them, and is either read or folded.
func TestSlowSubscriber_DeliveredEventsAreReadOrFolded(t *testing.T) {
	bubble(t, "at full speed", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		var readers, writers sync.WaitGroup
		const subs = 8
		begin := receive(t, subscribe(t, e, "none")).Version // every room begins with it
		delivered := e.Stats().Delivered
		var mu sync.Mutex
		var read, gaps uint64
		for i := range subs {
			s := subscribe(t, e, "r")
			readers.Go(func() {
				n, version := uint64(0), uint64(0)
				for ev := range s.Events() {
					n, version = n+1, ev.Version
					if i > 4 {
						time.Sleep(time.Duration(i) * time.Millisecond)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				read += n
				gaps += version - begin + 1 - n
			})
		}
		for range 2 {
			writers.Go(func() {
				for i := range 5000 {
					if e.Join("r") != nil {
						t.Error("refused")
					}
					if i%100 == 0 {
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		writers.Wait()
		time.Sleep(time.Second)
		must(t, e.Close())
		readers.Wait()
		stats := e.Stats()
		require.NotZero(t, gaps)
		require.Equal(t, gaps, stats.Folded)
		require.Equal(t, read+gaps, stats.Delivered-delivered)
		require.Equal(t, subs*(1+stats.Published), stats.Delivered-delivered)
	})
}

func TestUnsubscribe_ClosesAndEmptiesTheChannel(t *testing.T) {
	bubble(t, "other subscribers are not affected", func(t *testing.T) {
		e := newEngine(t)
		var subs []*occupancy.Subscription
		for range 7 {
			subs = append(subs, subscribe(t, e, "r"))
		}
		left := map[int]bool{}
		for _, i := range []int{3, 6, 0, 0, 4} {
			subs[i].Unsubscribe()
			left[i] = true
			ev, open := <-subs[i].Events()
			require.False(t, open, "%+v", ev)
			require.Equal(t, len(subs)-len(left), e.Stats().Subscriptions)
			must(t, e.Join("r"))
			time.Sleep(interval)
			for j, s := range subs {
				if !left[j] {
					require.Equal(t, e.Current("r"), receive(t, s).Occupancy, "%d after %d", j, i)
				}
			}
		}
	})
	bubble(t, "while events are delivered", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 500 {
					s, err := e.Subscribe("r")
					if err != nil {
						t.Errorf("Subscribe: %v", err)
						return
					}
					var both sync.WaitGroup
					for range 2 {
						both.Go(s.Unsubscribe)
					}
					both.Go(func() {
						for range s.Events() {
						}
					})
					both.Wait()
				}
			})
			wg.Go(func() {
				for range 2000 {
					if e.Join("r") != nil {
						t.Error("refused")
					}
				}
			})
		}
		wg.Wait()
		require.Zero(t, e.Stats().Subscriptions)
		require.Equal(t, occ(8000, 0), receive(t, subscribe(t, e, "r")).Occupancy)
	})
}

func TestUnsubscribe_NilSubscriptionDoesNothing(t *testing.T) {
	var s *occupancy.Subscription
	require.NotPanics(t, s.Unsubscribe)
}
