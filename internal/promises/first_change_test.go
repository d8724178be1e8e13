package promises_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestFirstChange_AfterQuietIntervalIsPublishedImmediately(t *testing.T) {
	bubble(t, "every hook", func(t *testing.T) {
		e := newEngine(t)
		r := e.Room("r")
		s := subscribe(t, e, "r")
		receive(t, s)
		node := remote(t, e, "node")
		var lease *occupancy.Lease
		steps := []struct {
			do   func() error
			want occupancy.Occupancy
		}{
			{func() error { return e.Join("r") }, occ(1, 0)},
			{func() error { return e.Enter("r", "c") }, occ(1, 1)},
			{func() error { return e.Exit("r", "c") }, occ(1, 0)},
			{func() error { return e.Leave("r") }, occ(0, 0)},
			{func() error { return r.Enter("c") }, occ(0, 1)},
			{r.Join, occ(1, 1)},
			{func() error { return r.Exit("c") }, occ(1, 0)},
			{r.Leave, occ(0, 0)},
			{func() (err error) { lease, err = e.Connect("r"); return }, occ(1, 0)},
			{func() error { return lease.Enter("a") }, occ(1, 1)},
			{func() error { return lease.Enter("b") }, occ(1, 2)},
			{func() error { return lease.Exit("a") }, occ(1, 1)},
			{func() error { return lease.Close() }, occ(0, 0)},
			{func() error { return node.Set(part("r", occ(2, 1))) }, occ(2, 1)},
			{func() error { return node.Set(part("r", occ(1, 1))) }, occ(1, 1)},
			{node.Close, occ(0, 0)},
		}
		begin := time.Now()
		for i, step := range steps {
			must(t, step.do())
			require.Equal(t, step.want, receive(t, s).Occupancy, i)
			require.Equal(t, time.Duration(i)*interval, time.Since(begin)) // no time passed
			time.Sleep(interval)
			noEvent(t, s)
		}
	})
	bubble(t, "room joined before the first Subscribe", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("r"))
		synctest.Wait()
		time.Sleep(interval / 10) // no event was published
		s := subscribe(t, e, "r")
		require.Equal(t, occ(1, 0), receive(t, s).Occupancy)
		must(t, e.Join("r"))
		require.Equal(t, occ(2, 0), receive(t, s).Occupancy)
		must(t, e.Join("r"))
		noEvent(t, s)
		time.Sleep(interval*9/10 + 1) // until an interval after the first Join
		noEvent(t, s)
		time.Sleep(interval / 10)
		require.Equal(t, occ(3, 0), receive(t, s).Occupancy)
	})
	bubble(t, "room that changed after the last Unsubscribe", func(t *testing.T) {
		e := newEngine(t)
		subscribe(t, e, "r").Unsubscribe()
		must(t, e.Join("r"))
		synctest.Wait()
		time.Sleep(interval / 10)
		s := subscribe(t, e, "r")
		require.Equal(t, occ(1, 0), receive(t, s).Occupancy)
		must(t, e.Join("r"))
		require.Equal(t, occ(2, 0), receive(t, s).Occupancy)
	})
	bubble(t, "while other rooms are busy", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		receive(t, s)
		for i := range 50 {
			other := fmt.Sprint(i)
			subscribe(t, e, other)
			must(t, e.Join(other), e.Join(other))
			time.Sleep(time.Millisecond)
		}
		must(t, e.Join("r"))
		require.Equal(t, occ(1, 0), receive(t, s).Occupancy)
	})
	bubble(t, "quiet times of different lengths", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		receive(t, s)
		for i, d := range []time.Duration{interval, interval + 1, 2*interval - 1, 3 * interval, 24 * time.Hour} {
			must(t, e.Join("r"))
			require.Equal(t, occ(i+1, 0), receive(t, s).Occupancy, d)
			time.Sleep(d)
			noEvent(t, s)
		}
	})
	bubble(t, "in a room whose subscription has just ended, for a watcher", func(t *testing.T) {
		e := newEngine(t)
		subscribe(t, e, "r").Unsubscribe()
		synctest.Wait()
		w, selected := watch(t, e), watchRooms(t, e, "r")
		wantRooms(t, w, byRoom{})
		wantRooms(t, selected, byRoom{"r": {}})
		must(t, e.Join("r"))
		wantRooms(t, w, byRoom{"r": occ(1, 0)})
		wantRooms(t, selected, byRoom{"r": occ(1, 0)})
	})
	bubble(t, "in a room whose subscription ends, for a watcher that has waited", func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		s := subscribe(t, e, "r")
		synctest.Wait()
		s.Unsubscribe()
		synctest.Wait()
		must(t, e.Join("r"))
		wantRooms(t, w, byRoom{"r": occ(1, 0)})
	})
	bubble(t, "after a change that was undone", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		receive(t, s)
		must(t, e.Join("r"))
		receive(t, s)
		must(t, e.Join("r"), e.Leave("r"))
		time.Sleep(interval)
		noEvent(t, s)
		must(t, e.Join("r"))
		require.Equal(t, occ(2, 0), receive(t, s).Occupancy)
	})
}

