package promises_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestClose_DeliversTheLastValueAndClosesTheChannel(t *testing.T) {
	bubble(t, "read, unread and pending values", func(t *testing.T) {
		e := newEngine(t)
		read, unread := subscribe(t, e, "r"), subscribe(t, e, "r")
		quiet, published, shared := subscribe(t, e, "quiet"), subscribe(t, e, "published"), subscribe(t, e, "shared")
		receive(t, read)
		receive(t, quiet)
		must(t, e.Join("r"), e.Join("published"))
		require.Equal(t, occ(1, 0), receive(t, read).Occupancy)
		require.Equal(t, occ(1, 0), receive(t, published).Occupancy)
		must(t, e.Enter("r", "a"), remote(t, e, "node").Set(part("shared", occ(5, 5)))) // pending
		synctest.Wait()
		late := subscribe(t, e, "r")
		must(t, e.Enter("r", "b"))

		begin := time.Now()
		must(t, e.Close())
		require.Zero(t, time.Since(begin))
		for _, s := range []*occupancy.Subscription{read, unread, late} {
			require.Equal(t, occ(1, 2), (<-s.Events()).Occupancy)
		}
		require.Equal(t, occ(5, 5), (<-shared.Events()).Occupancy)
		for _, s := range []*occupancy.Subscription{read, unread, late, quiet, published, shared} {
			ev, open := <-s.Events()
			require.False(t, open, "%+v", ev)
		}
	})
	bubble(t, "not after Unsubscribe", func(t *testing.T) {
		e := newEngine(t)
		before, after := subscribe(t, e, "r"), subscribe(t, e, "r")
		must(t, e.Join("r"))
		before.Unsubscribe()
		must(t, e.Close())
		after.Unsubscribe()
		after.Unsubscribe()
		before.Unsubscribe()
		for _, s := range []*occupancy.Subscription{before, after} {
			ev, open := <-s.Events()
			require.False(t, open, "%+v", ev)
		}
		require.Zero(t, e.Stats().Subscriptions)
	})
}

func TestClose_LaterCallsReturnErrClosed(t *testing.T) {
	bubble(t, "and Current still works", func(t *testing.T) {
		e := newEngine(t)
		ctx := context.Background()
		lease := connect(t, e, "r")
		must(t, lease.Enter("a"))
		session := e.Session("ann")
		must(t, session.Join("session"))
		link, err := e.Link(constPeers{occ(9, 9), nil})
		must(t, err)
		local, err := link.Watch()
		must(t, err)
		node, w, unread, r := link.Remote("node"), watch(t, e), watch(t, e), e.Room("r")
		must(t, node.Set(part("r", occ(1, 1))), r.Join(), e.Join("other"))
		must(t, e.Close())

		for i, f := range map[string]func() error{
			"Join": func() error { return e.Join("r") }, "Leave": func() error { return e.Leave("r") },
			"Enter": func() error { return e.Enter("r", "c") }, "Exit": func() error { return e.Exit("r", "c") },
			"Join new": func() error { return e.Join("new") }, "Leave new": func() error { return e.Leave("new") },
			"Join bad": func() error { return e.Join("") }, "Leave bad": func() error { return e.Leave("") },
			"Room.Join": r.Join, "Room.Leave": r.Leave, "Room.Enter": func() error { return r.Enter("b") }, "Room.Exit": func() error { return r.Exit("a") },
			"Get":               func() error { _, err := e.Get(ctx, "r"); return err },
			"Room.Get":          func() error { _, err := r.Get(ctx); return err },
			"Connect":           func() error { _, err := e.Connect("r"); return err },
			"Connect new":       func() error { _, err := e.Connect("new"); return err },
			"Connect as":        func() error { _, err := e.Connect("r", occupancy.As("a")); return err },
			"Connect max":       func() error { _, err := e.Connect("r", occupancy.Max(0)); return err },
			"Session.Join":      func() error { return session.Join("session") },
			"Session.Join new":  func() error { return session.Join("new") },
			"Session.Enter":     func() error { return session.Enter("session") },
			"Session.Exit":      func() error { return session.Exit("session") },
			"Session.Leave":     func() error { return session.Leave("session") },
			"Room.Connect":      func() error { _, err := r.Connect(); return err },
			"Subscribe":         func() error { _, err := e.Subscribe("r"); return err },
			"Subscribe new":     func() error { _, err := e.Subscribe("new"); return err },
			"Room.Subscribe":    func() error { _, err := r.Subscribe(); return err },
			"Lease.Enter":       func() error { return lease.Enter("b") },
			"Lease.Enter again": func() error { return lease.Enter("a") },
			"Lease.Exit":        func() error { return lease.Exit("a") },
			"Set":               func() error { return node.Set(part("r", occ(5, 5))) },
			"Set same":          func() error { return node.Set(part("r", occ(1, 1))) },
			"new Remote":        func() error { return link.Remote("late").Set(part("r", occ(1, 1))) },
			"Next":              func() error { _, err := w.Next(ctx); return err },
			"Next unread":       func() error { _, err := unread.Next(ctx); return err },
			"Next local":        func() error { _, err := local.Next(ctx); return err },
			"Watch":             func() error { _, err := e.Watch(); return err },
			"Watch prefix":      func() error { _, err := e.Watch(occupancy.WithPrefix("r")); return err },
			"Link.Watch":        func() error { _, err := link.Watch(); return err },
			"Link":              func() error { _, err := e.Link(nil); return err },
		} {
			require.ErrorIs(t, f(), occupancy.ErrClosed, i)
			require.ErrorIs(t, f(), occupancy.ErrClosed, i)
		}
		session.Linger(time.Second)
		must(t, session.Close(), session.Close(), lease.Close(), lease.Close(), node.Close(), w.Close(), local.Close(), link.Close(), link.Close(), e.Close())
		require.Equal(t, occ(3, 2), e.Current("r"))
		require.Equal(t, occ(3, 2), r.Current())
		require.Equal(t, occ(2, 1), e.Local("r"))
		require.Equal(t, occ(2, 1), r.Local())
		require.Equal(t, occ(1, 0), e.Current("other"))
		require.Equal(t, occ(0, 0), e.Current("new"))
		require.Equal(t, byRoom{"r": occ(3, 2), "other": occ(1, 0), "session": occ(1, 0)}, maps.Collect(e.All()))
		require.Equal(t, 5, e.Stats().Total.Connections)
		require.Equal(t, 4, e.Stats().Local.Connections)
	})
}

