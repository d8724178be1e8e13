package natscluster_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

// A seed and a node that connects to it; both would be in processes of their own.
func Example() {
	ctx := context.Background()
	seed, err := natscluster.Embed(ctx, natscluster.WithClientListen("127.0.0.1:0"))
	if err != nil {
		log.Fatal(err)
	}
	defer seed.Close(ctx)
	node, err := natscluster.Connect(ctx, seed.ClientURL())
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close(ctx)

	// What follows is what cluster.Start does with a Bus.
	news := cluster.Subject{Kind: cluster.KindDigest}
	in := make(chan cluster.Message, 64)
	if _, err := node.Subscribe(ctx, []cluster.Subject{news}, in); err != nil {
		log.Fatal(err)
	}
	if err := seed.Publish(ctx, news, []byte("lobby: 3")); err != nil {
		log.Fatal(err)
	}
	m := <-in
	fmt.Println(m.Subject, string(m.Payload))
	// Output: digest.0 lobby: 3
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