func TestFirstChange_UndoneChangeIsNotPublished(t *testing.T) {
	bubble(t, "within the interval", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		receive(t, s)
		w := watch(t, e)
		must(t, e.Join("r"))
		last := receive(t, s)
		readAll(t, w)
		published := e.Stats().Published
		for range 10 {
			must(t, e.Join("r"), e.Enter("r", "c"))
			time.Sleep(interval / 25)
			must(t, e.Exit("r", "c"), e.Leave("r"))
			time.Sleep(interval / 25)
		}
		time.Sleep(interval)
		noEvent(t, s)
		rooms, _ := readAll(t, w)
		require.Empty(t, rooms)
		require.Equal(t, published, e.Stats().Published)
		must(t, e.Join("r"))
		require.Equal(t, last.Version+1, receive(t, s).Version)
	})
	bubble(t, "connection that moves to another node and back", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		receive(t, s)
		must(t, e.Join("r"), e.Enter("r", "c"))
		require.Equal(t, occ(1, 0), receive(t, s).Occupancy) // published immediately
		time.Sleep(interval)
		require.Equal(t, occ(1, 1), receive(t, s).Occupancy) // at the end of the interval
		node := remote(t, e, "node")
		must(t, node.Set(part("r", occ(1, 1))), e.Leave("r"), e.Exit("r", "c"))
		time.Sleep(interval)
		noEvent(t, s)
		must(t, e.Join("r"))
		require.Equal(t, occ(2, 1), receive(t, s).Occupancy) // an interval begins
		must(t, e.Join("r"), e.Enter("r", "c"), node.Set(part("r", occ(0, 0))))
		time.Sleep(interval)
		noEvent(t, s)
	})
}

// The events of busy rooms equal those of a model, to the nanosecond: immediate after a
// quiet interval, otherwise at the end of the interval, and none without a change.
func TestFirstChange_BusyRoomHasOneEventPerInterval(t *testing.T) {
	for seed := range uint64(6) {
		d := []time.Duration{interval, time.Second, 7 * time.Millisecond}[seed%3]
		bubble(t, fmt.Sprintf("seed %d, interval %v", seed, d), func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(d))
			const rooms = 8
			type room struct {
				name  string
				now   occupancy.Occupancy
				until time.Duration
				want  []timedEvent
				got   <-chan []timedEvent
			}
			var all []*room
			for i := range rooms {
				r := &room{name: fmt.Sprint("room", i), want: []timedEvent{{}}}
				r.got = record(subscribe(t, e, r.name))
				all = append(all, r)
			}
			synctest.Wait()
			begin := time.Now()
			rnd := rand.New(rand.NewPCG(seed, 8))
			// publishBefore adds the events that the model expects before the moment, at
			// the ends of intervals.
			publishBefore := func(moment time.Duration) {
				for _, r := range all {
					if last := r.want[len(r.want)-1]; r.until < moment && r.now != last.Occupancy {
						r.want = append(r.want, timedEvent{r.until, occupancy.Event{Occupancy: r.now}})
						r.until += d
					}
				}
			}
			for range 3000 {
				// Mostly busy, sometimes quiet, and never exactly at the end of an interval.
				pause := time.Duration(rnd.Int64N(int64(d)/10) + 1)
				if rnd.IntN(100) == 0 {
					pause += time.Duration(rnd.Int64N(int64(3 * d)))
				}
				time.Sleep(pause)
				moment := time.Since(begin)
				publishBefore(moment)

				r := all[rnd.IntN(rooms)]
				v, was := byName(e, r.name), r.now
				switch k := rnd.IntN(4); {
				case k == 0 || r.now.Connections == 0:
					must(t, v.join())
					r.now.Connections++
				case k == 1:
					must(t, v.leave())
					r.now.Connections--
				case k == 2 || r.now.PresenceMembers == 0:
					must(t, v.enter())
					r.now.PresenceMembers++
				default:
					must(t, v.exit())
					r.now.PresenceMembers--
				}
				if r.until <= moment {
					require.NotEqual(t, was, r.now)
					r.want = append(r.want, timedEvent{moment, occupancy.Event{Occupancy: r.now}})
					r.until = moment + d
				}
				synctest.Wait()
			}
			time.Sleep(2 * d)
			publishBefore(time.Since(begin))
			must(t, e.Close())
			for _, r := range all {
				got := <-r.got
				for i, ev := range got {
					require.Less(t, i, len(r.want), "%s: unexpected event %+v", r.name, ev)
					require.Equal(t, r.want[i].at, ev.at, "%s, event %d, %+v", r.name, i, ev)
					require.Equal(t, r.want[i].Occupancy, ev.Occupancy, "%s, event %d", r.name, i)
					require.Equal(t, got[0].Version+uint64(i), ev.Version)
					if i > 1 { // the first is the snapshot
						require.GreaterOrEqual(t, ev.at-got[i-1].at, d)
					}
				}
				require.Len(t, got, len(r.want))
				require.Greater(t, len(got), 20)
			}
		})
	}
}

