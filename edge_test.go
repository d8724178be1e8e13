package occupancy_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestPromise4_FirstChangeAfterQuietIsToldAtOnce(t *testing.T) {
	bubble(t, "by every hook", func(t *testing.T) {
		e := start(t)
		r := e.Room("r")
		s := subscribe(t, e, "r")
		waiting(t, s)
		node := e.Remote("node")
		var conn *occupancy.Conn
		steps := []struct {
			do   func() error
			want occupancy.Occupancy
		}{
			{func() error { return e.Join("r") }, occ(1, 0)},
			{func() error { return e.Enter("r") }, occ(1, 1)},
			{func() error { return e.Exit("r") }, occ(1, 0)},
			{func() error { return e.Leave("r") }, occ(0, 0)},
			{r.Enter, occ(0, 1)},
			{r.Join, occ(1, 1)},
			{r.Exit, occ(1, 0)},
			{r.Leave, occ(0, 0)},
			{func() (err error) { conn, err = e.Connect("r"); return }, occ(1, 0)},
			{func() error { return conn.Enter("a") }, occ(1, 1)},
			{func() error { return conn.Enter("b") }, occ(1, 2)},
			{func() error { return conn.Exit("a") }, occ(1, 1)},
			{func() error { return conn.Close() }, occ(0, 0)},
			{func() error { return node.Set("r", occ(2, 1)) }, occ(2, 1)},
			{func() error { return node.Set("r", occ(1, 1)) }, occ(1, 1)},
			{func() error { node.Close(); return nil }, occ(0, 0)},
		}
		begin := time.Now()
		for i, step := range steps {
			must(t, step.do())
			require.Equal(t, step.want, waiting(t, s).Occupancy, i)
			require.Equal(t, time.Duration(i)*interval, time.Since(begin)) // no time passed
			time.Sleep(interval)
			silent(t, s)
		}
	})
	bubble(t, "in a room joined before anyone subscribed", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("r"))
		synctest.Wait()
		time.Sleep(interval / 10) // nobody was told of it
		s := subscribe(t, e, "r")
		require.Equal(t, occ(1, 0), waiting(t, s).Occupancy)
		must(t, e.Join("r"))
		require.Equal(t, occ(2, 0), waiting(t, s).Occupancy)
		must(t, e.Join("r"))
		silent(t, s)
		time.Sleep(interval*9/10 + 1) // when the first Join's would have ended
		silent(t, s)
		time.Sleep(interval / 10)
		require.Equal(t, occ(3, 0), waiting(t, s).Occupancy)
	})
	bubble(t, "in a room that changed when nobody listened any more", func(t *testing.T) {
		e := start(t)
		subscribe(t, e, "r").Unsubscribe()
		must(t, e.Join("r"))
		synctest.Wait()
		time.Sleep(interval / 10)
		s := subscribe(t, e, "r")
		require.Equal(t, occ(1, 0), waiting(t, s).Occupancy)
		must(t, e.Join("r"))
		require.Equal(t, occ(2, 0), waiting(t, s).Occupancy)
	})
	bubble(t, "whatever happens in other rooms", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		waiting(t, s)
		for i := range 50 {
			other := fmt.Sprint(i)
			subscribe(t, e, other)
			must(t, e.Join(other), e.Join(other))
			time.Sleep(time.Millisecond)
		}
		must(t, e.Join("r"))
		require.Equal(t, occ(1, 0), waiting(t, s).Occupancy)
	})
	bubble(t, "after quiet of any length", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		waiting(t, s)
		for i, d := range []time.Duration{interval, interval + 1, 2*interval - 1, 3 * interval, 24 * time.Hour} {
			must(t, e.Join("r"))
			require.Equal(t, occ(i+1, 0), waiting(t, s).Occupancy, d)
			time.Sleep(d)
			silent(t, s)
		}
	})
	bubble(t, "after a change that was undone, too", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		waiting(t, s)
		must(t, e.Join("r"))
		waiting(t, s)
		must(t, e.Join("r"), e.Leave("r"))
		time.Sleep(interval)
		silent(t, s)
		must(t, e.Join("r"))
		require.Equal(t, occ(2, 0), waiting(t, s).Occupancy)
	})
}

