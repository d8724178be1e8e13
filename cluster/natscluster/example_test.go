package natscluster_test

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
)

// A seed and a node that connects to it; they would be processes of their own.
func Example() {
	ctx := context.Background()
	seed, err := natscluster.Embed(ctx, natscluster.WithClientListen("127.0.0.1:0"))
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

	// One connection on each: either tells of both.
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

// One of three seeds on three machines. The others have the same options.
func ExampleEmbed() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var config *tls.Config // the authority of these machines, and a certificate of this one
	bus, err := natscluster.Embed(ctx,
		natscluster.WithClusterListen("10.0.0.1:7222"),
		natscluster.WithSeeds("10.0.0.1:7222", "10.0.0.2:7222", "10.0.0.3:7222"),
		natscluster.WithClientListen("10.0.0.1:4222"),
		natscluster.WithTLS(config),
		natscluster.WithLogger(slog.Default()),
	)
	if err != nil {
		log.Print(err)
		return
	}
	defer bus.Close(context.Background())
}

// A node that is no seed knows some of them, and learns of the others.
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
}
