package promises_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

type peersFunc func(ctx context.Context, room string) (occupancy.Occupancy, error)

func (f peersFunc) Get(ctx context.Context, room string) (occupancy.Occupancy, error) {
	return f(ctx, room)
}

type constPeers struct {
	occupancy.Occupancy
	err error
}

func (p constPeers) Get(context.Context, string) (occupancy.Occupancy, error) {
	return p.Occupancy, p.err
}

func linkPeers(t testing.TB, e *occupancy.Engine, p occupancy.Peers) *occupancy.Link {
	t.Helper()
	l, err := e.Link(p)
	require.NoError(t, err)
	return l
}

func TestGet_QueriesPeers(t *testing.T) {
	// get calls Get by name and by handle, which must return the same.
	get := func(t *testing.T, e *occupancy.Engine, ctx context.Context, room string) (occupancy.Occupancy, error) {
		t.Helper()
		o, err := e.Get(ctx, room)
		again, errAgain := e.Room(room).Get(ctx)
		require.Equal(t, o, again)
		require.Equal(t, err, errAgain)
		return o, err
	}
	bubble(t, "without a link or without peers", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("r"), remote(t, e, "node").Set(part("r", occ(2, 2))))
		o, err := get(t, e, t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(3, 2), o)
		o, err = get(t, e, t.Context(), "unknown")
		must(t, err)
		require.Equal(t, occ(0, 0), o)
		wantRoomCount(t, e, 1)
	})
	bubble(t, "adds this process's own counts to the answer", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("r"), e.Enter("r", "c"))
		answer := occ(5, 3)
		type key struct{}
		ctx := context.WithValue(t.Context(), key{}, "mine")
		link := linkPeers(t, e, peersFunc(func(c context.Context, room string) (occupancy.Occupancy, error) {
			require.Equal(t, "mine", c.Value(key{}))
			require.Equal(t, "r", room)
			return answer, nil
		}))
		must(t, link.Remote("node").Set(part("r", occ(100, 100)))) // is not part of the answer
		o, err := get(t, e, ctx, "r")
		must(t, err)
		require.Equal(t, occ(6, 4), o)
		require.Equal(t, occ(101, 101), e.Current("r")) // Get does not change it

		answer = occ(most, most-1)
		o, err = get(t, e, ctx, "r")
		must(t, err)
		require.Equal(t, occ(most, most), o)

		must(t, link.Close())
		o, err = get(t, e, ctx, "r")
		must(t, err)
		require.Equal(t, occ(1, 1), o)
	})
	bubble(t, "returns a partial sum together with the error", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("r"))
		missing := errors.New("no answer from node b")
		link := linkPeers(t, e, constPeers{occ(2, 1), missing})
		o, err := get(t, e, t.Context(), "r")
		require.ErrorIs(t, err, missing)
		require.Equal(t, occ(3, 1), o)
		must(t, link.Close())
		linkPeers(t, e, constPeers{err: missing})
		o, err = get(t, e, t.Context(), "r")
		require.ErrorIs(t, err, missing)
		require.Equal(t, occ(1, 0), o)
	})
	bubble(t, "refuses an impossible answer", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("r"))
		for _, o := range []occupancy.Occupancy{occ(-1, 0), occ(0, -1), occ(over, 0), occ(0, over)} {
			link := linkPeers(t, e, constPeers{o, nil})
			got, err := get(t, e, t.Context(), "r")
			require.ErrorIs(t, err, occupancy.ErrCount)
			require.Equal(t, occ(1, 0), got)
			must(t, link.Close())
		}
	})
	bubble(t, "until the context is done", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("r"))
		calls := 0
		link := linkPeers(t, e, peersFunc(func(ctx context.Context, _ string) (occupancy.Occupancy, error) {
			calls++
			<-ctx.Done()
			return occ(1, 1), ctx.Err()
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		o, err := e.Get(ctx, "r")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, occ(2, 1), o)
		require.Equal(t, time.Minute, time.Since(begin))
		require.Equal(t, 1, calls)
		_, err = get(t, e, ctx, "r")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		must(t, link.Close())
		_, err = get(t, e, ctx, "r")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1, calls) // not called with a context that is done
	})
	bubble(t, "does not block hooks, Subscribe and Close", func(t *testing.T) {
		e := newEngine(t)
		called, answer := make(chan struct{}), make(chan struct{})
		link := linkPeers(t, e, peersFunc(func(context.Context, string) (occupancy.Occupancy, error) {
			close(called)
			<-answer
			return occ(1, 0), nil
		}))
		done := make(chan occupancy.Occupancy)
		go func() { o, _ := e.Get(context.Background(), "r"); done <- o }()
		<-called
		must(t, link.Close(), e.Join("r"))
		require.Equal(t, occ(1, 0), receive(t, subscribe(t, e, "r")).Occupancy)
		must(t, e.Close())
		close(answer)
		require.Equal(t, occ(2, 0), <-done)
		_, err := e.Get(context.Background(), "r")
		require.ErrorIs(t, err, occupancy.ErrClosed)
	})
}

