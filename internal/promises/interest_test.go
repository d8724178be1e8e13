package promises_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// linkInterest links the engine WithInterest and watches this process's own counts.
func linkInterest(t testing.TB, e *occupancy.Engine) (*occupancy.Link, *occupancy.Watcher) {
	t.Helper()
	l, err := e.Link(nil, occupancy.WithInterest())
	must(t, err)
	w, err := l.Watch()
	must(t, err)
	return l, w
}

func TestInterest_NextReturnsRoomThatGainsOrLosesIt(t *testing.T) {
	bubble(t, "by a subscription", func(t *testing.T) {
		e := newEngine(t)
		l, w := linkInterest(t, e)
		first := subscribe(t, e, "r")
		wantRooms(t, w, byRoom{"r": {}})
		require.True(t, l.Interested("r"))
		second := subscribe(t, e, "r")
		first.Unsubscribe()
		wantRooms(t, w, byRoom{})
		require.True(t, l.Interested("r"))
		second.Unsubscribe()
		wantRooms(t, w, byRoom{"r": {}})
		require.False(t, l.Interested("r"))
		require.False(t, l.Interested("unknown"))
	})
	bubble(t, "by a watcher that selects it, which does not make it exist", func(t *testing.T) {
		e := newEngine(t)
		l, w := linkInterest(t, e)
		first := watch(t, e, occupancy.Rooms("a", "b"))
		wantRooms(t, w, byRoom{"a": {}, "b": {}})
		second := watch(t, e, occupancy.Rooms("b"))
		first.Remove("b", "other")
		wantRooms(t, w, byRoom{})
		require.True(t, l.Interested("b"))
		must(t, second.Close())
		wantRooms(t, w, byRoom{"b": {}})
		require.False(t, l.Interested("b"))
		must(t, first.Add("a", "c"))
		wantRooms(t, w, byRoom{"c": {}})
		first.Remove("a")
		wantRooms(t, w, byRoom{"a": {}})
		require.False(t, l.Interested("a"))
		require.True(t, l.Interested("c"))
		wantRoomCount(t, e, 0)
	})
	bubble(t, "with this process's counts", func(t *testing.T) {
		e := newEngine(t)
		l, w := linkInterest(t, e)
		must(t, e.Join("r"), l.Remote("node").Set(part("r", occ(2, 2)), part("remote", occ(3, 3))))
		wantRooms(t, w, byRoom{"r": occ(1, 0)})
		require.False(t, l.Interested("r"))
		s, other := subscribe(t, e, "r"), subscribe(t, e, "remote")
		wantRooms(t, w, byRoom{"r": occ(1, 0), "remote": {}})
		s.Unsubscribe()
		must(t, e.Join("r"))
		time.Sleep(interval)
		wantRooms(t, w, byRoom{"r": occ(2, 0)})
		require.False(t, l.Interested("r"))
		require.True(t, l.Interested("remote"))
		other.Unsubscribe()
		wantRooms(t, w, byRoom{"remote": {}})
	})
	bubble(t, "to a Next that waits", func(t *testing.T) {
		e := newEngine(t)
		_, w := linkInterest(t, e)
		var s *occupancy.Subscription
		var selects *occupancy.Watcher
		must(t, e.Join("r")) // so that the end of the subscription does not empty the room
		time.Sleep(2 * interval)
		wantRooms(t, w, byRoom{"r": occ(1, 0)})
		for _, change := range []func(){
			func() { s = subscribe(t, e, "r") },
			func() { s.Unsubscribe() },
			func() { selects = watch(t, e, occupancy.Rooms("r")) },
			func() { selects.Remove("r") },
			func() { must(t, selects.Add("r")) },
			func() { must(t, selects.Close()) },
		} {
			wantRooms(t, w, byRoom{})
			batches := make(chan []occupancy.RoomEvent, 1)
			go func() { batch, _ := w.Next(context.Background()); batches <- batch }()
			synctest.Wait()
			change()
			require.Equal(t, "r", (<-batches)[0].Room)
		}
	})
}

