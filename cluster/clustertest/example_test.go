package clustertest_test

import (
	"fmt"
	"testing"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/occupancytest"
)

// A client connects to one of two nodes, and the other node counts it. In a bubble of
// testing/synctest, Settle and Want check all nodes at once.
func ExampleNetwork_StartNode() {
	t := new(testing.T) // in your test: its *testing.T

	net := clustertest.NewNetwork(1)
	one := net.StartNode(t, "chat-1", occupancy.New())
	two := net.StartNode(t, "chat-2", occupancy.New())
	defer two.Kill() // a *testing.T does this at the end of the test

	if err := one.Engine.Join("lobby"); err != nil {
		panic(err)
	}
	occupancytest.Wait(t, two.Engine, "lobby", occupancy.Occupancy{Connections: 1})
	fmt.Println("chat-2:", two.Engine.Current("lobby"))

	one.Kill()
	restarted := net.StartNode(t, "chat-1", occupancy.New())
	defer restarted.Kill()
	occupancytest.WaitEmpty(t, two.Engine)
	fmt.Println("chat-2:", two.Engine.Current("lobby"))
	// Output:
	// chat-2: {1 0 0}
	// chat-2: {0 0 0}
}
