package rediscluster_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/rediscluster"
)

func TestBus_ReconnectsAfterKill(t *testing.T) {
	checkGoroutines(t)
	s, log := startRedis(t), new(bustest.Log)
	from, to := connect(t, s.option(), rediscluster.WithLogger(log.Logger())), connect(t, s.option())
	bustest.TestRestart(t, from, to, s.kill, s.start, rediscluster.ErrDisconnected)
	require.Equal(t, 3, log.Count(`level=WARN msg="disconnected from Redis"`))
	require.Equal(t, 3, log.Count(`level=WARN msg="connected to Redis"`))
}

func TestBus_DetectsStoppedServer(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	bustest.TestSilentServer(t, connect(t, s.option()), connect(t, s.option()), s.cmd.Process, rediscluster.ErrDisconnected)
}

// Redis closes the connection of a client that does not read fast enough.
func TestBus_ReconnectsAfterOutputBufferLimit(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t, "--client-output-buffer-limit", "pubsub", "1mb", "0", "0")
	p := bustest.NewProxy(t, s.addr)
	slow, from := connect(t, rueidis.ClientOption{InitAddress: []string{p.Addr()}}), connect(t, s.option())
	bustest.AwaitEvent(t, slow, cluster.Connected)
	in := bustest.Subscribe(t, slow, 1<<16, bustest.Digests)
	bustest.Receive(t, from, in, "before")

	p.Pause()
	large := make([]byte, from.MaxPayload())
	bustest.Eventually(t, "Redis has closed the connection", func() bool {
		_ = from.Publish(bustest.Context(t), bustest.Digests, large)
		return s.do("CLIENT", "LIST", "TYPE", "pubsub") != "" && !hasSubscriber(s)
	})
	p.Resume()
	bustest.AwaitEvent(t, slow, cluster.Disconnected)
	bustest.AwaitEvent(t, slow, cluster.Connected)
	bustest.Receive(t, from, in, "after")
}

func hasSubscriber(s *redisServer) bool {
	return s.do("PUBSUB", "NUMSUB", "occupancy.v1.digest.0") != "[occupancy.v1.digest.0 0]"
}

func TestConnect_RetriesUntilServerStarts(t *testing.T) {
	checkGoroutines(t)
	s, log := startRedis(t), new(bustest.Log)
	s.kill()
	connected := make(chan *rediscluster.Bus)
	go func() {
		b, err := rediscluster.Connect(bustest.Context(t), s.option(), rediscluster.WithLogger(log.Logger()))
		if err != nil {
			t.Error(err)
		}
		connected <- b
	}()
	bustest.Eventually(t, "logged", func() bool { return log.Count("refused") > 0 })
	s.start()
	if b := <-connected; b != nil {
		bustest.AwaitEvent(t, bustest.CloseAfter(t, b), cluster.Connected)
	}
}

