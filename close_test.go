package occupancy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestPromise9_CloseTellsTheLastValueAndThenClosesTheChannel(t *testing.T) {
	bubble(t, "whether it was read, held or told", func(t *testing.T) {
		e := start(t)
		read, unread := subscribe(t, e, "r"), subscribe(t, e, "r")
		quiet, told, node := subscribe(t, e, "quiet"), subscribe(t, e, "told"), subscribe(t, e, "node")
		waiting(t, read)
		waiting(t, quiet)
		must(t, e.Join("r"), e.Join("told"))
		require.Equal(t, occ(1, 0), waiting(t, read).Occupancy)
		require.Equal(t, occ(1, 0), waiting(t, told).Occupancy)
		must(t, e.Enter("r"), e.Remote("n").Set("node", occ(5, 5))) // held
		synctest.Wait()
		late := subscribe(t, e, "r")
		must(t, e.Enter("r"))

		begin := time.Now()
		must(t, e.Close())
		require.Zero(t, time.Since(begin))
		for _, s := range []*occupancy.Subscription{read, unread, late} {
			require.Equal(t, occ(1, 2), (<-s.Events()).Occupancy)
		}
		require.Equal(t, occ(5, 5), (<-node.Events()).Occupancy)
		for _, s := range []*occupancy.Subscription{read, unread, late, quiet, told, node} {
			ev, open := <-s.Events()
			require.False(t, open, "%+v", ev)
		}
	})
	bubble(t, "unless it was unsubscribed, before or after", func(t *testing.T) {
		e := start(t)
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

type constPeers struct {
	occupancy.Occupancy
	err error
}

func (p constPeers) Get(context.Context, string) (occupancy.Occupancy, error) {
	return p.Occupancy, p.err
}

func TestPromise9_AfterCloseEverythingSaysErrClosed(t *testing.T) {
	bubble(t, "and Current still reads", func(t *testing.T) {
		e := start(t)
		ctx := context.Background()
		conn, err := e.Connect("r")
		must(t, err, conn.Enter("a"))
		node, w, unread, r := e.Remote("node"), watch(t, e), watch(t, e), e.Room("r")
		must(t, node.Set("r", occ(1, 1)), r.Join(), e.Join("other"))
		e.SetPeers(constPeers{occ(9, 9), nil})
		must(t, e.Close())

		for i, f := range map[string]func() error{
			"Join": func() error { return e.Join("r") }, "Leave": func() error { return e.Leave("r") },
			"Enter": func() error { return e.Enter("r") }, "Exit": func() error { return e.Exit("r") },
			"Join new": func() error { return e.Join("new") }, "Leave new": func() error { return e.Leave("new") },
			"Join bad": func() error { return e.Join("") }, "Leave bad": func() error { return e.Leave("") },
			"Room.Join": r.Join, "Room.Leave": r.Leave, "Room.Enter": r.Enter, "Room.Exit": r.Exit,
			"Get":            func() error { _, err := e.Get(ctx, "r"); return err },
			"Room.Get":       func() error { _, err := r.Get(ctx); return err },
			"Connect":        func() error { _, err := e.Connect("r"); return err },
			"Connect new":    func() error { _, err := e.Connect("new"); return err },
			"Room.Connect":   func() error { _, err := r.Connect(); return err },
			"Subscribe":      func() error { _, err := e.Subscribe("r"); return err },
			"Subscribe new":  func() error { _, err := e.Subscribe("new"); return err },
			"Room.Subscribe": func() error { _, err := r.Subscribe(); return err },
			"Conn.Enter":     func() error { return conn.Enter("b") },
			"Conn.Enter too": func() error { return conn.Enter("a") },
			"Conn.Exit":      func() error { return conn.Exit("a") },
			"Conn.Close":     conn.Close,
			"Set":            func() error { return node.Set("r", occ(5, 5)) },
			"Set same":       func() error { return node.Set("r", occ(1, 1)) },
			"new Remote":     func() error { return e.Remote("late").Set("r", occ(1, 1)) },
			"Next":           func() error { _, err := w.Next(ctx); return err },
			"Next unread":    func() error { _, err := unread.Next(ctx); return err },
			"new Watch":      func() error { w := e.Watch(); defer w.Close(); _, err := w.Next(ctx); return err },
		} {
			require.ErrorIs(t, f(), occupancy.ErrClosed, i)
			require.ErrorIs(t, f(), occupancy.ErrClosed, i)
		}
		node.Close()
		w.Close()
		must(t, e.Close())
		require.Equal(t, occ(3, 2), e.Current("r"))
		require.Equal(t, occ(3, 2), r.Current())
		require.Equal(t, occ(2, 1), e.Local("r"))
		require.Equal(t, occ(2, 1), r.Local())
		require.Equal(t, occ(1, 0), e.Current("other"))
		require.Equal(t, occ(0, 0), e.Current("new"))
		require.Equal(t, byRoom{"r": occ(3, 2), "other": occ(1, 0)}, maps.Collect(e.All()))
		require.Equal(t, 4, e.Stats().Connections)
	})
}

func TestPromise9_CloseMayBeCalledByAnyoneAndAgain(t *testing.T) {
	bubble(t, "at once, and all wait for its end", func(t *testing.T) {
		e := start(t)
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
	bubble(t, "before anything was done", func(t *testing.T) {
		for range 100 {
			must(t, occupancy.New().Close())
			must(t, occupancy.New(occupancy.WithInterval(0)).Close())
		}
	})
}

// Everything that an engine can do is going on when it is closed: nothing may hang,
// panic, be left behind (synctest finds a goroutine that is) or return anything but
// what it should.
func TestPromise9_CloseInAStorm(t *testing.T) {
	for seed := range uint64(12) {
		d := []time.Duration{0, time.Millisecond, interval}[seed%3]
		bubble(t, fmt.Sprintf("seed %d, interval %v", seed, d), func(t *testing.T) {
			opts := []occupancy.Option{occupancy.WithInterval(d)}
			if seed%2 == 0 {
				opts = append(opts, occupancy.WithMaxRooms(20))
			}
			e := occupancy.New(opts...)
			var wg sync.WaitGroup
			// again does f until the engine is closed.
			again := func(name string, f func(r *rand.Rand, room string) error) {
				for i := range 2 {
					wg.Go(func() {
						r := rand.New(rand.NewPCG(seed, uint64(i)))
						for {
							switch err := f(r, room(r.IntN(20))); {
							case errors.Is(err, occupancy.ErrClosed):
								return
							case err != nil:
								t.Errorf("%s: %v", name, err)
								return
							}
							if r.IntN(50) == 0 {
								time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
							}
						}
					})
				}
			}
			again("hooks", func(_ *rand.Rand, room string) error {
				return errors.Join(e.Join(room), e.Enter(room), e.Exit(room), e.Leave(room))
			})
			again("handle", func(_ *rand.Rand, room string) error {
				h := e.Room(room)
				return errors.Join(h.Join(), h.Enter(), h.Exit(), h.Leave())
			})
			again("lease", func(_ *rand.Rand, room string) error {
				c, err := e.Connect(room)
				if err != nil {
					return err
				}
				return errors.Join(c.Enter("a"), c.Enter("b"), c.Exit("a"), c.Close())
			})
			again("subscribe", func(r *rand.Rand, room string) error {
				s, err := e.Subscribe(room)
				if err != nil {
					return err
				}
				if r.IntN(3) == 0 {
					s.Unsubscribe()
					return nil
				}
				wg.Go(func() {
					for range s.Events() {
					}
				})
				return nil
			})
			again("watch", func(r *rand.Rand, _ string) error {
				w := e.Watch()
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				defer cancel()
				for range r.IntN(4) {
					if _, err := w.Next(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
						return err
					}
				}
				if r.IntN(2) == 0 {
					w.Close()
				}
				return nil
			})
			again("remote", func(r *rand.Rand, room string) error {
				node := e.Remote("node")
				defer node.Close()
				return errors.Join(node.Set(room, occ(r.IntN(3), 1)), node.Set(room, occ(0, r.IntN(2))))
			})
			again("read", func(_ *rand.Rand, room string) error {
				for range e.All() {
					e.Stats()
				}
				_, err := e.Get(context.Background(), room)
				return err
			})
			wg.Go(func() {
				w := e.Watch()
				for {
					if _, err := w.Next(context.Background()); err != nil {
						if !errors.Is(err, occupancy.ErrClosed) {
							t.Errorf("Next: %v", err)
						}
						return
					}
				}
			})
			time.Sleep(time.Duration(5+seed) * time.Millisecond)
			for range 3 {
				wg.Go(func() {
					if err := e.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
			}
			wg.Wait()
			require.Zero(t, e.Stats().Subscriptions)
		})
	}
}