func TestLink_OneAtATime(t *testing.T) {
	bubble(t, "the second returns ErrLinked and changes nothing", func(t *testing.T) {
		e := newEngine(t)
		first := linkPeers(t, e, constPeers{occ(7, 0), nil})
		must(t, first.Remote("node").Set(part("r", occ(1, 0))))
		for range 2 {
			second, err := e.Link(constPeers{occ(9, 9), nil})
			require.ErrorIs(t, err, occupancy.ErrLinked)
			require.Nil(t, second)
		}
		require.Equal(t, occ(1, 0), e.Current("r"))
		o, err := e.Get(t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(7, 0), o, "the peers of the first link")
	})
	bubble(t, "after Close the engine can be linked again", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Join("r"))
		for i := range 3 {
			l := linkPeers(t, e, constPeers{occ(i, 0), nil})
			must(t, l.Remote("node").Set(part("r", occ(10*i, 0))))
			require.Equal(t, occ(10*i+1, 0), e.Current("r"))
			o, err := e.Get(t.Context(), "r")
			must(t, err)
			require.Equal(t, occ(i+1, 0), o)
			must(t, l.Close())
			require.Equal(t, occ(1, 0), e.Current("r"))
		}
	})
	bubble(t, "a closed link does not close a later one", func(t *testing.T) {
		e := newEngine(t)
		first := linkPeers(t, e, nil)
		must(t, first.Close())
		second := linkPeers(t, e, constPeers{occ(2, 0), nil})
		must(t, second.Remote("node").Set(part("r", occ(3, 0))), first.Close())
		require.Equal(t, occ(3, 0), e.Current("r"))
		_, err := e.Link(nil)
		require.ErrorIs(t, err, occupancy.ErrLinked)
	})
	bubble(t, "concurrent calls", func(t *testing.T) {
		e := newEngine(t)
		for range 200 {
			var wg sync.WaitGroup
			got := make([]*occupancy.Link, 4)
			for i := range got {
				wg.Go(func() {
					var err error
					if got[i], err = e.Link(nil); (err == nil) != (got[i] != nil) || err != nil && !errors.Is(err, occupancy.ErrLinked) {
						t.Errorf("%v, %v", got[i], err)
					}
				})
			}
			wg.Wait()
			n := 0
			for _, l := range got {
				if l != nil {
					n++
					must(t, l.Close())
				}
			}
			require.Equal(t, 1, n)
		}
	})
}

func TestLink_ReleaseKeepsCountsWithoutEvents(t *testing.T) {
	bubble(t, "until the next link", func(t *testing.T) {
		e := newEngine(t)
		l := linkPeers(t, e, nil)
		local, err := l.Watch()
		must(t, err)
		r := l.Remote("a")
		must(t, r.Set(part("r", occ(2, 0))), e.Join("r"))
		s := subscribe(t, e, "r")
		require.Equal(t, occ(3, 0), receive(t, s).Occupancy)
		time.Sleep(interval)

		l.Release()
		l.Release()
		time.Sleep(time.Second)
		require.Empty(t, s.Events())
		require.ErrorIs(t, r.Set(part("r", occ(5, 0))), occupancy.ErrClosed)
		require.Equal(t, occ(3, 0), e.Current("r"))
		must(t, e.Leave("r"))
		require.Equal(t, occ(2, 0), receive(t, s).Occupancy)
		for range 2 { // at most one event was not read
			if _, err = local.Next(t.Context()); err != nil {
				break
			}
		}
		require.ErrorIs(t, err, occupancy.ErrClosed)

		again, err := e.Link(nil)
		must(t, err)
		require.Equal(t, occ(0, 0), e.Current("r"))
		_, err = e.Link(nil)
		require.ErrorIs(t, err, occupancy.ErrLinked)
		must(t, l.Close(), again.Close())
		require.Equal(t, occ(0, 0), e.Current("r"))
	})
}

