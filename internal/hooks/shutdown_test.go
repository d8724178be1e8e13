package hooks

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

// startServe starts serve, and connects clients to the room "lobby". It returns a function
// that stops serve and checks that the clients are disconnected and the engine is closed.
func startServe(t *testing.T, engine *occupancy.Engine, node *cluster.Node, clients int) (stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	served := make(chan error, 1)
	go func() { served <- serve(ctx, ln, engine, node) }()
	s := &server{
		engine: engine, url: "ws://" + ln.Addr().String(),
		path: func(room string) string { return "/ws/" + room },
		join: func(*testing.T, *testClient, string) {},
	}
	var connected []*testClient
	for range clients {
		connected = append(connected, s.dial(t, "lobby"))
	}
	s.waitFor(t, "lobby", clients)
	return func() {
		cancel()
		require.NoError(t, <-served)
		require.Zero(t, engine.Current("lobby"), "all leases are closed")
		require.ErrorIs(t, engine.Join("lobby"), occupancy.ErrClosed)
		for _, c := range connected {
			c.waitClosed(t)
			require.Equal(t, stopping, c.err)
		}
	}
}

func TestServe_Shutdown(t *testing.T) {
	t.Parallel()
	startServe(t, occupancy.New(), nil, 3)()
}

// The node leaves the cluster while all clients are still connected.
func TestServe_ShutdownLeavesClusterFirst(t *testing.T) {
	t.Parallel()
	const clients = 3
	network := clustertest.NewNetwork(1)
	engine, other := occupancy.New(), newEngine(t)
	node, err := cluster.Start(t.Context(), engine, network.Bus("a"))
	require.NoError(t, err)
	otherNode, err := cluster.Start(t.Context(), other, network.Bus("b"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, otherNode.Close()) })
	atBye := make(chan int, 1) // the connections when the node publishes its Bye
	network.Tap(func(from string, m cluster.Message) {
		if from == "a" && m.Subject.Kind == cluster.KindBye {
			atBye <- engine.Current("lobby").Connections
		}
	})

	stop := startServe(t, engine, node, clients)
	otherServer := &server{engine: other}
	otherServer.waitFor(t, "lobby", clients)
	stop()
	require.Equal(t, clients, <-atBye)
	otherServer.waitEmpty(t)
}
