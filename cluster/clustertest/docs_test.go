package clustertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

// The test of docs/testing.md.

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
