package clustertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

// The tests of docs/testing.md.

// begin: nodes
func TestService_SurvivesFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		one := net.StartNode(t, "chat-1", occupancy.New()) // your code: the engine of your server
		two := net.StartNode(t, "chat-2", occupancy.New())
		three := net.StartNode(t, "chat-3", occupancy.New())
		net.Settle(t) // the nodes know each other
		for _, node := range []*clustertest.Node{one, two, three} {
			require.NoError(t, node.Engine.Join("lobby"))
		}
		net.Settle(t)
		net.Want(t, "lobby", occupancy.Occupancy{Connections: 3})

		net.Partition([]string{"chat-3"}) // chat-3 loses its network
		require.NoError(t, three.Engine.Join("lobby"))
		time.Sleep(10 * time.Second) // virtual time
		require.True(t, one.Health().Degraded)
		net.Partition() // the network is back
		net.Settle(t)
		net.Want(t, "lobby", occupancy.Occupancy{Connections: 4})

		net.SetFaults(clustertest.Faults{Loss: 0.1, MaxDelay: 200 * time.Millisecond})
		three.Kill()
		net.Settle(t)
		net.Want(t, "lobby", occupancy.Occupancy{Connections: 2})
		three = net.StartNode(t, "chat-3", occupancy.New()) // it restarts
		require.NoError(t, three.Engine.Join("lobby"))
		net.Settle(t)
		net.Want(t, "lobby", occupancy.Occupancy{Connections: 3})
		require.False(t, one.Health().Degraded)
	})
}

// end: nodes

// begin: sharding
func TestService_WithAggregators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		seed := net.StartNode(t, "seed-1", occupancy.New(), cluster.WithAggregator())
		net.StartNode(t, "seed-2", occupancy.New(), cluster.WithAggregator())
		chat := net.StartNode(t, "chat-3", occupancy.New(), cluster.WithSharding())
		lobby := net.StartNode(t, "lobby", occupancy.New(), cluster.WithEverything())
		net.Settle(t)
		for _, node := range []*clustertest.Node{seed, chat} {
			require.NoError(t, node.Engine.Join("go"))
		}
		net.Settle(t)
		net.Want(t, "go", occupancy.Occupancy{Connections: 2}) // on seed-1, chat-3 and lobby
		top, err := chat.Top(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, lobby.Engine.Current("go"), top[0].Occupancy)

		seed.Kill() // the node, and the aggregator in the same process
		net.Settle(t)
		net.Want(t, "go", occupancy.Occupancy{Connections: 1})
		require.True(t, chat.Health().Degraded) // missing: seed-1
	})
}

// end: sharding
