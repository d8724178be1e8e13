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

// What the library refuses is shown as it says it.
func TestClusterRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"open to all":         {[]string{"-cluster-client", ":0"}, `":0" is not a loopback address: WithUser, WithToken or WithTLS is required`},
		"and where it's told": {[]string{"-cluster-client", ":0"}, "A token is taken from the environment variable CHAT_CLUSTER_TOKEN.\n"},
		"a taken port":        {[]string{"-cluster-client", taken.Addr().String()}, "address already in use"},
		"no seed":             {[]string{"-cluster-seeds", "elsewhere"}, "embed: WithSeeds: address elsewhere: missing port"},
		"a long name":         {[]string{"-name", strings.Repeat("x", 256)}, "cluster: name is over 255 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			args := append([]string{"-addr", "127.0.0.1:0", "-cluster", "-cluster-listen", "127.0.0.1:0", "-cluster-client", "127.0.0.1:0"}, test.args...)
			require.Equal(t, 1, run(t.Context(), args, &out))
			require.Contains(t, out.String(), test.says)
		})
	}
}

// A chat that is told to stop while it waits for its server stops.
func TestClusterWaitsForItsServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, nobody.Close())
	var out bytes.Buffer
	require.Zero(t, run(ctx, []string{"-addr", "127.0.0.1:0", "-nats", nobody.Addr().String()}, &out))
	require.NotContains(t, out.String(), "listening")
	require.Contains(t, out.String(), "stopped")
}

// The others drop what a chat that stops counted at once, and do not hear how its people
// left, which may take as long as they answer the goodbye.
func TestAChatThatStopsSaysByeFirst(t *testing.T) {
	bus, err := embed.Start(t.Context(), embed.WithClientListen("127.0.0.1:0"))
	require.NoError(t, err)
	defer bus.Close(context.Background())
	other := occupancy.New()
	defer other.Close()
	node, err := cluster.Start(t.Context(), other, bus)
	require.NoError(t, err)
	defer node.Close()

	l := patient
	l.closeWait = time.Second // several flushes, since nobody answers here
	s := startWith(t, l, clusterFlags{servers: bus.ClientURL()})
	const people = 3
	for range people {
		s.dial("lobby")
	}
	s.until(func() bool { return other.Current("lobby").Connections == people })
	sub, err := other.Subscribe("lobby")
	require.NoError(t, err)
	defer sub.Unsubscribe()
	require.Equal(t, people, (<-sub.Events()).Occupancy.Connections)
	left := make(chan []cluster.PeerHealth, 1) // when the others were told
	go func() {
		<-sub.Events()
		left <- node.Health().Peers
	}()
	s.stop()
	require.Empty(t, <-left)
	require.Zero(t, other.Current("lobby"))
}

func TestAloneThereIsOneNode(t *testing.T) {
	s := start(t, patient)
	code, body := s.get("/cluster")
	require.Equal(t, 200, code)
	require.JSONEq(t, `{"nodes":1}`, body)
}

// embedding is what the README shows of a service of many nodes.
func embedding(ctx context.Context, engine *occupancy.Engine, serve func()) error {
	// begin: cluster
	bus, err := embed.Start(ctx, embed.WithClientListen("127.0.0.1:4222")) // or natscluster.Connect, to a server that runs
	if err != nil {
		return err
	}
	defer bus.Close(context.Background())
	node, err := cluster.Start(ctx, engine, bus, cluster.WithName("chat-1"))
	if err != nil {
		return err
	}
	defer node.Close() // says Bye: the others drop this node's part at once
	serve()            // as before: Current, Subscribe and Watch now tell of all nodes
	// end: cluster
	return nil
}

var _ = embedding
