package promises_test

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestLastValue_DeliveredWithinAnInterval(t *testing.T) {
	bubble(t, "at the end of the interval after the last event", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		all := record(s)
		begin := time.Now()
		join := func(at time.Duration) {
			time.Sleep(at - time.Since(begin))
			must(t, e.Join("r"))
			synctest.Wait()
		}
		join(30 * time.Millisecond)  // published immediately
		join(31 * time.Millisecond)  // published at 130
		join(80 * time.Millisecond)  // likewise
		join(129 * time.Millisecond) // likewise
		join(131 * time.Millisecond) // published at 230
		join(500 * time.Millisecond) // published immediately
		join(599 * time.Millisecond) // published at 600
		time.Sleep(time.Second)
		s.Unsubscribe()

		got := <-all
		ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
		want := []struct {
			at    time.Duration
			conns int
		}{{0, 0}, {ms(30), 1}, {ms(130), 4}, {ms(230), 5}, {ms(500), 6}, {ms(600), 7}}
		require.Len(t, got, len(want))
		for i, w := range want {
			require.Equal(t, w.at, got[i].at, i)
			require.Equal(t, occ(w.conns, 0), got[i].Occupancy, i)
			require.Equal(t, got[0].Version+uint64(i), got[i].Version, i)
		}
	})
	bubble(t, "subscribers that read late", func(t *testing.T) {
		e := newEngine(t)
		var subs []*occupancy.Subscription
		for range 10 {
			subs = append(subs, subscribe(t, e, "r"))
		}
		for range 50 {
			must(t, e.Join("r"), e.Enter("r", "c"))
			time.Sleep(interval / 7)
		}
		time.Sleep(interval)
		for _, s := range subs {
			require.Equal(t, occ(50, 50), receive(t, s).Occupancy)
			noEvent(t, s)
		}
	})
	bubble(t, "remote part", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		receive(t, s)
		node := remote(t, e, "node")
		must(t, node.Set(part("r", occ(3, 2))))
		require.Equal(t, occ(3, 2), receive(t, s).Occupancy)
		must(t, node.Set(part("r", occ(4, 2))), node.Set(part("r", occ(9, 9))))
		noEvent(t, s)
		time.Sleep(interval - 1)
		must(t, e.Join("another")) // which wakes the publisher before the interval ends
		noEvent(t, s)
		time.Sleep(time.Nanosecond)
		require.Equal(t, occ(9, 9), receive(t, s).Occupancy)
		node.Close()
		time.Sleep(interval)
		require.Equal(t, occ(0, 0), receive(t, s).Occupancy)
	})
	bubble(t, "room that emptied", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("r"))
		s := subscribe(t, e, "r")
		require.Equal(t, occ(1, 0), receive(t, s).Occupancy)
		must(t, e.Leave("r"))
		require.Equal(t, occ(0, 0), receive(t, s).Occupancy)
		must(t, e.Join("r"), e.Leave("r"), e.Join("r"))
		time.Sleep(interval)
		require.Equal(t, occ(1, 0), receive(t, s).Occupancy)
	})
}

func TestLastValue_IntervalZeroPublishesEachChange(t *testing.T) {
	bubble(t, "immediately", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		s := subscribe(t, e, "r")
		all := record(s)
		for range 20 {
			time.Sleep(time.Nanosecond)
			must(t, e.Join("r"))
			synctest.Wait()
			must(t, e.Enter("r", "c"))
			synctest.Wait()
		}
		s.Unsubscribe()
		got := <-all
		require.Len(t, got, 41)
		for i, ev := range got {
			require.Equal(t, time.Duration((i+1)/2), ev.at)
			require.Equal(t, occ((i+1)/2, i/2), ev.Occupancy)
			require.Equal(t, got[0].Version+uint64(i), ev.Version)
		}
	})
}

func TestLastValue_IntervalOfAnyLength(t *testing.T) {
	for _, d := range []time.Duration{time.Hour, 200 * 365 * 24 * time.Hour, math.MaxInt64 / 2, math.MaxInt64 - 1, math.MaxInt64} {
		bubble(t, d.String(), func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(d))
			time.Sleep(time.Minute) // the deadline, now + d, overflows a Duration
			s := subscribe(t, e, "r")
			receive(t, s)
			must(t, e.Join("r"))
			require.Equal(t, occ(1, 0), receive(t, s).Occupancy)
			must(t, e.Join("r"))
			noEvent(t, s)
			time.Sleep(time.Hour - 1)
			must(t, e.Join("r"))
			noEvent(t, s)
			if d == time.Hour {
				time.Sleep(time.Nanosecond)
				require.Equal(t, occ(3, 0), receive(t, s).Occupancy)
			} else {
				time.Sleep(1000 * time.Hour)
				noEvent(t, s)
			}
			must(t, e.Join("r"))
			must(t, e.Close())
			require.Equal(t, occ(4, 0), (<-s.Events()).Occupancy) // Close does not wait for the interval
		})
	}
}

