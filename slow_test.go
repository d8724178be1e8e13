package occupancy_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestPromise5_ASubscriberThatNeverReadsHoldsTheNewest(t *testing.T) {
	bubble(t, "and only that", func(t *testing.T) {
		e := start(t)
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
		require.Equal(t, occ(20, 0), waiting(t, s).Occupancy)
		silent(t, s)
		require.Equal(t, uint64(20), e.Stats().Folded) // what was read is not folded
		must(t, e.Join("r"))
		synctest.Wait()
		require.Equal(t, uint64(20), e.Stats().Folded)
		require.Equal(t, uint64(22), e.Stats().Delivered)
	})
	bubble(t, "from before its snapshot was read", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		must(t, e.Join("r"))
		require.Equal(t, occ(1, 0), waiting(t, s).Occupancy)
		silent(t, s)
	})
	bubble(t, "which may be what it read last", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		must(t, e.Join("r"))
		before := waiting(t, s)
		must(t, e.Join("r"))
		time.Sleep(interval)
		synctest.Wait()
		require.Len(t, s.Events(), 1)
		must(t, e.Leave("r"))
		time.Sleep(interval)
		after := waiting(t, s) // 2 came and was replaced by 1
		require.Equal(t, before.Occupancy, after.Occupancy)
		require.Equal(t, before.Version+2, after.Version)
	})
}

func TestPromise5_NobodyWaitsForASubscriber(t *testing.T) {
	const rooms, idle, changes = 100, 20, 30
	for _, d := range []time.Duration{0, interval} {
		bubble(t, "interval "+d.String(), func(t *testing.T) {
			e := start(t, occupancy.WithInterval(d))
			var unread []*occupancy.Subscription
			var readers []<-chan []told
			for i := range rooms {
				for range idle {
					unread = append(unread, subscribe(t, e, room(i)))
				}
				readers = append(readers, record(subscribe(t, e, room(i))))
				for range idle {
					unread = append(unread, subscribe(t, e, room(i)))
				}
			}
			begin := time.Now()
			for range changes {
				var wg sync.WaitGroup
				for w := range 2 {
					wg.Go(func() {
						for i := w; i < rooms; i += 2 {
							if e.Join(room(i)) != nil || e.Enter(room(i)) != nil {
								t.Error("refused")
							}
						}
					})
				}
				wg.Wait()
				synctest.Wait()
				time.Sleep(max(d, 1))
			}
			require.Equal(t, changes*max(d, 1), time.Since(begin)) // no hook waited
			synctest.Wait()
			stats := e.Stats()
			require.Equal(t, rooms*(2*idle+1), stats.Subscriptions)
			require.Equal(t, rooms*changes, stats.Connections)

			for i, s := range unread {
				require.Len(t, s.Events(), 1)
				if i%2 == 0 {
					require.Equal(t, occ(changes, changes), waiting(t, s).Occupancy)
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
			// Whoever did not read was handed as many, and of those all but the last
			// were folded; those who read were spared that.
			stats = e.Stats()
			require.LessOrEqual(t, delivered, stats.Delivered/(2*idle+1)+rooms)
			require.Equal(t, delivered+stats.Folded+uint64(len(unread)), stats.Delivered)
			require.Zero(t, stats.Subscriptions)
		})
	}
}

// Readers of every pace in one room, at full speed: everyone is handed every event
// that was published, and either reads it or sees it folded.
func TestPromise5_DeliveredIsReadOrFolded(t *testing.T) {
	bubble(t, "at full speed", func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		var readers, writers sync.WaitGroup
		const subs = 8
		begin := waiting(t, subscribe(t, e, "none")).Version // of every room yet
		handed := e.Stats().Delivered
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
		require.Equal(t, read+gaps, stats.Delivered-handed)
		require.Equal(t, subs*(1+stats.Published), stats.Delivered-handed)
	})
}

func TestPromise5_UnsubscribeEndsItForOne(t *testing.T) {
	bubble(t, "and nobody else", func(t *testing.T) {
		e := start(t)
		var subs []*occupancy.Subscription
		for range 7 {
			subs = append(subs, subscribe(t, e, "r"))
		}
		gone := map[int]bool{}
		for _, i := range []int{3, 6, 0, 0, 4} {
			subs[i].Unsubscribe()
			gone[i] = true
			ev, open := <-subs[i].Events()
			require.False(t, open, "%+v", ev)
			require.Equal(t, len(subs)-len(gone), e.Stats().Subscriptions)
			must(t, e.Join("r"))
			time.Sleep(interval)
			for j, s := range subs {
				if !gone[j] {
					require.Equal(t, e.Current("r"), waiting(t, s).Occupancy, "%d after %d", j, i)
				}
			}
		}
	})
	bubble(t, "while it is delivered to", func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
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
		require.Equal(t, occ(8000, 0), waiting(t, subscribe(t, e, "r")).Occupancy)
	})
}
