package clustertest

import (
	"context"
	"slices"
	"testing"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
)

// Node is one node of a service in memory: an engine, a bus and the node that connects
// them. Start it with [Network.StartNode]. Its method Close is that of [cluster.Node]: the
// node leaves the service.
type Node struct {
	*cluster.Node
	Engine *occupancy.Engine
	Bus    *Bus
	name   string
}

// StartNode links the engine to the other nodes of the network. The name is that of the
// node and of its bus. To restart a node, call Kill, and start a node with the same name.
// To stop a node gracefully before, call Close before Kill.
//
// At the end of the test, the node is killed. If the node cannot be started, the test fails.
func (n *Network) StartNode(t testing.TB, name string, e *occupancy.Engine, opts ...cluster.Option) *Node {
	t.Helper()
	bus := n.Bus(name)
	node, err := cluster.Start(context.Background(), e, bus, append([]cluster.Option{cluster.WithName(name)}, opts...)...)
	if err != nil {
		_ = bus.Close(context.Background())
		t.Fatalf("node %s: %v", name, err)
	}
	started := &Node{node, e, bus, name}
	n.mu.Lock()
	n.nodes = append(n.nodes, started)
	n.mu.Unlock()
	t.Cleanup(started.Kill)
	return started
}

// Kill stops the node, its bus and its engine, as if the process had been killed: the other
// nodes receive no Bye.
func (n *Node) Kill() {
	_ = n.Bus.Close(context.Background())
	_ = n.Close()
	_ = n.Engine.Close()
	net := n.Bus.net
	net.mu.Lock()
	defer net.mu.Unlock()
	net.nodes = slices.DeleteFunc(net.nodes, func(other *Node) bool { return other == n })
}
