package embed_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

func TestBus_Conformance(t *testing.T) {
	t.Run("connected", func(t *testing.T) {
		checkGoroutines(t)
		bustest.TestConformance(t, startServer(t, nil).Addr().String(),
			func(t testing.TB, addr string) cluster.Bus { return connect(t, addr) },
			func(t testing.TB, addr string) cluster.Bus { return newBus(t, addr) })
	})

	t.Run("connected to a server with the smallest payload", func(t *testing.T) {
		checkGoroutines(t)
		url := startServer(t, func(o *server.Options) { o.MaxPayload = cluster.MinPayload }).ClientURL()
		clustertest.TestBus(t, func(t testing.TB) cluster.Bus { return connect(t, url) })
	})

	t.Run("embedded", func(t *testing.T) {
		checkGoroutines(t)
		first := startSeed(t, embed.WithClusterListen("127.0.0.1:0"))
		all := new(network)
		clustertest.TestBus(t, func(t testing.TB) cluster.Bus {
			return all.add(startSeed(t, embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(first.ClusterAddr())))
		})
	})

	t.Run("seeds and clients", func(t *testing.T) {
		checkGoroutines(t)
		first := startSeed(t, embed.WithClusterListen("127.0.0.1:0"), embed.WithClientListen("127.0.0.1:0"))
		second := startSeed(t, embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(first.ClusterAddr()),
			embed.WithClientListen("127.0.0.1:0"))
		all, n := new(network), 0
		clustertest.TestBus(t, func(t testing.TB) cluster.Bus {
			n++
			switch n % 3 {
			case 0:
				return all.add(connect(t, first.ClientURL()))
			case 1:
				return all.add(connect(t, second.ClientURL()))
			}
			return all.add(startSeed(t, embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(first.ClusterAddr())))
		})
	})
}

// network makes Subscribe wait until the servers of all buses have registered the
// subscription. TestBus requires this, but NATS waits only for the server of the
// subscriber.
type network struct {
	mu    sync.Mutex // protects the following
	buses []cluster.Bus
}

type networkBus struct {
	cluster.Bus
	network *network
}

func (n *network) add(b cluster.Bus) cluster.Bus {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.buses = append(n.buses, b)
	return networkBus{b, n}
}

func (b networkBus) Subscribe(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
	sub, err := b.Bus.Subscribe(ctx, subjects, out)
	if err != nil {
		return nil, err
	}
	// All servers register the two subscriptions in this order, so if the second subscription
	// is registered, the first is also registered.
	probe, received := cluster.Subject{Kind: cluster.KindSyncReply, Shard: rand.Uint32()}, make(chan cluster.Message, 64)
	last, err := b.Bus.Subscribe(ctx, []cluster.Subject{probe}, received)
	if err != nil {
		return nil, err
	}
	defer last.Close()
	b.network.mu.Lock()
	buses := slices.Clone(b.network.buses)
	b.network.mu.Unlock()
	for i, other := range buses {
		if other == b.Bus {
			continue
		}
		if err := awaitRegistered(other, probe, byte(i), received); err != nil {
			return nil, err
		}
	}
	return sub, nil
}

// awaitRegistered publishes payload until it is received.
func awaitRegistered(from cluster.Bus, subject cluster.Subject, payload byte, received <-chan cluster.Message) error {
	deadline := time.After(bustest.Timeout)
	for {
		if errors.Is(from.Publish(context.Background(), subject, []byte{payload}), occupancy.ErrClosed) {
			return nil
		}
		select {
		case m := <-received:
			if m.Payload[0] == payload {
				return nil
			}
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			return fmt.Errorf("nothing received from bus %d", payload)
		}
	}
}