func TestClose_IdempotentAndConcurrent(t *testing.T) {
	bubble(t, "every caller waits until the engine is closed", func(t *testing.T) {
		e := newEngine(t)
		var subs []*occupancy.Subscription
		for i := range 2000 {
			subs = append(subs, subscribe(t, e, room(i)))
			must(t, e.Join(room(i)))
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := e.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if n := e.Stats().Subscriptions; n != 0 {
					t.Errorf("after Close there are %d subscriptions", n)
				}
				if _, err := e.Subscribe("r"); !errors.Is(err, occupancy.ErrClosed) {
					t.Errorf("after Close: %v", err)
				}
			})
		}
		wg.Wait()
		for _, s := range subs {
			require.Equal(t, occ(1, 0), (<-s.Events()).Occupancy)
			_, open := <-s.Events()
			require.False(t, open)
		}
	})
	bubble(t, "unused engine", func(t *testing.T) {
		for range 100 {
			must(t, occupancy.New().Close())
			must(t, occupancy.New(occupancy.WithInterval(0)).Close())
		}
	})
}

func TestClose_ClosesDone(t *testing.T) {
	bubble(t, "not before", func(t *testing.T) {
		e := newEngine(t)
		closed := func() bool {
			select {
			case <-e.Done():
				return true
			default:
				return false
			}
		}
		must(t, e.Join("r"))
		time.Sleep(time.Hour)
		require.False(t, closed())
		must(t, e.Close())
		require.True(t, closed(), "when Close has returned")
	})
	bubble(t, "after every Events channel", func(t *testing.T) {
		for range 20 {
			e := newEngine(t)
			var subs []*occupancy.Subscription
			for i := range 500 {
				subs = append(subs, subscribe(t, e, room(i)))
				<-subs[i].Events()
			}
			done := make(chan int)
			go func() {
				<-e.Done()
				n := 0
				for _, s := range subs {
					select {
					case <-s.Events():
						n++
					default:
					}
				}
				done <- n
			}()
			must(t, e.Close())
			require.Equal(t, len(subs), <-done, "closed channels when Done is closed")
		}
	})
	bubble(t, "wakes goroutines that wait for it", func(t *testing.T) {
		e := newEngine(t)
		ended := make(chan error)
		go func() {
			<-e.Done()
			ended <- e.Join("r")
		}()
		synctest.Wait()
		must(t, e.Close())
		require.ErrorIs(t, <-ended, occupancy.ErrClosed)
	})
}
