package occupancy_test

import (
	"encoding/json"
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

func TestPromise3_LastWordIsDeliveredWithinAnInterval(t *testing.T) {
	bubble(t, "exactly at its end, after a change that was told", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		all := record(s)
		begin := time.Now()
		join := func(at time.Duration) {
			time.Sleep(at - time.Since(begin))
			must(t, e.Join("r"))
			synctest.Wait()
		}
		join(30 * time.Millisecond)  // told at once
		join(31 * time.Millisecond)  // these three
		join(80 * time.Millisecond)  // are
		join(129 * time.Millisecond) // told at 130
		join(131 * time.Millisecond) // told at 230
		join(500 * time.Millisecond) // told at once
		join(599 * time.Millisecond) // told at 600
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
	bubble(t, "to everyone who reads, and to who reads late", func(t *testing.T) {
		e := start(t)
		var subs []*occupancy.Subscription
		for range 10 {
			subs = append(subs, subscribe(t, e, "r"))
		}
		for range 50 {
			must(t, e.Join("r"), e.Enter("r"))
			time.Sleep(interval / 7)
		}
		time.Sleep(interval)
		for _, s := range subs {
			require.Equal(t, occ(50, 50), waiting(t, s).Occupancy)
			silent(t, s)
		}
	})
	bubble(t, "of another node's part too", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		waiting(t, s)
		node := e.Remote("node")
		must(t, node.Set("r", occ(3, 2)))
		require.Equal(t, occ(3, 2), waiting(t, s).Occupancy)
		must(t, node.Set("r", occ(4, 2)), node.Set("r", occ(9, 9)))
		silent(t, s)
		time.Sleep(interval - 1)
		must(t, e.Join("another")) // which wakes the publisher a moment too early
		silent(t, s)
		time.Sleep(time.Nanosecond)
		require.Equal(t, occ(9, 9), waiting(t, s).Occupancy)
		node.Close()
		time.Sleep(interval)
		require.Equal(t, occ(0, 0), waiting(t, s).Occupancy)
	})
	bubble(t, "also when it is that the room emptied", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("r"))
		s := subscribe(t, e, "r")
		require.Equal(t, occ(1, 0), waiting(t, s).Occupancy)
		must(t, e.Leave("r"))
		require.Equal(t, occ(0, 0), waiting(t, s).Occupancy)
		must(t, e.Join("r"), e.Leave("r"), e.Join("r"))
		time.Sleep(interval)
		require.Equal(t, occ(1, 0), waiting(t, s).Occupancy)
	})
}

