package natscluster_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

// Connect a node to the NATS servers of a service. The list contains two servers.
func ExampleConnect() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	bus, err := natscluster.Connect(ctx, "nats://10.0.0.1:4222,nats://10.0.0.2:4222",
		natscluster.WithNATS(nats.Token("a secret"), nats.Name("chat-4")),
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

// A program that already uses NATS passes its own connection.
func ExampleNew() {
	conn, err := nats.Connect("nats://10.0.0.1:4222", nats.MaxReconnects(-1), nats.FlusherTimeout(2*time.Second))
	if err != nil {
		log.Print(err)
		return
	}
	defer conn.Close()
	bus, err := natscluster.New(conn, natscluster.WithPrefix("chat"))
	if err != nil {
		log.Print(err)
		return
	}
	defer bus.Close(context.Background()) // does not close the connection
	engine := occupancy.New()
	defer engine.Close()
	node, err := cluster.Start(context.Background(), engine, bus, cluster.WithName("chat-4"))
	if err != nil {
		log.Print(err)
		return
	}
	defer node.Close()
}

// A node starts although NATS is down. It is degraded until NATS is up.
func ExampleConnect_retryOnFailedConnect() {
	ctx := context.Background()
	bus, err := natscluster.Connect(ctx, unusedAddress(), natscluster.WithNATS(nats.RetryOnFailedConnect(true)))
	if err != nil {
		log.Fatal(err)
	}
	defer bus.Close(ctx)
	engine := occupancy.New()
	defer engine.Close()
	node, err := cluster.Start(ctx, engine, bus)
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	fmt.Println(node.Health().Reasons[0].Text)
	// Output: the bus is disconnected
}

// unusedAddress returns an address on which nothing listens.
func unusedAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Connect retries until its context ends, so a node can start before its NATS server.
func ExampleConnect_unreachable() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := natscluster.Connect(ctx, unusedAddress())
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}