// One subscriber reads every event, one reads sometimes, one never. All of them receive
// the same events, and the gaps in Version count the folded ones.
func TestVersion_IncreasesByOneAndGapsCountFoldedEvents(t *testing.T) {
	bubble(t, "busy room", func(t *testing.T) {
		e := newEngine(t)
		const events = 60
		eager := record(subscribe(t, e, "r"))
		lazy, never := subscribe(t, e, "r"), subscribe(t, e, "r")
		first := receive(t, lazy)
		published := e.Stats().Published

		known := map[uint64]occupancy.Occupancy{first.Version: first.Occupancy}
		read, last, folded := 1, first, 0
		for i := range events {
			// One change: a hook publishes the first one of a quiet room itself, so a second
			// one at the same instant would be an event of the next interval.
			if i%3 == 0 {
				must(t, e.Enter("r", "c"))
			} else {
				must(t, e.Join("r"))
			}
			time.Sleep(interval)
			if i%7 == 4 {
				ev := receive(t, lazy)
				read, folded = read+1, folded+int(ev.Version-last.Version)-1
				known[ev.Version], last = ev.Occupancy, ev
			}
		}
		require.Equal(t, uint64(events), e.Stats().Published-published)
		require.Equal(t, first.Version+events, receive(t, never).Version)
		noEvent(t, never)
		ev := receive(t, lazy)
		folded += int(ev.Version-last.Version) - 1
		require.Equal(t, events, read+folded) // read counts the snapshot but not this event
		require.Equal(t, uint64(folded+events), e.Stats().Folded)

		must(t, e.Close())
		all := <-eager
		require.Len(t, all, events+1)
		for i, ev := range all {
			require.Equal(t, first.Version+uint64(i), ev.Version)
			require.Equal(t, time.Duration(max(0, i-1))*interval, ev.at)
			if o, ok := known[ev.Version]; ok {
				require.Equal(t, ev.Occupancy, o)
				delete(known, ev.Version)
			}
		}
		require.Empty(t, known)
	})
	bubble(t, "room that ends and begins again", func(t *testing.T) {
		e := newEngine(t)
		var last uint64
		for range 5 {
			s := subscribe(t, e, "r")
			ev := receive(t, s)
			require.GreaterOrEqual(t, ev.Version, last)
			must(t, e.Join("r"))
			next := receive(t, s)
			require.Equal(t, ev.Version+1, next.Version)
			last = next.Version
			must(t, e.Leave("r"))
			s.Unsubscribe()
			time.Sleep(3 * interval)
			require.Zero(t, e.Stats().Rooms)
		}
	})
	bubble(t, "second subscription", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("r"))
		s := subscribe(t, e, "r")
		was := receive(t, s)
		s.Unsubscribe()
		for range 10 {
			time.Sleep(interval)
			must(t, e.Join("other"), e.Join("r"))
		}
		ev := receive(t, subscribe(t, e, "r"))
		require.Greater(t, ev.Version, was.Version)
		require.Equal(t, occ(11, 0), ev.Occupancy)
	})
}

// Concurrent hooks only increase the counts, so an event with a lower count than the one
// before is out of order.
func TestLastValue_EventsAreNeverReordered(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond} {
		bubble(t, "interval "+d.String(), func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(d))
			const workers, each = 4, 3000
			var readers, writers sync.WaitGroup
			for i := range 5 {
				s := subscribe(t, e, "r")
				readers.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 6))
					var last occupancy.Event
					for ev := range s.Events() {
						if ev.Occupancy.Connections < last.Occupancy.Connections || ev.Occupancy.PresenceMembers < last.Occupancy.PresenceMembers ||
							last.Version != 0 && (ev.Version <= last.Version || ev.Occupancy == last.Occupancy) {
							t.Errorf("%+v after %+v", ev, last)
						}
						last = ev
						if i > 2 {
							time.Sleep(time.Duration(r.IntN(5000)) * time.Microsecond)
						}
					}
					if last.Occupancy != occ(workers*each, workers*each) {
						t.Errorf("the last event is %+v", last)
					}
				})
			}
			for i := range workers {
				writers.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 7))
					for range each {
						if e.Join("r") != nil || e.Enter("r", "c") != nil {
							t.Error("refused")
						}
						if r.IntN(50) == 0 {
							time.Sleep(time.Duration(r.IntN(500)) * time.Microsecond)
						}
					}
				})
			}
			writers.Wait()
			time.Sleep(time.Second)
			must(t, e.Close())
			readers.Wait()
		})
	}
}

// The last of several hooks runs at a random point of the publisher's work, for example
// after it has read the room's counts and before it marks the room as idle.
func TestLastValue_DeliveredWhateverThePublisherDoes(t *testing.T) {
	bubble(t, "subscription and watcher", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		s, w, v := subscribe(t, e, "r"), watch(t, e), byHandle(e.Room("r"))
		node := remote(t, e, "node")
		r := rand.New(rand.NewPCG(1, 16))
		var received, watched occupancy.Occupancy
		var spun atomic.Int64
		for n := range 10_000 {
			for range 1 + r.IntN(4) {
				if v.join() != nil {
					t.Fatal("refused")
				}
				for range r.IntN(2000) { // about as long as the publisher works
					spun.Add(1)
				}
			}
			if n%4 == 0 {
				must(t, node.Set(part("r", occ(r.IntN(9), 0))))
			}
			synctest.Wait()
			for range len(s.Events()) {
				received = (<-s.Events()).Occupancy
			}
			if rooms, events := readAll(t, w); events > 0 {
				watched = rooms["r"]
			}
			if now := e.Current("r"); received != now || watched != now {
				require.Fail(t, "value not delivered", "step %d: subscriber %+v, watcher %+v, want %+v", n, received, watched, now)
			}
		}
	})
}
