package rediscluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/testproxy"
	"github.com/occupancy/occupancy/cluster/rediscluster"
)

func TestBus_ReconnectsAfterKill(t *testing.T) {
	checkGoroutines(t)
	s, log := startRedis(t), new(logBuffer)
	from, to := connect(t, s.option(), log.option()), connect(t, s.option())
	awaitEvent(t, from, cluster.Connected)
	awaitEvent(t, to, cluster.Connected)
	in := subscribe(t, to, 1<<16, digests)
	for round := range 3 {
		receive(t, from, in, fmt.Sprint("before ", round))

		// The bus notices the disconnection while these messages are published.
		stop, wg := make(chan struct{}), new(sync.WaitGroup)
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_ = from.Publish(context.Background(), heartbeats, []byte("possibly lost"))
					}
				}
			})
		}
		s.kill()
		awaitEvent(t, from, cluster.Disconnected)
		awaitEvent(t, to, cluster.Disconnected)
		close(stop)
		wg.Wait()
		require.ErrorIs(t, from.Publish(timeoutContext(t), digests, []byte("lost")), rediscluster.ErrDisconnected)
		whileDisconnected := subscribe(t, to, 1<<16, digests) // active when the bus is connected again

		s.start()
		awaitEvent(t, from, cluster.Connected)
		awaitEvent(t, to, cluster.Connected)
		receive(t, from, in, fmt.Sprint("after ", round))
		receive(t, from, whileDisconnected, fmt.Sprint("again after ", round))
	}
	require.Equal(t, 3, log.count(`level=WARN msg="disconnected from Redis"`))
	require.Equal(t, 3, log.count(`level=WARN msg="connected to Redis"`))
}

// Redis does not answer any more, but its connections remain open.
func TestBus_DetectsStoppedServer(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	from, to := connect(t, s.option()), connect(t, s.option())
	awaitEvent(t, from, cluster.Connected)
	awaitEvent(t, to, cluster.Connected)
	in := subscribe(t, to, 1<<16, digests)
	receive(t, from, in, "before")

	require.NoError(t, s.cmd.Process.Signal(syscall.SIGSTOP))
	stopped := time.Now()
	eventually(t, "disconnected", func() bool {
		return errors.Is(from.Publish(context.Background(), heartbeats, nil), rediscluster.ErrDisconnected)
	})
	awaitEvent(t, to, cluster.Disconnected)
	t.Logf("detected after %v", time.Since(stopped))

	require.NoError(t, s.cmd.Process.Signal(syscall.SIGCONT))
	awaitEvent(t, from, cluster.Disconnected)
	awaitEvent(t, from, cluster.Connected)
	awaitEvent(t, to, cluster.Connected)
	receive(t, from, in, "after")
}

// Redis closes the connection of a client that does not read fast enough.
func TestBus_ReconnectsAfterOutputBufferLimit(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t, "--client-output-buffer-limit", "pubsub", "1mb", "0", "0")
	p := testproxy.New(t, s.addr)
	slow, from := connect(t, rueidis.ClientOption{InitAddress: []string{p.Addr()}}), connect(t, s.option())
	awaitEvent(t, slow, cluster.Connected)
	in := subscribe(t, slow, 1<<16, digests)
	receive(t, from, in, "before")

	p.Pause()
	large := make([]byte, from.MaxPayload())
	eventually(t, "Redis has closed the connection", func() bool {
		_ = from.Publish(timeoutContext(t), digests, large)
		return s.do("CLIENT", "LIST", "TYPE", "pubsub") != "" && !hasSubscriber(s)
	})
	p.Resume()
	awaitEvent(t, slow, cluster.Disconnected)
	awaitEvent(t, slow, cluster.Connected)
	receive(t, from, in, "after")
}

func hasSubscriber(s *redisServer) bool {
	return s.do("PUBSUB", "NUMSUB", "occupancy.v1.digest.0") != "[occupancy.v1.digest.0 0]"
}

