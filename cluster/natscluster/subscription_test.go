package natscluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
)

// Of many subjects one is refused by the NATS client, after it took some of the others.
func TestSubscribe_ThatFailsLeavesNothing(t *testing.T) {
	b, err := Embed(t.Context())
	require.NoError(t, err)
	var subjects []cluster.Subject
	for shard := range uint32(100) {
		subjects = append(subjects, cluster.Subject{Kind: cluster.KindDigest, Shard: shard})
	}
	s := b.newSubscription(subjects, make(chan cluster.Message, 1))
	s.subjects["not a subject"] = cluster.Subject{}
	require.ErrorIs(t, s.begin(t.Context()), nats.ErrBadSubject)
	require.Zero(t, Subscriptions(b))
	require.Empty(t, slices.Collect(b.all()))
	all := make([]byte, 1<<20)
	require.NotContains(t, string(all[:runtime.Stack(all, true)]), "deliver", "its goroutine ended")
	require.NoError(t, b.Close(context.Background()))
}

// Whatever ends a Subscribe, and whenever.
func TestSubscribe_RacesWithItsContextAndTheBus(t *testing.T) {
	for range 20 {
		b, err := Embed(t.Context())
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					ctx, cancel := context.WithTimeout(t.Context(), rand.N(500*time.Microsecond))
					sub, err := b.Subscribe(ctx, []cluster.Subject{{Kind: cluster.KindDigest}, {Kind: cluster.KindBye}}, make(chan cluster.Message))
					cancel()
					switch {
					case errors.Is(err, ErrClosed):
						return
					case err == nil:
						wg.Go(func() { _ = sub.Close() })
						_ = sub.Close()
					}
				}
			})
		}
		time.Sleep(rand.N(5 * time.Millisecond))
		if rand.IntN(2) == 0 {
			require.NoError(t, b.Close(context.Background()))
		}
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(5*time.Millisecond))
		_ = b.Close(ctx)
		cancel()
		wg.Wait()
		require.NoError(t, b.Close(context.Background()))
		require.Empty(t, slices.Collect(b.all()))
	}
}
