package natscluster_test

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

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

func TestBus_KeepsItsPromises(t *testing.T) {
	t.Run("connected to one server", func(t *testing.T) {
		leavesNothing(t)
		url := startServer(t, nil).ClientURL()
		var mu sync.Mutex
		proxies := make(map[cluster.Bus]*proxy)
		of := func(b cluster.Bus) *proxy {
			mu.Lock()
			defer mu.Unlock()
			return proxies[b]
		}
		clustertest.TestBus(t, func(t testing.TB) cluster.Bus {
			p := newProxy(t, url)
			b := connect(t, p.URL())
			mu.Lock()
			defer mu.Unlock()
			proxies[b] = p
			return b
		}, clustertest.WithOutage(
			func(b cluster.Bus) { of(b).Cut() },
			func(b cluster.Bus) { of(b).Mend() },
		))
	})

	t.Run("connected to a server of small payloads", func(t *testing.T) {
		leavesNothing(t)
		url := startServer(t, func(o *server.Options) { o.MaxPayload = cluster.MinPayload }).ClientURL()
		clustertest.TestBus(t, func(t testing.TB) cluster.Bus { return connect(t, url) })
	})

	t.Run("each with a server inside", func(t *testing.T) {
		leavesNothing(t)
		first := embed(t, natscluster.WithClusterListen("127.0.0.1:0"))
		all := new(network)
		clustertest.TestBus(t, func(t testing.TB) cluster.Bus {
			return all.add(embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithSeeds(first.ClusterAddr())))
		})
	})

	t.Run("seeds and clients", func(t *testing.T) {
		leavesNothing(t)
		first := embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithClientListen("127.0.0.1:0"))
		second := embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithSeeds(first.ClusterAddr()),
			natscluster.WithClientListen("127.0.0.1:0"))
		all, n := new(network), 0
		clustertest.TestBus(t, func(t testing.TB) cluster.Bus {
			n++
			switch n % 3 {
			case 0:
				return all.add(connect(t, first.ClientURL()))
			case 1:
				return all.add(connect(t, second.ClientURL()))
			}
			return all.add(embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithSeeds(first.ClusterAddr())))
		})
	})
}

// network has Subscribe wait until every bus's server has heard of the subscription,
// which NATS does not: there it is in force at once only for those on the same server.
// Everything else is as it is.
type network struct {
	mu    sync.Mutex // protects the following
	buses []*natscluster.Bus
}

type linked struct {
	*natscluster.Bus
	all *network
}

func (n *network) add(b *natscluster.Bus) cluster.Bus {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.buses = append(n.buses, b)
	return linked{b, n}
}

func (l linked) Subscribe(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
	sub, err := l.Bus.Subscribe(ctx, subjects, out)
	if err != nil {
		return nil, err
	}
	// Servers hear of this one after that one, by the same way.
	probe, heard := cluster.Subject{Kind: cluster.KindSyncReply, Shard: rand.Uint32()}, make(chan cluster.Message, 64)
	last, err := l.Bus.Subscribe(ctx, []cluster.Subject{probe}, heard)
	if err != nil {
		return nil, err
	}
	defer last.Close()
	l.all.mu.Lock()
	buses := slices.Clone(l.all.buses)
	l.all.mu.Unlock()
	for i, b := range buses {
		if b == l.Bus {
			continue
		}
		if err := reach(b, probe, byte(i), heard); err != nil {
			return nil, err
		}
	}
	return sub, nil
}

// reach publishes until it is heard.
func reach(from *natscluster.Bus, subject cluster.Subject, payload byte, heard <-chan cluster.Message) error {
	deadline := time.After(patience)
	for {
		if errors.Is(from.Publish(context.Background(), subject, []byte{payload}), natscluster.ErrClosed) {
			return nil
		}
		select {
		case m := <-heard:
			if m.Payload[0] == payload {
				return nil
			}
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			return fmt.Errorf("bus %d is not heard", payload)
		}
	}
}
