package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/trending"
)

// Two processes of a service. In this example, both run in one process. Each of them has
// its own engine and its own Bus.
func Example() {
	net := clustertest.NewNetwork(1)
	serve := func(name string) (*occupancy.Engine, *cluster.Node) {
		engine := occupancy.New()
		node, err := cluster.Start(context.Background(), engine, net.Bus(name), cluster.WithName(name))
		if err != nil {
			panic(err)
		}
		return engine, node
	}
	one, node1 := serve("chat-1")
	two, node2 := serve("chat-2")
	defer node2.Close()

	events, err := two.Subscribe("lobby")
	if err != nil {
		panic(err)
	}
	fmt.Println("chat-2:", (<-events.Events()).Occupancy)

	alice, err := one.Connect("lobby") // a client connects to chat-1
	if err != nil {
		panic(err)
	}
	defer alice.Close()
	fmt.Println("chat-2:", (<-events.Events()).Occupancy)

	node1.Close() // chat-1 leaves
	fmt.Println("chat-2:", (<-events.Events()).Occupancy)
	// Output:
	// chat-2: {0 0 0}
	// chat-2: {1 0 0}
	// chat-2: {0 0 0}
}

// Get queries every node. Its error contains the names of the nodes that did not answer.
func ExamplePartialError() {
	net := clustertest.NewNetwork(1)
	engines := map[string]*occupancy.Engine{}
	for _, name := range []string{"chat-1", "chat-2", "chat-3"} {
		engine := occupancy.New()
		node, err := cluster.Start(context.Background(), engine, net.Bus(name),
			cluster.WithName(name), cluster.WithHeartbeat(20*time.Millisecond), cluster.WithLease(time.Minute))
		if err != nil {
			panic(err)
		}
		defer node.Close()
		engines[name] = engine
		if err := engine.Join("lobby"); err != nil {
			panic(err)
		}
		waitFor(func() bool { return engines["chat-1"].Current("lobby").Connections == len(engines) })
	}
	net.Partition([]string{"chat-3"})

	sum, err := engines["chat-1"].Get(context.Background(), "lobby")
	var partial *cluster.PartialError
	if errors.As(err, &partial) {
		fmt.Println("no answer from", partial.Missing)
	}
	fmt.Println("sum with its last received counts:", sum.Connections)
	// Output:
	// no answer from [chat-3]
	// sum with its last received counts: 3
}

// A load balancer can check whether the counts of a node are up to date.
func ExampleNode_Health() {
	net := clustertest.NewNetwork(1)
	engine, bus := occupancy.New(), net.Bus("chat-1")
	node, err := cluster.Start(context.Background(), engine, bus,
		cluster.WithName("chat-1"), cluster.WithHeartbeat(20*time.Millisecond))
	if err != nil {
		panic(err)
	}
	defer node.Close()

	fmt.Println("at first, degraded:", node.Health().Degraded)
	waitFor(func() bool { return !node.Health().Degraded })
	bus.Disconnect()
	waitFor(func() bool { return node.Health().Degraded })
	fmt.Println("disconnected, degraded:", node.Health().Degraded)
	// Output:
	// at first, degraded: true
	// disconnected, degraded: true
}

// waitFor waits until the condition is true.
func waitFor(condition func() bool) {
	for !condition() {
		time.Sleep(time.Millisecond)
	}
}

// All nodes show the same trending rooms.
func ExampleWithTrending() {
	ctx, net := context.Background(), clustertest.NewNetwork(1)
	var engines []*occupancy.Engine
	var boards []*trending.Board
	for _, name := range []string{"chat-1", "chat-2"} {
		engine, bus := occupancy.New(), net.Bus(name)
		defer engine.Close()
		// begin: trending
		board := trending.New(engine)
		defer board.Close()
		node, err := cluster.Start(ctx, engine, bus, cluster.WithTrending(board))
		// end: trending
		if err != nil {
			fmt.Println(err)
			return
		}
		defer node.Close()
		_ = node.Ready(ctx)
		board.Import(nil, true) // for this example: end the warm-up
		engines, boards = append(engines, engine), append(boards, board)
	}
	for range 20 {
		_ = engines[0].Join("party")
	}
	for rooms := range boards[1].Subscribe(trending.Trending, 10).Rooms() {
		if len(rooms) > 0 {
			fmt.Println("chat-2 lists:", rooms[0].Name)
			break
		}
	}
	// Output: chat-2 lists: party
}

// A service in which the nodes receive only the rooms of their own clients. Two of the nodes are also
// aggregators. A lobby shows the largest rooms of the whole service.
func ExampleWithSharding() {
	net := clustertest.NewNetwork(1)
	start := func(name string, opts ...cluster.Option) (*occupancy.Engine, *cluster.Node) {
		engine := occupancy.New()
		opts = append(opts, cluster.WithName(name), cluster.WithSharding())
		node, err := cluster.Start(context.Background(), engine, net.Bus(name), opts...)
		if err != nil {
			panic(err)
		}
		return engine, node
	}
	one, node1 := start("chat-1", cluster.WithAggregator())
	defer node1.Close()
	_, node2 := start("chat-2", cluster.WithAggregator())
	defer node2.Close()
	three, node3 := start("chat-3")
	defer node3.Close()
	if err := node3.Ready(context.Background()); err != nil {
		panic(err)
	}

	watch, err := three.Subscribe("go")
	if err != nil {
		panic(err)
	}
	defer watch.Unsubscribe()
	for _, room := range []string{"go", "go", "rust"} {
		if err := one.Join(room); err != nil {
			panic(err)
		}
	}
	for e := range watch.Events() {
		if e.Occupancy.Connections == 2 {
			break // chat-3 is interested in this room because of its subscription
		}
	}
	fmt.Println(three.Current("go").Connections, three.Current("rust").Connections)
	rust, err := three.Get(context.Background(), "rust") // queries the aggregator of the room
	fmt.Println(rust.Connections, err)
	top, err := node3.Top(context.Background(), 10)
	if err != nil {
		panic(err)
	}
	for _, room := range top {
		fmt.Println(room.Room, room.Connections)
	}
	// Output:
	// 2 0
	// 1 <nil>
	// go 2
	// rust 1
}
