package embed_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

// listenOn makes a server listen on addr, so that it can be restarted there.
func listenOn(addr string) func(*server.Options) {
	return func(o *server.Options) {
		_, port, _ := net.SplitHostPort(addr)
		o.Port, _ = strconv.Atoi(port)
	}
}

func TestBus_ReconnectsAfterServerRestart(t *testing.T) {
	checkGoroutines(t)
	addr := bustest.FreeAddr(t)
	s := startServer(t, listenOn(addr))
	bustest.TestRestart(t, connect(t, addr), connect(t, addr), func() {
		s.Shutdown()
		s.WaitForShutdown()
	}, func() { s = startServer(t, listenOn(addr)) }, natscluster.ErrDisconnected)
}

// The NATS client holds its lock while it waits for the first line of a server.
func TestBus_DoesNotWaitForDial(t *testing.T) {
	checkGoroutines(t)
	addr := bustest.FreeAddr(t)
	s := startServer(t, listenOn(addr))
	b, err := natscluster.Connect(bustest.Context(t), s.ClientURL())
	require.NoError(t, err)
	bustest.AwaitEvent(t, b, cluster.Connected)
	s.Shutdown()
	s.WaitForShutdown()
	silent, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	defer silent.Close()
	bustest.AwaitEvent(t, b, cluster.Disconnected)
	bustest.Eventually(t, "all return within 1 s although the dial takes 2 s", func() bool {
		conn, err := silent.Accept()
		require.NoError(t, err)
		defer conn.Close()
		start := time.Now()
		require.ErrorIs(t, b.Publish(bustest.Context(t), bustest.Digests, nil), natscluster.ErrDisconnected)
		require.Equal(t, 1<<20, b.MaxPayload())
		return time.Since(start) < time.Second
	})
	conn, err := silent.Accept()
	require.NoError(t, err)
	defer conn.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, b.Close(ctx), context.Canceled)
	require.NoError(t, b.Close(bustest.Context(t)))
}

func TestBus_DetectsStoppedServer(t *testing.T) {
	checkGoroutines(t)
	url, process := startProcess(t)
	bustest.TestSilentServer(t, connect(t, url), connect(t, url), process, natscluster.ErrDisconnected)
}

// A write that is interrupted has sent only a part of a message. The server must not read the next
// message as the rest of it.
func TestBus_ReconnectsAfterInterruptedWrite(t *testing.T) {
	checkGoroutines(t)
	s := startServer(t, nil)
	p := bustest.NewProxy(t, s.Addr().String())
	b, other := connect(t, p.Addr()), connect(t, s.ClientURL())
	in := bustest.Subscribe(t, other, 1<<16, bustest.Digests)
	bustest.AwaitEvent(t, b, cluster.Connected)
	p.Pause()
	large := make([]byte, b.MaxPayload())
	for b.Publish(bustest.Context(t), bustest.Heartbeats, large) == nil {
	}
	p.Resume()
	for range 3 {
		_ = b.Publish(bustest.Context(t), bustest.Heartbeats, large)
	}
	bustest.AwaitEvent(t, b, cluster.Disconnected)
	bustest.AwaitEvent(t, b, cluster.Connected)
	bustest.Receive(t, b, in, "after")
}

func TestBus_ReconnectsAfterUnauthorized(t *testing.T) {
	checkGoroutines(t)
	addr := bustest.FreeAddr(t)
	tokenOption := func(token string) func(*server.Options) {
		return func(o *server.Options) { listenOn(addr)(o); o.Authorization = token }
	}
	s := startServer(t, tokenOption("ours"))
	p, log, start := bustest.NewProxy(t, s.Addr().String()), new(bustest.Log), time.Now()
	b := connect(t, p.Addr(), natscluster.WithNATS(nats.Token("ours")), natscluster.WithLogger(log.Logger()))
	bustest.AwaitEvent(t, b, cluster.Connected)
	s.Shutdown()

	s = startServer(t, tokenOption("another"))
	bustest.AwaitEvent(t, b, cluster.Disconnected)
	// By default the NATS client gives up after the second refusal.
	bustest.Eventually(t, "logged", func() bool { return log.Contains("unauthorized: check the credentials") })
	before := p.Accepted()
	bustest.Eventually(t, "refused more than twice", func() bool { return p.Accepted() > before+3 })
	logged := log.Count("unauthorized")
	require.LessOrEqual(t, logged, 1+int(time.Since(start)/(10*time.Second)), "logged again after 10 s only")
	s.Shutdown()
	s.WaitForShutdown()

	startServer(t, tokenOption("ours"))
	bustest.AwaitEvent(t, b, cluster.Connected)
}

