package cluster_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

// bubble runs a subtest in a bubble of testing/synctest, with virtual time.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func occ(connections, members int) occupancy.Occupancy {
	return occupancy.Occupancy{Connections: connections, PresenceMembers: members}
}

func room(i int) string { return fmt.Sprint("room", i) }

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// host is a process of the service: an engine, a bus and a node.
type host struct {
	*occupancy.Engine
	bus  *clustertest.Bus
	node *cluster.Node
}

// start starts a host and stops it at the end of the test.
func start(t testing.TB, net *clustertest.Network, name string, opts ...cluster.Option) *host {
	t.Helper()
	h := &host{occupancy.New(), net.Bus(name), nil}
	node, err := cluster.Start(t.Context(), h.Engine, h.bus, append([]cluster.Option{cluster.WithName(name)}, opts...)...)
	require.NoError(t, err)
	h.node = node
	t.Cleanup(h.crash)
	return h
}

// crash stops the host without a Bye, like kill -9.
func (h *host) crash() {
	_ = h.bus.Close(context.Background())
	_ = h.node.Close()
	_ = h.Close()
}

// join adds n connections to the room.
func (h *host) join(t testing.TB, room string, n int) {
	t.Helper()
	for range n {
		require.NoError(t, h.Join(room))
	}
}

// settle waits until all goroutines wait for a time or for an event.
func settle() {
	time.Sleep(time.Millisecond)
	synctest.Wait()
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
