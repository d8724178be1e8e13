package rediscluster_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/redis/rueidis"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/rediscluster"
)

// Connect a node to a Redis server.
func ExampleConnect() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	option, err := rueidis.ParseURL("rediss://chat:secret@10.0.0.1:6379") // rediss is Redis with TLS
	if err != nil {
		log.Print(err)
		return
	}
	bus, err := rediscluster.Connect(ctx, option)
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

// A program that already uses Redis passes its own client.
func ExampleNew() {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{"10.0.0.1:6379"}})
	if err != nil {
		log.Print(err)
		return
	}
	defer client.Close()
	bus, err := rediscluster.New(client, rediscluster.WithPrefix("chat"))
	if err != nil {
		log.Print(err)
		return
	}
	defer bus.Close(context.Background()) // does not close the client
}

// The primary of a service with Sentinels.
func ExampleConnect_sentinel() {
	bus, err := rediscluster.Connect(context.Background(), rueidis.ClientOption{
		InitAddress: []string{"10.0.0.1:26379", "10.0.0.2:26379", "10.0.0.3:26379"},
		Sentinel:    rueidis.SentinelOption{MasterSet: "chat"},
	})
	if err != nil {
		log.Print(err)
		return
	}
	defer bus.Close(context.Background())
}

// A node starts although Redis is down. It is degraded until Redis is up.
func ExampleWithBackgroundConnect() {
	ctx := context.Background()
	nothing := rueidis.ClientOption{InitAddress: []string{"127.0.0.1:1"}}
	bus, err := rediscluster.Connect(ctx, nothing, rediscluster.WithBackgroundConnect())
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