func TestInterest_OfRoomsBeforeWatch(t *testing.T) {
	bubble(t, "is in the first batches", func(t *testing.T) {
		e := newEngine(t)
		l, err := e.Link(nil, occupancy.WithInterest())
		must(t, err)
		must(t, e.Join("occupied"), e.Join("both"), l.Remote("node").Set(part("remote", occ(3, 3)), part("subscribed", occ(1, 0))))
		subscribe(t, e, "both")
		subscribe(t, e, "subscribed")
		subscribe(t, e, "empty")
		watch(t, e, occupancy.Rooms("selected", "both"))
		subscribe(t, e, "ended").Unsubscribe()
		time.Sleep(2 * interval)
		for range 2 {
			w, err := l.Watch()
			must(t, err)
			require.False(t, w.CaughtUp())
			wantRooms(t, w, byRoom{"occupied": occ(1, 0), "both": occ(1, 0), "subscribed": {}, "empty": {}, "selected": {}})
			require.True(t, w.CaughtUp())
		}
	})
	bubble(t, "in batches of at most 4096", func(t *testing.T) {
		e := newEngine(t)
		l, err := e.Link(nil, occupancy.WithInterest())
		must(t, err)
		want := byRoom{}
		selects := watch(t, e, occupancy.Rooms())
		for i := range 9_000 {
			must(t, selects.Add("selected "+room(i)))
			subscribe(t, e, room(i))
			want[room(i)], want["selected "+room(i)] = occ(0, 0), occ(0, 0)
		}
		w, err := l.Watch()
		must(t, err)
		wantRooms(t, w, want)
		must(t, selects.Close(), w.Close())
	})
}

func TestInterest_WithoutOptionHasNoEvents(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		e := newEngine(t)
		subscribe(t, e, "before")
		watch(t, e, occupancy.Rooms("selected"))
		w := watchLocal(t, e)
		require.True(t, w.CaughtUp())
		s := subscribe(t, e, "r")
		wantRooms(t, w, byRoom{})
		require.True(t, linked(t, e).Interested("r"))
		s.Unsubscribe()
		wantRooms(t, w, byRoom{})
		require.False(t, linked(t, e).Interested("r"))
		require.True(t, linked(t, e).Interested("selected"))
	})
}

// A program that calls Interested for each event knows the interest and the counts of each room
// once nothing changes any more.
func TestInterest_LastAnswerIsRight(t *testing.T) {
	const rounds, goroutines, steps, rooms = 300, 4, 12, 3
	bubble(t, "after changes from several goroutines", func(t *testing.T) {
		e := newEngine(t)
		l, w := linkInterest(t, e)
		var mu sync.Mutex
		interested, view, versions := map[string]bool{}, byRoom{}, map[string]uint64{}
		go func() {
			for {
				batch, err := w.Next(context.Background())
				if err != nil {
					return
				}
				for _, ev := range batch {
					if ev.Version < versions[ev.Room] {
						t.Errorf("version %d of %s after %d", ev.Version, ev.Room, versions[ev.Room])
					}
					versions[ev.Room] = ev.Version
					is := l.Interested(ev.Room)
					mu.Lock()
					interested[ev.Room], view[ev.Room] = is, ev.Occupancy
					mu.Unlock()
				}
			}
		}()
		subs, selects := make([]*occupancy.Subscription, goroutines), make([]*occupancy.Watcher, goroutines)
		for g := range selects {
			selects[g] = watch(t, e, occupancy.Rooms())
		}
		for round := range rounds {
			var wg sync.WaitGroup
			for g := range goroutines {
				r := rand.New(rand.NewPCG(uint64(round), uint64(g)))
				wg.Go(func() {
					for range steps {
						name := room(r.IntN(rooms))
						switch r.IntN(5) {
						case 0:
							subs[g].Unsubscribe()
							subs[g] = nil
						case 1:
							if subs[g] == nil {
								subs[g], _ = e.Subscribe(name)
							}
						case 2:
							_ = selects[g].Add(name)
						case 3:
							selects[g].Remove(name)
						case 4:
							_ = e.Join(name)
							_ = e.Leave(name)
						}
					}
				})
			}
			wg.Wait()
			time.Sleep(2 * interval)
			synctest.Wait()
			for i := range rooms {
				require.Equal(t, l.Interested(room(i)), interested[room(i)], "the interest in %s after round %d", room(i), round)
				require.Equal(t, occ(0, 0), view[room(i)])
			}
		}
		must(t, w.Close())
	})
}
