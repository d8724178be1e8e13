package promises_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestSnapshot_AvailableWhenSubscribeReturns(t *testing.T) {
	bubble(t, "unknown room", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		ev := receiveNow(t, s)
		require.Equal(t, occ(0, 0), ev.Occupancy)
		require.Equal(t, "r", s.Room())
		noEvent(t, s)
		time.Sleep(3 * interval)
		noEvent(t, s)
	})
	bubble(t, "quiet room", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("r"), e.Join("r"), e.Enter("r", "c"))
		time.Sleep(3 * interval)
		s := subscribe(t, e, "r")
		require.Equal(t, occ(2, 1), receiveNow(t, s).Occupancy)
		time.Sleep(3 * interval)
		noEvent(t, s)
	})
	bubble(t, "room that has just changed", func(t *testing.T) {
		e := newEngine(t)
		first := subscribe(t, e, "r")
		require.Equal(t, occ(0, 0), receiveNow(t, first).Occupancy)
		must(t, e.Join("r"))
		second := subscribe(t, e, "r")
		require.Equal(t, occ(1, 0), receiveNow(t, second).Occupancy)
		require.Equal(t, occ(1, 0), receive(t, first).Occupancy)
		time.Sleep(3 * interval)
		noEvent(t, first)
		noEvent(t, second)
	})
	bubble(t, "Subscribe by handle", func(t *testing.T) {
		e := newEngine(t)
		r := e.Room("r")
		must(t, r.Join(), r.Enter("c"))
		s, err := r.Subscribe()
		must(t, err)
		require.Equal(t, "r", s.Room())
		require.Equal(t, occ(1, 1), receiveNow(t, s).Occupancy)
	})
	bubble(t, "room with a remote part", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("r"), remote(t, e, "node").Set(part("r", occ(5, 4))))
		require.Equal(t, occ(6, 4), receiveNow(t, subscribe(t, e, "r")).Occupancy)
	})
	bubble(t, "room that has just emptied", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("r"))
		time.Sleep(3 * interval)
		must(t, e.Leave("r"))
		s := subscribe(t, e, "r")
		require.Equal(t, occ(0, 0), receiveNow(t, s).Occupancy)
		must(t, e.Join("r"))
		require.Equal(t, occ(1, 0), receive(t, s).Occupancy)
	})
}

func TestSnapshot_IncludesPendingChange(t *testing.T) {
	// pending returns an engine whose room r has two connections. The first subscriber
	// has received the first one; the event of the second is due at the end of the interval.
	pending := func(t *testing.T) (*occupancy.Engine, *occupancy.Subscription, occupancy.Event) {
		e := newEngine(t)
		first := subscribe(t, e, "r")
		receive(t, first)
		must(t, e.Join("r"))
		ev := receive(t, first)
		require.Equal(t, occ(1, 0), ev.Occupancy)
		time.Sleep(interval / 4)
		must(t, e.Join("r"))
		noEvent(t, first)
		return e, first, ev
	}
	bubble(t, "other subscribers receive it at the end of the interval", func(t *testing.T) {
		e, first, before := pending(t)
		second := subscribe(t, e, "r")
		snapshot := receive(t, second)
		require.Equal(t, occ(2, 0), snapshot.Occupancy)
		noEvent(t, first) // not before the end of the interval
		time.Sleep(interval*3/4 - 1)
		noEvent(t, first)
		time.Sleep(time.Nanosecond)
		ev := receive(t, first)
		require.Equal(t, snapshot, ev)
		require.Equal(t, before.Version+1, ev.Version)
		noEvent(t, second)
		time.Sleep(3 * interval)
		noEvent(t, first)
		noEvent(t, second)
	})
	bubble(t, "only the new subscriber is notified when it is undone", func(t *testing.T) {
		e, first, before := pending(t)
		second := subscribe(t, e, "r")
		snapshot := receive(t, second)
		require.Equal(t, occ(2, 0), snapshot.Occupancy)
		require.Equal(t, before.Version+1, snapshot.Version)
		must(t, e.Leave("r"))
		third := subscribe(t, e, "r")
		require.Equal(t, occ(1, 0), receive(t, third).Occupancy)
		noEvent(t, second)
		time.Sleep(interval * 3 / 4)
		ev := receive(t, second)
		require.Equal(t, occ(1, 0), ev.Occupancy)
		require.Equal(t, snapshot.Version+1, ev.Version)
		noEvent(t, first)
		noEvent(t, third)
		time.Sleep(3 * interval)
		noEvent(t, first)
		noEvent(t, second)
		noEvent(t, third)

		must(t, e.Join("r"))
		for _, s := range []*occupancy.Subscription{first, second, third} {
			ev := receive(t, s)
			require.Equal(t, occ(2, 0), ev.Occupancy)
			require.Equal(t, snapshot.Version+2, ev.Version)
		}
	})
	bubble(t, "an unread snapshot is replaced by the last value", func(t *testing.T) {
		e, _, _ := pending(t)
		second := subscribe(t, e, "r") // not read until the end
		must(t, e.Leave("r"))
		time.Sleep(interval)
		require.Equal(t, occ(1, 0), receive(t, second).Occupancy)
		noEvent(t, second)
	})
	bubble(t, "no event after the new subscriber has left", func(t *testing.T) {
		e, first, _ := pending(t)
		second := subscribe(t, e, "r")
		second.Unsubscribe()
		must(t, e.Leave("r"))
		time.Sleep(2 * interval)
		noEvent(t, first)
	})
}

// Subscribers come while hooks are called. Each must receive increasing versions from its
// snapshot to the last value.
func TestSnapshot_NoLaterChangeIsMissed(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, interval} {
		bubble(t, "interval "+d.String(), func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(d))
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
							if events++; ev.Version <= last.Version && events > 1 {
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

// A Join concurrent with a Subscribe is part of the snapshot or of a later event.
func TestSnapshot_ConcurrentJoinIsNotMissed(t *testing.T) {
	bubble(t, "10000 times", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
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
				require.Fail(t, "the Join was missed", "%+v", last)
			}
			s.Unsubscribe()
			must(t, e.Leave("r"))
		}
	})
}
