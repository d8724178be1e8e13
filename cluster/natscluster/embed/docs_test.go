package embed_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

// The regions of this file are shown in docs/cluster.md.

func runOneSeed(ctx context.Context, engine *occupancy.Engine, clientAddr string, serve func()) error {
	// begin: seed
	bus, err := embed.Start(ctx, embed.WithClientListen(clientAddr)) // for example "127.0.0.1:4222"
	if err != nil {
		return err
	}
	defer bus.Close(context.Background())
	node, err := cluster.Start(ctx, engine, bus, cluster.WithName("chat-1"))
	if err != nil {
		return err
	}
	defer node.Close()                      // the other nodes remove the counts of this node at once
	if err := node.Ready(ctx); err != nil { // until the counts of the other nodes have arrived
		return err
	}
	serve() // as without a cluster: Current, Subscribe and Watch now include all nodes
	// end: seed
	return nil
}

func runOther(ctx context.Context, engine *occupancy.Engine, urls string, serve func()) error {
	// begin: connect
	bus, err := natscluster.Connect(ctx, urls) // for example "nats://localhost:4222"
	if err != nil {
		return err
	}
	defer bus.Close(context.Background())
	node, err := cluster.Start(ctx, engine, bus, cluster.WithName("chat-2"))
	if err != nil {
		return err
	}
	defer node.Close()
	if err := node.Ready(ctx); err != nil { // until the counts of the other nodes have arrived
		return err
	}
	serve()
	// end: connect
	return nil
}

func startOneOfThree(ctx context.Context, clusterAddr, clientAddr string, seeds []string, config *tls.Config, secret string) (*embed.Bus, error) {
	// begin: seeds
	bus, err := embed.Start(ctx,
		embed.WithClusterListen(clusterAddr), // "10.0.0.1:6222", for the other seeds
		embed.WithSeeds(seeds...),            // "10.0.0.1:6222", "10.0.0.2:6222", "10.0.0.3:6222"
		embed.WithClientListen(clientAddr),   // "10.0.0.1:4222", for the nodes that are not seeds
		embed.WithTLS(config),                // RootCAs, and Certificates for this machine
		embed.WithToken(secret),              // the same for all nodes
	)
	// end: seeds
	return bus, err
}

func connectToThree(ctx context.Context, urls string, config *tls.Config, secret string) (*natscluster.Bus, error) {
	// begin: secure
	bus, err := natscluster.Connect(ctx, urls, // "nats://10.0.0.1:4222,nats://10.0.0.2:4222,nats://10.0.0.3:4222"
		natscluster.WithNATS(nats.Secure(config), nats.Token(secret))) // with RootCAs
	// end: secure
	return bus, err
}

func handleReady(mux *http.ServeMux, node *cluster.Node) {
	// begin: ready
	mux.Handle("GET /ready", node)
	// end: ready
}

// running is a node that one of the functions above runs.
type running struct {
	*occupancy.Engine
	stop func()
}

func start(t *testing.T, run func(engine *occupancy.Engine, serve func()) error) running {
	engine := occupancy.New()
	served, stopped := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := run(engine, func() { close(served); <-stopped }); err != nil {
			t.Error(err)
			close(served)
		}
	})
	<-served
	stop := sync.OnceFunc(func() { close(stopped); wg.Wait() })
	t.Cleanup(func() { stop(); _ = engine.Close() })
	return running{engine, stop}
}

func TestDocs_SeedAndOtherNodeCountTogether(t *testing.T) {
	checkGoroutines(t)
	addr := bustest.FreeAddr(t)
	seed := start(t, func(e *occupancy.Engine, serve func()) error { return runOneSeed(bustest.Context(t), e, addr, serve) })
	other := start(t, func(e *occupancy.Engine, serve func()) error {
		return runOther(bustest.Context(t), e, "nats://"+addr, serve)
	})
	require.NoError(t, seed.Join("lobby"))
	require.NoError(t, other.Join("lobby"))
	for _, n := range []running{seed, other} {
		bustest.Eventually(t, "both connections are counted", func() bool { return n.Current("lobby").Connections == 2 })
	}
	other.stop()
	bustest.Eventually(t, "the stopped node's connection is removed", func() bool { return seed.Current("lobby").Connections == 1 })
}

func TestDocs_ThreeSeedsWithTLS(t *testing.T) {
	checkGoroutines(t)
	ca := bustest.NewAuthority(t)
	addrs := []string{bustest.FreeAddr(t), bustest.FreeAddr(t), bustest.FreeAddr(t)}
	var urls []string
	for _, addr := range addrs {
		s, err := startOneOfThree(bustest.Context(t), addr, "127.0.0.1:0", addrs, ca.NodeConfig(), "secret")
		require.NoError(t, err)
		bustest.CloseAfter(t, s)
		urls = append(urls, s.ClientURL())
	}
	a, err := connectToThree(bustest.Context(t), urls[0], ca.NodeConfig(), "secret")
	require.NoError(t, err)
	bustest.CloseAfter(t, a)
	b, err := connectToThree(bustest.Context(t), strings.Join(urls[1:], ","), ca.NodeConfig(), "secret")
	require.NoError(t, err)
	bustest.CloseAfter(t, b)
	bustest.Receive(t, a, bustest.Subscribe(t, b, 64, bustest.Digests), "through two seeds")
}

func TestDocs_ReadyUntilClose(t *testing.T) {
	checkGoroutines(t)
	engine, bus := occupancy.New(), startSeed(t)
	defer engine.Close()
	node, err := cluster.Start(bustest.Context(t), engine, bus)
	require.NoError(t, err)
	defer node.Close()
	mux := http.NewServeMux()
	handleReady(mux, node)
	code := func() int {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ready", nil))
		return w.Code
	}
	require.Equal(t, http.StatusServiceUnavailable, code(), "not synchronized yet")
	bustest.Eventually(t, "ready", func() bool { return code() == http.StatusOK })
	require.NoError(t, node.Close())
	require.Equal(t, http.StatusServiceUnavailable, code())
}
