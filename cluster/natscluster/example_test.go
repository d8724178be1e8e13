package natscluster_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

// Connect a node to the NATS servers of a service. The list contains two servers.
func ExampleConnect() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	bus, err := natscluster.Connect(ctx, "nats://10.0.0.1:4222,nats://10.0.0.2:4222",
		natscluster.WithToken("a secret"),
		natscluster.WithName("chat-4"),
	)
	if err != nil {
		log.Print(err)
		return
	}
	defer bus.Close(context.Background())
	engine := occupancy.New()
	defer engine.Close()
	node, err := cluster.Start(ctx, engine, bus, cluster.WithName("chat-4"))
	if err != nil {
		log.Print(err)
		return
	}
	defer node.Close()
}

// Connect retries until its context ends, so a node can start before its NATS server.
func ExampleConnect_unreachable() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	unused := l.Addr().String()
	_ = l.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err = natscluster.Connect(ctx, unused)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}
