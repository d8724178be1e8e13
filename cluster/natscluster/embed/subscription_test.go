package embed_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

// reader is a user that has permission only to subscribe to digests.
func reader(o *server.Options) {
	o.Users = []*server.User{{Username: "reader", Password: "secret", Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Deny: []string{">"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"occupancy.v1.digest.0"}},
	}}}
}

func TestBus_PermissionDenied(t *testing.T) {
	checkGoroutines(t)
	log := new(bustest.Log)
	b := connect(t, startServer(t, reader).ClientURL(), natscluster.WithNATS(nats.UserInfo("reader", "secret")), natscluster.WithLogger(log.Logger()))
	_, err := b.Subscribe(bustest.Context(t), []cluster.Subject{bustest.Digests, bustest.Heartbeats}, make(chan cluster.Message, 1))
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	require.ErrorContains(t, err, "permission denied")
	require.ErrorContains(t, err, "occupancy.v1.heartbeat.0")
	_, err = b.Subscribe(bustest.Context(t), []cluster.Subject{bustest.Digests}, make(chan cluster.Message, 1))
	require.NoError(t, err, "an earlier denial does not matter")
	require.NoError(t, b.Publish(bustest.Context(t), bustest.Digests, nil))
	bustest.Eventually(t, "logged", func() bool {
		return log.Contains("permission denied") && log.Contains("Permissions Violation for Publish")
	})
}

func TestSubscribe_Error_RemovesSubscription(t *testing.T) {
	checkGoroutines(t)
	s := startServer(t, reader)
	b := connect(t, s.ClientURL(), natscluster.WithNATS(nats.UserInfo("reader", "secret")))
	before := s.NumSubscriptions()
	_, err := b.Subscribe(bustest.Context(t), []cluster.Subject{bustest.Digests, bustest.Heartbeats}, make(chan cluster.Message, 1))
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	stacks := make([]byte, 1<<20)
	require.NotContains(t, string(stacks[:runtime.Stack(stacks, true)]), "subscription).deliver")
	bustest.Eventually(t, "the server has no subscription left", func() bool { return s.NumSubscriptions() == before })
}

func TestSubscribe_WhileContextEndsAndBusCloses(t *testing.T) {
	checkGoroutines(t)
	for range 20 {
		b, err := embed.Start(bustest.Context(t))
		require.NoError(t, err)
		var wg sync.WaitGroup
		called := make(chan struct{}, 1000)
		for range 4 {
			wg.Go(func() {
				for {
					ctx, cancel := context.WithTimeout(context.Background(), rand.N(500*time.Microsecond))
					sub, err := b.Subscribe(ctx, []cluster.Subject{{Kind: cluster.KindDigest}, {Kind: cluster.KindBye}}, make(chan cluster.Message))
					cancel()
					switch {
					case errors.Is(err, occupancy.ErrClosed):
						return
					case err == nil:
						wg.Go(func() { _ = sub.Close() })
						_ = sub.Close()
					}
					select {
					case called <- struct{}{}:
					default:
					}
				}
			})
		}
		for range rand.N(20) {
			<-called
		}
		if rand.IntN(2) == 0 {
			require.NoError(t, b.Close(context.Background()))
		}
		ctx, cancel := context.WithTimeout(context.Background(), rand.N(5*time.Millisecond))
		_ = b.Close(ctx)
		cancel()
		wg.Wait()
		require.NoError(t, b.Close(context.Background()))
	}
}
