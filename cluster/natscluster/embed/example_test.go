package embed_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

// A seed, and a node that connects to it. In a real service they are separate processes.
func Example() {
	ctx := context.Background()
	seed, err := embed.Start(ctx, embed.WithClientListen("127.0.0.1:0"))
	if err != nil {
		log.Fatal(err)
	}
	defer seed.Close(ctx)
	other, err := natscluster.Connect(ctx, seed.ClientURL())
	if err != nil {
		log.Fatal(err)
	}
	defer other.Close(ctx)

	engines := []*occupancy.Engine{occupancy.New(), occupancy.New()}
	for i, bus := range []cluster.Bus{seed, other} {
		defer engines[i].Close()
		node, err := cluster.Start(ctx, engines[i], bus, cluster.WithName(fmt.Sprintf("chat-%d", i+1)))
		if err != nil {
			log.Fatal(err)
		}
		defer node.Close()
	}

	// One connection on each node: both nodes count two.
	_ = engines[0].Join("lobby")
	_ = engines[1].Join("lobby")
	lobby, err := engines[1].Subscribe("lobby")
	if err != nil {
		log.Fatal(err)
	}
	for event := range lobby.Events() {
		if event.Occupancy.Connections == 2 {
			fmt.Println("2 connections in the lobby")
			break
		}
	}
	// Output: 2 connections in the lobby
}

// One of three seeds. Each seed runs on its own machine. All seeds have the same list.
func ExampleStart() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var config *tls.Config // with RootCAs, and a certificate for this machine
	bus, err := embed.Start(ctx,
		embed.WithClusterListen("10.0.0.1:7222"),
		embed.WithSeeds("10.0.0.1:7222", "10.0.0.2:7222", "10.0.0.3:7222"),
		embed.WithClientListen("10.0.0.1:4222"),
		embed.WithTLS(config),
		embed.WithLogger(slog.Default()),
	)
	if err != nil {
		log.Print(err)
		return
	}
	defer bus.Close(context.Background())
}