func TestBus_LogsFailedReconnect(t *testing.T) {
	checkGoroutines(t)
	s, log := startServer(t, nil), new(bustest.Log)
	connect(t, s.ClientURL(), natscluster.WithLogger(log.Logger()))
	s.Shutdown()
	bustest.Eventually(t, "logged", func() bool {
		return log.Contains("disconnected from NATS") && log.Contains("cannot connect to NATS, retrying") && log.Contains("refused")
	})
}

func TestConnect_RetriesUntilServerStarts(t *testing.T) {
	checkGoroutines(t)
	addr := bustest.FreeAddr(t)
	log := new(bustest.Log)
	connected := make(chan *natscluster.Bus)
	go func() {
		b, err := natscluster.Connect(bustest.Context(t), "nats://"+addr, natscluster.WithLogger(log.Logger()))
		if err != nil {
			t.Error(err)
		}
		connected <- b
	}()
	bustest.Eventually(t, "logged", func() bool { return log.Contains("cannot connect to NATS, retrying") })
	startServer(t, listenOn(addr))
	if b := <-connected; b != nil {
		bustest.AwaitEvent(t, bustest.CloseAfter(t, b), cluster.Connected)
	}
}

// With nats.RetryOnFailedConnect, a node can start while NATS is down.
func TestConnect_RetryOnFailedConnect_ReturnsDisconnectedBus(t *testing.T) {
	checkGoroutines(t)
	addr := bustest.FreeAddr(t)
	log := new(bustest.Log)
	b := connect(t, "nats://"+addr, natscluster.WithLogger(log.Logger()), natscluster.WithNATS(nats.RetryOnFailedConnect(true)))
	require.Equal(t, cluster.Disconnected, <-b.Events())
	require.Equal(t, cluster.MinPayload, b.MaxPayload())
	require.ErrorIs(t, b.Publish(bustest.Context(t), bustest.Digests, nil), natscluster.ErrDisconnected)
	in := bustest.Subscribe(t, b, 64, bustest.Digests)
	bustest.Eventually(t, "logged", func() bool { return log.Contains("cannot connect to NATS, retrying") })

	s := startServer(t, listenOn(addr))
	require.Equal(t, cluster.Connected, <-b.Events())
	require.Equal(t, 1<<20, b.MaxPayload())
	bustest.Receive(t, connect(t, s.ClientURL()), in, "after the start")
}

func TestConnect_ReturnsWhenContextEnds(t *testing.T) {
	checkGoroutines(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	for name, addr := range map[string]string{"nothing listens": bustest.FreeAddr(t), "the server does not answer": silent.Addr().String()} {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := natscluster.Connect(ctx, "nats://user:secret@"+addr)
		t.Logf("%s: %v, after %v", name, err, time.Since(start))
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
		require.ErrorContains(t, err, "cannot reach any seed", name)
		require.NotContains(t, err.Error(), "secret")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = natscluster.Connect(ctx, startServer(t, nil).ClientURL())
	require.ErrorIs(t, err, context.Canceled)
}

func smallPayload(o *server.Options) { o.MaxPayload = cluster.MinPayload - 1 }

func TestConnect_RejectsServerWithSmallPayload(t *testing.T) {
	checkGoroutines(t)
	_, err := natscluster.Connect(bustest.Context(t), startServer(t, smallPayload).ClientURL())
	require.ErrorContains(t, err, fmt.Sprintf("maximum payload of %d bytes is too small: increase it to at least %d", cluster.MinPayload-1, cluster.MinPayload))
}

func TestBus_MaxPayloadFollowsServer(t *testing.T) {
	checkGoroutines(t)
	addr := bustest.FreeAddr(t)
	s := startServer(t, listenOn(addr))
	b := connect(t, s.ClientURL())
	require.Equal(t, 1<<20, b.MaxPayload())
	bustest.AwaitEvent(t, b, cluster.Connected)
	s.Shutdown()
	s.WaitForShutdown()
	startServer(t, func(o *server.Options) { listenOn(addr)(o); o.MaxPayload = 2 * cluster.MinPayload })
	bustest.AwaitEvent(t, b, cluster.Connected)
	require.Equal(t, 2*cluster.MinPayload, b.MaxPayload())
	require.ErrorIs(t, b.Publish(bustest.Context(t), bustest.Digests, make([]byte, 2*cluster.MinPayload+1)), natscluster.ErrTooLarge)
	require.Equal(t, 2*cluster.MinPayload, b.MaxPayload())
}