func TestPromise4_AnUndoneChangeTellsNothing(t *testing.T) {
	bubble(t, "within the interval", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		waiting(t, s)
		w := e.Watch()
		defer w.Close()
		must(t, e.Join("r"))
		told := waiting(t, s)
		news(t, w)
		published := e.Stats().Published
		for range 10 {
			must(t, e.Join("r"), e.Enter("r"))
			time.Sleep(interval / 25)
			must(t, e.Exit("r"), e.Leave("r"))
			time.Sleep(interval / 25)
		}
		time.Sleep(interval)
		silent(t, s)
		rooms, _ := news(t, w)
		require.Empty(t, rooms)
		require.Equal(t, published, e.Stats().Published)
		must(t, e.Join("r"))
		require.Equal(t, told.Version+1, waiting(t, s).Version)
	})
	bubble(t, "by another node", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		waiting(t, s)
		must(t, e.Join("r"), e.Enter("r"))
		require.Equal(t, occ(1, 1), waiting(t, s).Occupancy)
		// The connection moves there and back.
		node := e.Remote("node")
		must(t, node.Set("r", occ(1, 1)), e.Leave("r"), e.Exit("r"))
		time.Sleep(interval)
		silent(t, s)
		must(t, e.Join("r"), e.Enter("r"), node.Set("r", occ(0, 0)))
		time.Sleep(interval)
		silent(t, s)
	})
}

// A busy room's events are those of a model, to the nanosecond: at once after
// quiet, at the end of the interval otherwise, and nothing where nothing changed.
func TestPromise4_ABusyRoomIsToldOnceAnInterval(t *testing.T) {
	for seed := range uint64(6) {
		d := []time.Duration{interval, time.Second, 7 * time.Millisecond}[seed%3]
		bubble(t, fmt.Sprintf("seed %d, interval %v", seed, d), func(t *testing.T) {
			e := start(t, occupancy.WithInterval(d))
			const rooms = 8
			type room struct {
				name  string
				now   occupancy.Occupancy
				until time.Duration
				want  []told
				got   <-chan []told
			}
			var all []*room
			for i := range rooms {
				r := &room{name: fmt.Sprint("room", i), want: []told{{}}}
				r.got = record(subscribe(t, e, r.name))
				all = append(all, r)
			}
			synctest.Wait()
			begin := time.Now()
			rnd := rand.New(rand.NewPCG(seed, 8))
			// tellBefore is what the model says before the moment: the ends of intervals.
			tellBefore := func(moment time.Duration) {
				for _, r := range all {
					if last := r.want[len(r.want)-1]; r.until < moment && r.now != last.Occupancy {
						r.want = append(r.want, told{r.until, occupancy.Event{Occupancy: r.now}})
						r.until += d
					}
				}
			}
			for range 3000 {
				// Mostly busy, at times quiet, never at the same moment as an end.
				pause := time.Duration(rnd.Int64N(int64(d)/10) + 1)
				if rnd.IntN(100) == 0 {
					pause += time.Duration(rnd.Int64N(int64(3 * d)))
				}
				time.Sleep(pause)
				moment := time.Since(begin)
				tellBefore(moment)

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
					r.want = append(r.want, told{moment, occupancy.Event{Occupancy: r.now}})
					r.until = moment + d
				}
				synctest.Wait()
			}
			time.Sleep(2 * d)
			tellBefore(time.Since(begin))
			must(t, e.Close())
			for _, r := range all {
				got := <-r.got
				for i, ev := range got {
					require.Less(t, i, len(r.want), "%s is told too much: %+v", r.name, ev)
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

// Changes at the same moment as the end of an interval, and subscribers that come
// in between, do not make a room be told more often.
func TestPromise4_NoTwoEventsAreCloserThanAnInterval(t *testing.T) {
	bubble(t, "with subscribers coming and going", func(t *testing.T) {
		e := start(t)
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
				e.Watch().Close()
			case 4:
				time.Sleep(time.Duration(r.IntN(4)) * interval / 4)
			case 5:
				time.Sleep(time.Duration(r.IntN(5)) * interval)
			}
		}
		must(t, e.Close())
		all := <-got
		for i := 2; i < len(all)-1; i++ { // but the snapshot and what Close tells
			require.GreaterOrEqual(t, all[i].at-all[i-1].at, interval, "%+v", all[i])
		}
		require.Greater(t, len(all), 500)
	})
}