// Changes at the end of an interval, and subscribers and watchers that come and go, do
// not add events.
func TestFirstChange_EventsAreAtLeastAnIntervalApart(t *testing.T) {
	bubble(t, "subscribers and watchers come and go", func(t *testing.T) {
		e := newEngine(t)
		got := record(subscribe(t, e, "r"))
		r := rand.New(rand.NewPCG(1, 9))
		for range 3000 {
			must(t, e.Join("r"))
			switch r.IntN(6) {
			case 0:
				s := subscribe(t, e, "r")
				defer s.Unsubscribe()
			case 1:
				subscribe(t, e, "r").Unsubscribe()
			case 2:
				synctest.Wait()
			case 3:
				must(t, watch(t, e).Close())
			case 4:
				time.Sleep(time.Duration(r.IntN(4)) * interval / 4)
			case 5:
				time.Sleep(time.Duration(r.IntN(5)) * interval)
			}
		}
		must(t, e.Close())
		all := <-got
		for i := 2; i < len(all)-1; i++ { // except the snapshot and the event of Close
			require.GreaterOrEqual(t, all[i].at-all[i-1].at, interval, "%+v", all[i])
		}
		require.Greater(t, len(all), 500)
	})
}

// A connection that moves from one node to another does not change the total. It is not
// published, and does not delay the next event.
func TestFirstChange_PublishedImmediatelyAfterConnectionMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		node := remote(t, e, "node")
		must(t, node.Set(part("r", occ(1, 0))))
		s := subscribe(t, e, "r")
		receive(t, s)
		must(t, e.Join("r"))
		require.Equal(t, occ(2, 0), receive(t, s).Occupancy) // at 0ms
		time.Sleep(interval / 2)
		must(t, e.Join("r"), node.Set(part("r", occ(0, 0)))) // at 50ms: still 2
		time.Sleep(interval + interval/10)
		noEvent(t, s)
		must(t, e.Join("r")) // at 160ms
		require.Equal(t, occ(3, 0), receive(t, s).Occupancy)
	})
}

func TestFirstChange_SubscribeDoesNotShortenIntervalOfWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		must(t, e.Join("r"))
		_, err := w.Next(t.Context())
		must(t, err)
		begin := time.Now()
		time.Sleep(interval / 5)
		subscribe(t, e, "r")
		must(t, e.Join("r"))
		_, err = w.Next(t.Context())
		must(t, err)
		require.Equal(t, interval, time.Since(begin))
	})
}

// A room that was published to a watcher must not be published again within the interval
// because it gets its first subscriber and a client enters.
func TestFirstChange_NewSubscriberDoesNotShortenTheInterval(t *testing.T) {
	bubble(t, "watcher", func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		must(t, e.Join("r"))
		rooms, _ := readAll(t, w)
		require.Equal(t, map[string]occupancy.Occupancy{"r": occ(1, 0)}, rooms)
		time.Sleep(interval / 10)
		s := subscribe(t, e, "r")
		receive(t, s)
		lease, err := e.Connect("r")
		require.NoError(t, err)
		must(t, lease.Enter("c"))
		time.Sleep(interval / 10)
		rooms, _ = readAll(t, w)
		require.Empty(t, rooms, "within the interval")
		time.Sleep(interval)
		rooms, _ = readAll(t, w)
		require.Equal(t, map[string]occupancy.Occupancy{"r": occ(2, 1)}, rooms)
	})
}
