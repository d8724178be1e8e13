package cluster_test

import (
	"context"
	"io"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestOptions_TheLargestIsNoLimit(t *testing.T) {
	bubble(t, "rooms", func(t *testing.T) {
		service(t, 3, cluster.WithMaxRooms(math.MaxInt), cluster.WithMaxPeers(math.MaxInt), cluster.WithMaxCount(math.MaxInt))
	})
	bubble(t, "hold", func(t *testing.T) {
		_, hosts := service(t, 4, cluster.WithHold(math.MaxInt64))
		for _, h := range hosts[:3] {
			h.crash()
		}
		always(t, hosts[3], occ(4, 0), time.Minute)
	})
	bubble(t, "heartbeat", func(t *testing.T) {
		h := start(t, clustertest.NewNetwork(1), "a", cluster.WithHeartbeat(math.MaxInt64))
		after(time.Minute)
		require.Zero(t, h.node.Health().Doubts)
	})
	bubble(t, "lease", func(t *testing.T) {
		_, hosts := service(t, 2, cluster.WithLease(math.MaxInt64))
		hosts[0].crash()
		always(t, hosts[1], occ(2, 0), time.Minute)
	})
}

type slowSub struct{ *clustertest.Bus }

func (b slowSub) Subscribe(ctx context.Context, s []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
	time.Sleep(3 * time.Second)
	return b.Bus.Subscribe(ctx, s, out)
}

func TestGet_WhileStartSubscribes_ReturnsPartialError(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		eng := occupancy.New()
		defer eng.Close()
		must(t, eng.Join("r"))
		started := make(chan *cluster.Node)
		go func() {
			node, err := cluster.Start(t.Context(), eng, slowSub{clustertest.NewNetwork(1).Bus("a")})
			if err != nil {
				t.Error(err)
			}
			started <- node
		}()
		after(time.Second)
		o, err := eng.Get(t.Context(), "r")
		var partial *cluster.PartialError
		require.ErrorAs(t, err, &partial)
		require.Empty(t, partial.Missing)
		require.Equal(t, occ(1, 0), o)
		must(t, (<-started).Close())
	})
}

func TestStart_ASlowBusIsNoDoubt(t *testing.T) {
	bubble(t, "of the node", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		eng := occupancy.New()
		defer eng.Close()
		node, err := cluster.Start(t.Context(), eng, slowSub{net.Bus("a")})
		must(t, err)
		defer node.Close()
		soon()
		require.Zero(t, node.Health().Doubts)
	})
}