func TestLink_CloseRemovesAllPartsAndClosesItsWatchers(t *testing.T) {
	bubble(t, "of all its remotes", func(t *testing.T) {
		e := newEngine(t)
		const rooms = 2000
		l := linkPeers(t, e, nil)
		total := watch(t, e)
		local, err := l.Watch()
		must(t, err)
		a, b := l.Remote("a"), l.Remote("b")
		for i := range rooms {
			must(t, a.Set(part(room(i), occ(1, 0))), b.Set(part(room(i), occ(0, 2))))
		}
		s := subscribe(t, e, room(0))
		must(t, e.Join(room(1)))
		time.Sleep(2 * interval)
		readAll(t, total)
		require.Equal(t, occ(1, 2), receive(t, s).Occupancy)

		must(t, l.Close())
		require.Equal(t, byRoom{room(1): occ(1, 0)}, maps.Collect(e.All()))
		time.Sleep(interval)
		require.Equal(t, occ(0, 0), receive(t, s).Occupancy)
		read, events := readAll(t, total)
		require.Equal(t, rooms, events)
		require.Equal(t, occ(1, 0), read[room(1)])
		require.Equal(t, occ(0, 0), read[room(2)])
		wantRoomCount(t, e, 2) // one occupied, one subscribed to

		for _, r := range []*occupancy.Remote{a, b, l.Remote("late")} {
			require.ErrorIs(t, r.Set(part("r", occ(1, 1))), occupancy.ErrClosed)
			require.Equal(t, part(room(3), occ(0, 0)), r.Get(room(3)))
			require.Empty(t, slices.Collect(r.All()))
			must(t, r.Close())
		}
		_, err = local.Next(t.Context())
		require.ErrorIs(t, err, occupancy.ErrClosed)
		_, err = l.Watch()
		require.ErrorIs(t, err, occupancy.ErrClosed)
		must(t, local.Close(), l.Close(), l.Close())
		require.Equal(t, 1, e.Stats().Watchers) // total
		require.Equal(t, occ(0, 0), e.Current("r"))
	})
	bubble(t, "a blocked Next returns", func(t *testing.T) {
		e := newEngine(t)
		l := linkPeers(t, e, nil)
		w, err := l.Watch()
		must(t, err)
		ended := make(chan error)
		go func() { _, err := w.Next(context.Background()); ended <- err }()
		synctest.Wait()
		must(t, l.Close())
		require.ErrorIs(t, <-ended, occupancy.ErrClosed)
	})
	bubble(t, "from several goroutines, while remotes and watchers are used", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		for n := range 50 {
			l := linkPeers(t, e, nil)
			var wg sync.WaitGroup
			for i := range 2 {
				wg.Go(func() {
					r := l.Remote("node")
					for j := range 1000 {
						if err := r.Set(part(room(j%7), occ(1+i, 0))); errors.Is(err, occupancy.ErrClosed) {
							return
						} else if err != nil {
							t.Errorf("Set: %v", err)
						}
					}
				})
				wg.Go(func() {
					w, err := l.Watch()
					for err == nil {
						_, err = w.Next(context.Background())
					}
					if !errors.Is(err, occupancy.ErrClosed) {
						t.Errorf("Next: %v", err)
					}
				})
				wg.Go(func() {
					time.Sleep(time.Duration(n) * time.Microsecond)
					if err := l.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
					// Every caller waits until the parts are removed.
					if o := e.Current(room(n % 7)); o != occ(0, 0) {
						t.Errorf("after Close: %+v", o)
					}
				})
			}
			wg.Wait()
		}
		wantRoomCount(t, e, 0)
		require.Zero(t, e.Stats().Watchers)
	})
}
