package main

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

// The errors of the cluster packages are printed, and which flags they are about.
func TestClusterErrorsArePrinted(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for name, test := range map[string]struct {
		args    []string
		message string
	}{
		"no authentication": {[]string{"-cluster-client", ":0"}, `":0" is not a loopback address: WithUser, WithToken or WithTLS is required`},
		"hint":              {[]string{"-cluster-client", ":0"}, "The token is read from the environment variable CHAT_CLUSTER_TOKEN.\n"},
		"port in use":       {[]string{"-cluster-client", taken.Addr().String()}, "address already in use"},
		"address of a seed": {[]string{"-cluster-seeds", "elsewhere"}, "WithSeeds: address elsewhere: missing port"},
		"long name":         {[]string{"-name", strings.Repeat("x", 256)}, "cluster: WithName: the name must be UTF-8 of at most 255 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			args := append([]string{"-addr", "127.0.0.1:0", "-cluster", "-cluster-listen", "127.0.0.1:0", "-cluster-client", "127.0.0.1:0"}, test.args...)
			require.Equal(t, 1, run(t.Context(), args, &out))
			require.Contains(t, out.String(), test.message)
		})
	}
}

func TestStopsWhileWaitingForNATS(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, unused.Close())
	var out bytes.Buffer
	require.Zero(t, run(ctx, []string{"-addr", "127.0.0.1:0", "-nats", unused.Addr().String()}, &out))
	require.NotContains(t, out.String(), "listening")
	require.Contains(t, out.String(), "stopped")
}

// A chat that stops leaves the cluster before its clients disconnect, which may take
// closeWait. So the other chats receive one event.
func TestStop_LeavesClusterFirst(t *testing.T) {
	bus, err := embed.Start(t.Context(), embed.WithClientListen("127.0.0.1:0"))
	require.NoError(t, err)
	defer bus.Close(context.Background())
	other := occupancy.New()
	defer other.Close()
	node, err := cluster.Start(t.Context(), other, bus)
	require.NoError(t, err)
	defer node.Close()

	l := noTimeouts
	l.closeWait = time.Second // several flushes: the clients do not answer the close frames
	s := startWith(t, l, clusterFlags{servers: bus.ClientURL()})
	const clients = 3
	for range clients {
		s.dial("lobby")
	}
	s.until(func() bool { return other.Current("lobby").Connections == clients })
	sub, err := other.Subscribe("lobby")
	require.NoError(t, err)
	defer sub.Unsubscribe()
	require.Equal(t, clients, (<-sub.Events()).Occupancy.Connections)
	peers := make(chan []cluster.PeerHealth, 1) // at the first event
	go func() {
		<-sub.Events()
		peers <- node.Health().Peers
	}()
	s.stop()
	require.Empty(t, <-peers)
	require.Zero(t, other.Current("lobby"))
}

func TestHealth_WithoutCluster(t *testing.T) {
	s := start(t, noTimeouts)
	code, body := s.get("/cluster")
	require.Equal(t, 200, code)
	require.JSONEq(t, `{"nodes":1}`, body)
}

// embedding contains the code that the README shows.
func embedding(ctx context.Context, engine *occupancy.Engine, serve func()) error {
	// begin: cluster
	bus, err := embed.Start(ctx, embed.WithClientListen("127.0.0.1:4222")) // or natscluster.Connect to a running server
	if err != nil {
		return err
	}
	defer bus.Close(context.Background())
	node, err := cluster.Start(ctx, engine, bus, cluster.WithName("chat-1"))
	if err != nil {
		return err
	}
	defer node.Close() // the other nodes drop this node's counts immediately
	serve()            // your server; Current, Subscribe and Watch now include all nodes
	// end: cluster
	return nil
}

var _ = embedding
