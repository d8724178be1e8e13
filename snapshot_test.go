package occupancy_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestPromise2_SubscribeStartsWithASnapshot(t *testing.T) {
	// No synctest.Wait before the read: the event waits when Subscribe returns.
	snapshot := func(t *testing.T, s *occupancy.Subscription) occupancy.Event {
		t.Helper()
		select {
		case ev := <-s.Events():
			require.Equal(t, occupancy.EventUpdated, ev.Type)
			return ev
		default:
			require.Fail(t, "no snapshot waits")
			panic("unreachable")
		}
	}
	bubble(t, "of a room that is not", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		ev := snapshot(t, s)
		require.Equal(t, occ(0, 0), ev.Occupancy)
		require.Equal(t, "r", ev.Room)
		silent(t, s)
		time.Sleep(3 * interval)
		silent(t, s)
	})
	bubble(t, "of a quiet room", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("r"), e.Join("r"), e.Enter("r"))
		time.Sleep(3 * interval)
		s := subscribe(t, e, "r")
		require.Equal(t, occ(2, 1), snapshot(t, s).Occupancy)
		time.Sleep(3 * interval)
		silent(t, s)
	})
	bubble(t, "of a room that changed this moment", func(t *testing.T) {
		e := start(t)
		first := subscribe(t, e, "r")
		require.Equal(t, occ(0, 0), snapshot(t, first).Occupancy)
		must(t, e.Join("r"))
		second := subscribe(t, e, "r")
		require.Equal(t, occ(1, 0), snapshot(t, second).Occupancy)
		require.Equal(t, occ(1, 0), waiting(t, first).Occupancy)
		time.Sleep(3 * interval)
		silent(t, first)
		silent(t, second)
	})
	bubble(t, "by a handle", func(t *testing.T) {
		e := start(t)
		r := e.Room("r")
		must(t, r.Join(), r.Enter())
		s, err := r.Subscribe()
		must(t, err)
		require.Equal(t, occ(1, 1), snapshot(t, s).Occupancy)
	})
	bubble(t, "of a room with another node's part", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("r"), e.Remote("node").Set("r", occ(5, 4)))
		require.Equal(t, occ(6, 4), snapshot(t, subscribe(t, e, "r")).Occupancy)
	})
	bubble(t, "of a room that emptied this moment", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("r"))
		time.Sleep(3 * interval)
		must(t, e.Leave("r"))
		s := subscribe(t, e, "r")
		require.Equal(t, occ(0, 0), snapshot(t, s).Occupancy)
		must(t, e.Join("r"))
		require.Equal(t, occ(1, 0), waiting(t, s).Occupancy)
	})
}

func TestPromise2_SubscribeSeesAChangeThatIsHeld(t *testing.T) {
	// held makes a room where first was told 1 just now and a second connection is
	// held until the end of the interval.
	held := func(t *testing.T) (*occupancy.Engine, *occupancy.Subscription, occupancy.Event) {
		e := start(t)
		first := subscribe(t, e, "r")
		waiting(t, first)
		must(t, e.Join("r"))
		ev := waiting(t, first)
		require.Equal(t, occ(1, 0), ev.Occupancy)
		time.Sleep(interval / 4)
		must(t, e.Join("r"))
		silent(t, first)
		return e, first, ev
	}
	bubble(t, "and tells it to the others in time", func(t *testing.T) {
		e, first, before := held(t)
		second := subscribe(t, e, "r")
		snapshot := waiting(t, second)
		require.Equal(t, occ(2, 0), snapshot.Occupancy)
		silent(t, first) // not early
		time.Sleep(interval*3/4 - 1)
		silent(t, first)
		time.Sleep(time.Nanosecond)
		ev := waiting(t, first)
		require.Equal(t, snapshot, ev)
		require.Equal(t, before.Version+1, ev.Version)
		silent(t, second)
		time.Sleep(3 * interval)
		silent(t, first)
		silent(t, second)
	})
	bubble(t, "and hears when it is undone, while others hear nothing", func(t *testing.T) {
		e, first, before := held(t)
		second := subscribe(t, e, "r")
		snapshot := waiting(t, second)
		require.Equal(t, occ(2, 0), snapshot.Occupancy)
		require.Equal(t, before.Version+1, snapshot.Version)
		must(t, e.Leave("r"))
		third := subscribe(t, e, "r")
		require.Equal(t, occ(1, 0), waiting(t, third).Occupancy)
		silent(t, second)
		time.Sleep(interval * 3 / 4)
		ev := waiting(t, second)
		require.Equal(t, occ(1, 0), ev.Occupancy)
		require.Equal(t, snapshot.Version+1, ev.Version)
		silent(t, first)
		silent(t, third)
		time.Sleep(3 * interval)
		silent(t, first)
		silent(t, second)
		silent(t, third)

		must(t, e.Join("r"))
		for _, s := range []*occupancy.Subscription{first, second, third} {
			ev := waiting(t, s)
			require.Equal(t, occ(2, 0), ev.Occupancy)
			require.Equal(t, snapshot.Version+2, ev.Version)
		}
	})
	bubble(t, "and its snapshot is replaced by the last word, not kept", func(t *testing.T) {
		e, _, _ := held(t)
		second := subscribe(t, e, "r") // never read until the end
		must(t, e.Leave("r"))
		time.Sleep(interval)
		require.Equal(t, occ(1, 0), waiting(t, second).Occupancy)
		silent(t, second)
	})
	bubble(t, "and a subscriber who left meanwhile leaves no trace", func(t *testing.T) {
		e, first, _ := held(t)
		second := subscribe(t, e, "r")
		second.Unsubscribe()
		must(t, e.Leave("r"))
		time.Sleep(2 * interval)
		silent(t, first)
	})
}