func TestConnect_ReturnsWhenContextEnds(t *testing.T) {
	checkGoroutines(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := rediscluster.Connect(ctx, rueidis.ClientOption{InitAddress: []string{bustest.FreeAddr(t)}, Password: "secret"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "refused")
	require.NotContains(t, err.Error(), "secret")
}

// A node can start while Redis is down.
func TestConnect_WithBackgroundConnect_ReturnsDisconnectedBus(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	s.kill()
	b := connect(t, s.option(), rediscluster.WithBackgroundConnect())
	require.Equal(t, cluster.Disconnected, <-b.Events())
	require.Nil(t, b.Client())
	require.ErrorIs(t, b.Publish(bustest.Context(t), bustest.Digests, nil), rediscluster.ErrDisconnected)
	in := bustest.Subscribe(t, b, 64, bustest.Digests)
	s.start()
	require.Equal(t, cluster.Connected, <-b.Events())
	require.NotNil(t, b.Client())
	bustest.Receive(t, connect(t, s.option()), in, "after the start")
}

// Publish does not wait for the answers of Redis, and Close does.
func TestBus_CloseSendsWhatWasPublished(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	p := bustest.NewProxy(t, s.addr)
	const messages = 50
	b, in := connect(t, rueidis.ClientOption{InitAddress: []string{p.Addr()}}), bustest.Subscribe(t, connect(t, s.option()), messages, bustest.Digests)
	p.Pause()
	for n := range messages {
		require.NoError(t, b.Publish(bustest.Context(t), bustest.Digests, fmt.Append(nil, n)))
	}
	closed := make(chan error, 1)
	go func() { closed <- b.Close(bustest.Context(t)) }()
	select {
	case err := <-closed:
		t.Fatalf("Close returned before Redis had the messages: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	p.Resume()
	require.NoError(t, <-closed)
	for n := range messages {
		select {
		case m := <-in:
			require.Equal(t, fmt.Sprint(n), string(m.Payload))
		case <-bustest.Context(t).Done():
			t.Fatalf("message %d was lost", n)
		}
	}
	require.ErrorIs(t, b.Publish(bustest.Context(t), bustest.Digests, nil), occupancy.ErrClosed)
	_, err := b.Subscribe(bustest.Context(t), []cluster.Subject{bustest.Digests}, make(chan cluster.Message, 1))
	require.ErrorIs(t, err, occupancy.ErrClosed)
}

func TestBus_CloseReturnsWhenContextEnds(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	p := bustest.NewProxy(t, s.addr)
	b := connect(t, rueidis.ClientOption{InitAddress: []string{p.Addr()}})
	p.Pause()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, b.Close(ctx), context.Canceled)
}

func TestBus_UnsubscribesFromUnusedChannels(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	b := connect(t, s.option())
	first, err := b.Subscribe(bustest.Context(t), []cluster.Subject{bustest.Digests}, make(chan cluster.Message, 1))
	require.NoError(t, err)
	second, err := b.Subscribe(bustest.Context(t), []cluster.Subject{bustest.Digests}, make(chan cluster.Message, 1))
	require.NoError(t, err)
	require.NoError(t, first.Close())
	bustest.Subscribe(t, b, 1, bustest.Heartbeats)
	require.True(t, hasSubscriber(s))
	require.NoError(t, second.Close())
	bustest.Eventually(t, "unsubscribed", func() bool { return !hasSubscriber(s) })
}

func TestNew_CloseKeepsClient(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	client, err := rueidis.NewClient(s.option())
	require.NoError(t, err)
	defer client.Close()
	log := new(bustest.Log)
	b, err := rediscluster.New(client, rediscluster.WithLogger(log.Logger()))
	require.NoError(t, err)
	bustest.AwaitEvent(t, b, cluster.Connected)
	require.True(t, log.Contains(`msg="connected to Redis" server=`+s.addr))
	bustest.Receive(t, b, bustest.Subscribe(t, b, 64, bustest.Digests), "counts")
	require.NoError(t, b.Close(bustest.Context(t)))
	require.NoError(t, client.Do(bustest.Context(t), client.B().Ping().Build()).Error())
	bustest.Eventually(t, "unsubscribed", func() bool { return !hasSubscriber(s) })
}

// Three nodes count together, and again after Redis was killed.
func TestNodes_CountTogether(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	var engines []*occupancy.Engine
	for i := range 3 {
		eng := occupancy.New()
		t.Cleanup(func() { _ = eng.Close() })
		bus := connect(t, s.option())
		node, err := cluster.Start(bustest.Context(t), eng, bus, cluster.WithName(fmt.Sprint("chat-", i)))
		require.NoError(t, err)
		t.Cleanup(func() { _ = node.Close() })
		require.NoError(t, node.Ready(bustest.Context(t)))
		engines = append(engines, eng)
	}
	for _, want := range []int{3, 6} {
		for _, eng := range engines {
			require.NoError(t, eng.Join("lobby"))
		}
		for _, eng := range engines {
			bustest.Eventually(t, "every node counts all connections", func() bool { return eng.Current("lobby").Connections == want })
		}
		s.kill()
		s.start()
	}
}
