package cluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestReady_FirstValueIsExact(t *testing.T) {
	bubble(t, "on a new node", func(t *testing.T) {
		net, hosts := service(t, 3)
		for i := range 20_000 {
			must(t, hosts[0].Join(room(i)))
		}
		after(3 * beat)
		net.SetFaults(clustertest.Faults{MinDelay: 20 * time.Millisecond, MaxDelay: 20 * time.Millisecond})
		h := start(t, net, "new")
		begin := time.Now()
		must(t, h.node.Ready(t.Context()))
		require.LessOrEqual(t, time.Since(begin), 2*beat)
		require.Equal(t, occ(3, 0), h.Current("r"))
		require.Equal(t, 20_001, h.Stats().Rooms)
		begin = time.Now()
		must(t, h.node.Ready(t.Context()))
		require.Zero(t, time.Since(begin))
	})
	bubble(t, "waits for peers whose counts are missing", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		p := newPuppet(t, net, "p")
		h := start(t, net, "node")
		ready := make(chan error, 1)
		go func() { ready <- h.node.Ready(context.Background()) }()
		for range 4 {
			p.heartbeat(1, parts{"r": occ(1, 0)})
			after(beat)
		}
		require.Empty(t, ready)
		p.digest(0, 1, parts{"r": occ(1, 0)})
		require.NoError(t, <-ready)
	})
	bubble(t, "errors", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		h := start(t, net, "node")
		h.bus.Disconnect()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, h.node.Ready(ctx), context.DeadlineExceeded)
		must(t, h.node.Close())
		require.ErrorIs(t, h.node.Ready(t.Context()), occupancy.ErrClosed)
	})
}

func TestClose_SubscribersReceiveNoPartialCounts(t *testing.T) {
	bubble(t, "counts of the peers are kept", func(t *testing.T) {
		_, hosts := service(t, 3)
		sub, err := hosts[0].Subscribe("r")
		must(t, err)
		require.Equal(t, occ(3, 0), (<-sub.Events()).Occupancy)
		must(t, hosts[0].node.Close())
		settle()
		require.Equal(t, occ(2, 0), hosts[1].Current("r")) // the Bye has arrived
		after(time.Minute)
		require.Empty(t, sub.Events())
		must(t, hosts[0].Leave("r")) // the clients disconnect
		after(time.Second)
		require.Equal(t, occ(2, 0), (<-sub.Events()).Occupancy)
		require.True(t, hosts[0].node.Health().Degraded)
	})
}

func TestStart_BusInUse_ReturnsError(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		_, hosts := service(t, 2)
		eng := occupancy.New()
		defer eng.Close()
		for _, bus := range []cluster.Bus{hosts[0].bus, slowBus{hosts[0].bus, 0}} {
			_, err := cluster.Start(t.Context(), eng, bus)
			require.ErrorIs(t, err, cluster.ErrBusInUse)
		}
		must(t, hosts[0].node.Close())
		node, err := cluster.Start(t.Context(), eng, hosts[0].bus)
		must(t, err, node.Close())
		node, err = cluster.Start(t.Context(), eng, hosts[0].bus) // also after a failed start
		must(t, err)
		defer node.Close()
		_, err = cluster.Start(t.Context(), eng, hosts[1].bus)
		require.Error(t, err)
	})
}