// Hooks go on while subscribers come: each must see an unbroken way from its
// snapshot to the end.
func TestPromise2_NothingAfterTheSnapshotIsMissed(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, interval} {
		bubble(t, "interval "+d.String(), func(t *testing.T) {
			e := start(t, occupancy.WithInterval(d))
			const rooms = 3
			name := func(i int) string { return string(rune('a' + i)) }
			var hooks, subs sync.WaitGroup
			for i := range 4 {
				hooks.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 4))
					for range 2000 {
						room := name(r.IntN(rooms))
						if e.Join(room) != nil || r.IntN(2) == 0 && e.Leave(room) != nil {
							t.Error("refused")
						}
						if r.IntN(10) == 0 {
							time.Sleep(time.Duration(r.IntN(3000)) * time.Microsecond)
						}
					}
				})
			}
			for i := range 60 {
				subs.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 5))
					time.Sleep(time.Duration(r.IntN(100_000)) * time.Microsecond)
					room := name(i % rooms)
					s, err := e.Subscribe(room)
					if err != nil {
						t.Errorf("Subscribe: %v", err)
						return
					}
					var last occupancy.Event
					events := 0
					timeout := time.After(10 * time.Second) // long after the last hook
					for done := false; !done; {
						select {
						case ev := <-s.Events():
							if events++; ev.Version <= last.Version && events > 1 || ev.Room != room {
								t.Errorf("%+v after %+v", ev, last)
							}
							last = ev
						case <-timeout:
							done = true
						}
					}
					if now := e.Current(room); events == 0 || last.Occupancy != now {
						t.Errorf("%d events, the last %+v; the room has %+v", events, last, now)
					}
					s.Unsubscribe()
				})
			}
			hooks.Wait()
			subs.Wait()
			synctest.Wait()
			require.Zero(t, e.Stats().Subscriptions)
		})
	}
}

// One Join and one Subscribe at the same moment: either the snapshot has it, or an
// event does.
func TestPromise2_SubscribeAndAHookAtTheSameMoment(t *testing.T) {
	bubble(t, "10000 times", func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		for range 10_000 {
			gate := make(chan struct{})
			var s *occupancy.Subscription
			var wg sync.WaitGroup
			wg.Go(func() { <-gate; _ = e.Join("r") })
			wg.Go(func() { <-gate; s, _ = e.Subscribe("r") })
			close(gate)
			wg.Wait()
			require.NotNil(t, s)
			synctest.Wait()
			var last occupancy.Event
			for range len(s.Events()) {
				last = <-s.Events()
			}
			if last.Occupancy != occ(1, 0) {
				require.Fail(t, "missed", "%+v", last)
			}
			s.Unsubscribe()
			must(t, e.Leave("r"))
		}
	})
}
