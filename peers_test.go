package occupancy_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

type peersFunc func(ctx context.Context, room string) (occupancy.Occupancy, error)

func (f peersFunc) Get(ctx context.Context, room string) (occupancy.Occupancy, error) {
	return f(ctx, room)
}

func TestPeers_GetAsksThem(t *testing.T) {
	// gets is what both Gets return, which must be the same.
	gets := func(t *testing.T, e *occupancy.Engine, ctx context.Context, room string) (occupancy.Occupancy, error) {
		t.Helper()
		o, err := e.Get(ctx, room)
		again, errAgain := e.Room(room).Get(ctx)
		require.Equal(t, o, again)
		require.Equal(t, err, errAgain)
		return o, err
	}
	bubble(t, "or nobody, where there are none", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("r"), e.Remote("node").Set("r", occ(2, 2)))
		o, err := gets(t, e, t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(3, 2), o)
		o, err = gets(t, e, nil, "unknown")
		must(t, err)
		require.Equal(t, occ(0, 0), o)
		require.Zero(t, e.Stats().Rooms-1)
	})
	bubble(t, "and adds this process's own part to theirs, not what was heard of them", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("r"), e.Enter("r"), e.Remote("node").Set("r", occ(100, 100)))
		type key struct{}
		ctx := context.WithValue(t.Context(), key{}, "mine")
		e.SetPeers(peersFunc(func(c context.Context, room string) (occupancy.Occupancy, error) {
			require.Equal(t, "mine", c.Value(key{}))
			require.Equal(t, "r", room)
			return occ(5, 3), nil
		}))
		o, err := gets(t, e, ctx, "r")
		must(t, err)
		require.Equal(t, occ(6, 4), o)
		require.Equal(t, occ(101, 101), e.Current("r")) // which it does not change

		e.SetPeers(peersFunc(func(c context.Context, _ string) (occupancy.Occupancy, error) {
			require.NotNil(t, c)
			return occ(most, most-1), nil
		}))
		o, err = gets(t, e, nil, "r")
		must(t, err)
		require.Equal(t, occ(most, most), o)

		e.SetPeers(nil)
		o, err = gets(t, e, ctx, "r")
		must(t, err)
		require.Equal(t, occ(101, 101), o)
	})
	bubble(t, "and passes on what they have with what they miss", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("r"))
		missing := errors.New("node b does not answer")
		e.SetPeers(constPeers{occ(2, 1), missing})
		o, err := gets(t, e, t.Context(), "r")
		require.ErrorIs(t, err, missing)
		require.Equal(t, occ(3, 1), o)
		e.SetPeers(constPeers{err: missing})
		o, err = gets(t, e, t.Context(), "r")
		require.ErrorIs(t, err, missing)
		require.Equal(t, occ(1, 0), o)
	})
	bubble(t, "and does not believe what cannot be", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("r"))
		for _, o := range []occupancy.Occupancy{occ(-1, 0), occ(0, -1), occ(over, 0), occ(0, over)} {
			e.SetPeers(constPeers{o, nil})
			got, err := gets(t, e, t.Context(), "r")
			require.ErrorIs(t, err, occupancy.ErrCount)
			require.Equal(t, occ(1, 0), got)
		}
	})
	bubble(t, "within the context", func(t *testing.T) {
		e := start(t)
		must(t, e.Join("r"))
		asked := 0
		e.SetPeers(peersFunc(func(ctx context.Context, _ string) (occupancy.Occupancy, error) {
			asked++
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
		require.Equal(t, 1, asked)
		_, err = gets(t, e, ctx, "r")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		e.SetPeers(nil)
		_, err = gets(t, e, ctx, "r")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1, asked) // nobody is asked in vain
	})
	bubble(t, "while hooks, Subscribe and Close go on", func(t *testing.T) {
		e := start(t)
		waits, goOn := make(chan struct{}), make(chan struct{})
		e.SetPeers(peersFunc(func(context.Context, string) (occupancy.Occupancy, error) {
			close(waits)
			<-goOn
			return occ(1, 0), nil
		}))
		done := make(chan occupancy.Occupancy)
		go func() { o, _ := e.Get(context.Background(), "r"); done <- o }()
		<-waits
		e.SetPeers(nil)
		must(t, e.Join("r"))
		require.Equal(t, occ(1, 0), waiting(t, subscribe(t, e, "r")).Occupancy)
		must(t, e.Close())
		close(goOn)
		require.Equal(t, occ(2, 0), <-done)
		_, err := e.Get(context.Background(), "r")
		require.ErrorIs(t, err, occupancy.ErrClosed)
	})
}