func TestPromise3_WithoutAnIntervalEveryMomentIsTold(t *testing.T) {
	bubble(t, "at its time", func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		s := subscribe(t, e, "r")
		all := record(s)
		for range 20 {
			time.Sleep(time.Nanosecond)
			must(t, e.Join("r"))
			synctest.Wait()
			must(t, e.Enter("r"))
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

func TestPromise3_AnIntervalMayBeAsLongAsItLikes(t *testing.T) {
	for _, d := range []time.Duration{time.Hour, math.MaxInt64 / 2, math.MaxInt64 - 1, math.MaxInt64} {
		bubble(t, d.String(), func(t *testing.T) {
			e := start(t, occupancy.WithInterval(d))
			time.Sleep(time.Minute) // now + d is beyond what a duration holds
			s := subscribe(t, e, "r")
			waiting(t, s)
			must(t, e.Join("r"))
			require.Equal(t, occ(1, 0), waiting(t, s).Occupancy)
			must(t, e.Join("r"))
			silent(t, s)
			time.Sleep(time.Hour - 1)
			must(t, e.Join("r"))
			silent(t, s)
			if d == time.Hour {
				time.Sleep(time.Nanosecond)
				require.Equal(t, occ(3, 0), waiting(t, s).Occupancy)
			} else {
				time.Sleep(1000 * time.Hour)
				silent(t, s)
			}
			must(t, e.Join("r"))
			must(t, e.Close())
			require.Equal(t, occ(4, 0), (<-s.Events()).Occupancy) // Close does not wait for it
		})
	}
}

// One subscriber reads all, one at times, one never: all of them see the same
// events, and the gaps in Version say what each missed.
func TestPromise3_VersionGrowsByOneAndGapsCountFolds(t *testing.T) {
	bubble(t, "in a busy room", func(t *testing.T) {
		e := start(t)
		const events = 60
		eager := record(subscribe(t, e, "r"))
		lazy, never := subscribe(t, e, "r"), subscribe(t, e, "r")
		first := waiting(t, lazy)
		published := e.Stats().Published

		known := map[uint64]occupancy.Occupancy{first.Version: first.Occupancy}
		read, last, folded := 1, first, 0
		for i := range events {
			must(t, e.Join("r"))
			if i%3 == 0 {
				must(t, e.Enter("r"))
			}
			time.Sleep(interval)
			if i%7 == 4 {
				ev := waiting(t, lazy)
				read, folded = read+1, folded+int(ev.Version-last.Version)-1
				known[ev.Version], last = ev.Occupancy, ev
			}
		}
		require.Equal(t, uint64(events), e.Stats().Published-published)
		require.Equal(t, first.Version+events, waiting(t, never).Version)
		silent(t, never)
		ev := waiting(t, lazy)
		folded += int(ev.Version-last.Version) - 1
		require.Equal(t, events, read+folded) // the snapshot is one read more, as is this
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
	bubble(t, "over a room's end", func(t *testing.T) {
		e := start(t)
		var last uint64
		for range 5 {
			s := subscribe(t, e, "r")
			ev := waiting(t, s)
			require.GreaterOrEqual(t, ev.Version, last)
			must(t, e.Join("r"))
			next := waiting(t, s)
			require.Equal(t, ev.Version+1, next.Version)
			last = next.Version
			must(t, e.Leave("r"))
			s.Unsubscribe()
			time.Sleep(3 * interval)
			require.Zero(t, e.Stats().Rooms)
		}
	})
	bubble(t, "from one subscription to the next", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("r"))
		s := subscribe(t, e, "r")
		was := waiting(t, s)
		s.Unsubscribe()
		for range 10 {
			time.Sleep(interval)
			must(t, e.Join("other"), e.Join("r"))
		}
		ev := waiting(t, subscribe(t, e, "r"))
		require.Greater(t, ev.Version, was.Version)
		require.Equal(t, occ(11, 0), ev.Occupancy)
	})
}

// Connections only grow and members follow them, from many goroutines at once:
// whoever is told less than before was told in the wrong order.
func TestPromise3_EventsAreNeverReordered(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond} {
		bubble(t, "interval "+d.String(), func(t *testing.T) {
			e := start(t, occupancy.WithInterval(d))
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
						t.Errorf("the last word was %+v", last)
					}
				})
			}
			for i := range workers {
				writers.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 7))
					for range each {
						if e.Join("r") != nil || e.Enter("r") != nil {
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

// The last of many hooks comes at any moment of what the publisher does: also just
// after it looked at the room and before it lets go of it.
func TestPromise3_NoMomentIsBadForTheLastHook(t *testing.T) {
	bubble(t, "by subscription and watcher", func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		s, w, v := subscribe(t, e, "r"), watch(t, e), byHandle(e, "r")
		node := e.Remote("node")
		r := rand.New(rand.NewPCG(1, 16))
		var told, heard occupancy.Occupancy
		var spun atomic.Int64
		for n := range 10_000 {
			for range 1 + r.IntN(4) {
				if v.join() != nil {
					t.Fatal("refused")
				}
				for range r.IntN(2000) { // about as long as the publisher takes
					spun.Add(1)
				}
			}
			if n%4 == 0 {
				must(t, node.Set("r", occ(r.IntN(9), 0)))
			}
			synctest.Wait()
			for range len(s.Events()) {
				told = (<-s.Events()).Occupancy
			}
			if rooms, events := news(t, w); events > 0 {
				heard = rooms["r"]
			}
			if now := e.Current("r"); told != now || heard != now {
				require.Fail(t, "missed", "%d: subscriber %+v, watcher %+v, not %+v", n, told, heard, now)
			}
		}
	})
}

func TestPromise3_AnEventSaysTheNewValue(t *testing.T) {
	bubble(t, "as JSON", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		text := func() string {
			b, err := json.Marshal(waiting(t, s))
			must(t, err)
			return string(b)
		}
		require.Equal(t, `{"type":"occupancy.updated","occupancy":{"connections":0,"presenceMembers":0}}`, text())
		must(t, e.Remote("node").Set("r", occ(103, 95)))
		require.Equal(t, `{"type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}}`, text())
	})
}