func TestConnect_RetriesUntilServerStarts(t *testing.T) {
	checkGoroutines(t)
	s, log := startRedis(t), new(logBuffer)
	s.kill()
	connected := make(chan *rediscluster.Bus)
	go func() {
		b, err := rediscluster.Connect(timeoutContext(t), s.option(), log.option())
		if err != nil {
			t.Error(err)
		}
		connected <- b
	}()
	eventually(t, "logged", func() bool { return log.count("refused") > 0 })
	s.start()
	if b := <-connected; b != nil {
		awaitEvent(t, closeAfter(t, b), cluster.Connected)
	}
}

func TestConnect_ReturnsWhenContextEnds(t *testing.T) {
	checkGoroutines(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := rediscluster.Connect(ctx, rueidis.ClientOption{InitAddress: []string{freeAddr(t)}, Password: "secret"})
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
	require.ErrorIs(t, b.Publish(timeoutContext(t), digests, nil), rediscluster.ErrDisconnected)
	in := subscribe(t, b, 64, digests)
	s.start()
	require.Equal(t, cluster.Connected, <-b.Events())
	require.NotNil(t, b.Client())
	receive(t, connect(t, s.option()), in, "after the start")
}

func TestBus_CloseSendsWhatWasPublished(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	in := subscribe(t, connect(t, s.option()), 1000, digests)
	b := connect(t, s.option())
	for n := range 200 {
		require.NoError(t, b.Publish(timeoutContext(t), digests, fmt.Append(nil, n)))
	}
	require.NoError(t, b.Close(timeoutContext(t)))
	for n := range 200 {
		select {
		case m := <-in:
			require.Equal(t, fmt.Sprint(n), string(m.Payload))
		case <-timeoutContext(t).Done():
			t.Fatalf("message %d was lost", n)
		}
	}
	require.ErrorIs(t, b.Publish(timeoutContext(t), digests, nil), occupancy.ErrClosed)
	_, err := b.Subscribe(timeoutContext(t), []cluster.Subject{digests}, make(chan cluster.Message, 1))
	require.ErrorIs(t, err, occupancy.ErrClosed)
}

func TestBus_CloseReturnsWhenContextEnds(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	p := testproxy.New(t, s.addr)
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
	first, err := b.Subscribe(timeoutContext(t), []cluster.Subject{digests}, make(chan cluster.Message, 1))
	require.NoError(t, err)
	second, err := b.Subscribe(timeoutContext(t), []cluster.Subject{digests}, make(chan cluster.Message, 1))
	require.NoError(t, err)
	require.NoError(t, first.Close())
	subscribe(t, b, 1, heartbeats)
	require.True(t, hasSubscriber(s))
	require.NoError(t, second.Close())
	eventually(t, "unsubscribed", func() bool { return !hasSubscriber(s) })
}

func TestNew_CloseKeepsClient(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	client, err := rueidis.NewClient(s.option())
	require.NoError(t, err)
	defer client.Close()
	b, err := rediscluster.New(client)
	require.NoError(t, err)
	awaitEvent(t, b, cluster.Connected)
	receive(t, b, subscribe(t, b, 64, digests), "counts")
	require.NoError(t, b.Close(timeoutContext(t)))
	require.NoError(t, client.Do(timeoutContext(t), client.B().Ping().Build()).Error())
	eventually(t, "unsubscribed", func() bool { return !hasSubscriber(s) })
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
		node, err := cluster.Start(timeoutContext(t), eng, bus, cluster.WithName(fmt.Sprint("chat-", i)))
		require.NoError(t, err)
		t.Cleanup(func() { _ = node.Close() })
		require.NoError(t, node.Ready(timeoutContext(t)))
		engines = append(engines, eng)
	}
	for _, want := range []int{3, 6} {
		for _, eng := range engines {
			require.NoError(t, eng.Join("lobby"))
		}
		for _, eng := range engines {
			eventually(t, "every node counts all connections", func() bool { return eng.Current("lobby").Connections == want })
		}
		s.kill()
		s.start()
	}
}
