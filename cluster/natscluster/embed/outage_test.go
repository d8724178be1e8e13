package embed_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
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
	addr := freeAddrs(t, 1)[0]
	s := startServer(t, listenOn(addr))
	from, to := connect(t, s.ClientURL()), connect(t, s.ClientURL())
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
		s.Shutdown()
		s.WaitForShutdown()
		awaitEvent(t, from, cluster.Disconnected)
		awaitEvent(t, to, cluster.Disconnected)
		close(stop)
		wg.Wait()
		require.ErrorIs(t, from.Publish(timeoutContext(t), digests, []byte("lost")), natscluster.ErrDisconnected)
		whileDisconnected := subscribe(t, to, 1<<16, digests) // active when the bus is connected again

		s = startServer(t, listenOn(addr))
		awaitEvent(t, from, cluster.Connected)
		awaitEvent(t, to, cluster.Connected)
		receive(t, from, in, fmt.Sprint("after ", round))
		receive(t, from, whileDisconnected, fmt.Sprint("again after ", round))
	}
}

// The NATS client holds its lock while it waits for the first line of a server.
func TestBus_DoesNotWaitForDial(t *testing.T) {
	checkGoroutines(t)
	addr := freeAddrs(t, 1)[0]
	s := startServer(t, listenOn(addr))
	b, err := natscluster.Connect(timeoutContext(t), s.ClientURL())
	require.NoError(t, err)
	awaitEvent(t, b, cluster.Connected)
	s.Shutdown()
	s.WaitForShutdown()
	silent, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	defer silent.Close()
	awaitEvent(t, b, cluster.Disconnected)
	eventually(t, "all return within 1 s although the dial takes 2 s", func() bool {
		conn, err := silent.Accept()
		require.NoError(t, err)
		defer conn.Close()
		start := time.Now()
		require.ErrorIs(t, b.Publish(timeoutContext(t), digests, nil), natscluster.ErrDisconnected)
		require.Equal(t, 1<<20, b.MaxPayload())
		return time.Since(start) < time.Second
	})
	conn, err := silent.Accept()
	require.NoError(t, err)
	defer conn.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, b.Close(ctx), context.Canceled)
	require.NoError(t, b.Close(timeoutContext(t)))
}

func TestBus_DetectsStoppedServer(t *testing.T) {
	checkGoroutines(t)
	url, process := startProcess(t)
	from, to := connect(t, url), connect(t, url)
	in := subscribe(t, to, 1<<16, digests)
	receive(t, from, in, "before")

	require.NoError(t, process.Signal(syscall.SIGSTOP))
	stopped := time.Now()
	// The payload is larger than the system's buffers, so that a write blocks.
	large := make([]byte, from.MaxPayload())
	var longest time.Duration
	eventually(t, "disconnected", func() bool {
		start := time.Now()
		err := from.Publish(context.Background(), heartbeats, large)
		longest = max(longest, time.Since(start))
		return errors.Is(err, natscluster.ErrDisconnected)
	})
	awaitEvent(t, to, cluster.Disconnected)
	t.Logf("detected after %v; the longest Publish took %v", time.Since(stopped), longest)

	require.NoError(t, process.Signal(syscall.SIGCONT))
	awaitEvent(t, from, cluster.Disconnected)
	awaitEvent(t, from, cluster.Connected)
	awaitEvent(t, to, cluster.Connected)
	receive(t, from, in, "after")
}

// A write that is interrupted has sent only a part of a message. The server must not read the next
// message as the rest of it.
func TestBus_ReconnectsAfterInterruptedWrite(t *testing.T) {
	checkGoroutines(t)
	s := startServer(t, nil)
	p := newProxy(t, s.ClientURL())
	b, other := connect(t, p.URL()), connect(t, s.ClientURL())
	in := subscribe(t, other, 1<<16, digests)
	awaitEvent(t, b, cluster.Connected)
	p.Pause()
	large := make([]byte, b.MaxPayload())
	for b.Publish(timeoutContext(t), heartbeats, large) == nil {
	}
	p.Resume()
	for range 3 {
		_ = b.Publish(timeoutContext(t), heartbeats, large)
	}
	awaitEvent(t, b, cluster.Disconnected)
	awaitEvent(t, b, cluster.Connected)
	receive(t, b, in, "after")
}

func TestBus_ReconnectsAfterUnauthorized(t *testing.T) {
	checkGoroutines(t)
	addr := freeAddrs(t, 1)[0]
	tokenOption := func(token string) func(*server.Options) {
		return func(o *server.Options) { listenOn(addr)(o); o.Authorization = token }
	}
	s := startServer(t, tokenOption("ours"))
	p, log, start := newProxy(t, s.ClientURL()), new(logBuffer), time.Now()
	b := connect(t, p.URL(), natscluster.WithNATS(nats.Token("ours")), log.option())
	awaitEvent(t, b, cluster.Connected)
	s.Shutdown()

	s = startServer(t, tokenOption("another"))
	awaitEvent(t, b, cluster.Disconnected)
	// By default the NATS client gives up after the second refusal.
	eventually(t, "logged", func() bool { return log.contains("unauthorized: check the credentials") })
	before := p.Accepted()
	eventually(t, "refused more than twice", func() bool { return p.Accepted() > before+3 })
	logged := log.count("unauthorized")
	require.LessOrEqual(t, logged, 1+int(time.Since(start)/(10*time.Second)), "logged again after 10 s only")
	s.Shutdown()
	s.WaitForShutdown()

	startServer(t, tokenOption("ours"))
	awaitEvent(t, b, cluster.Connected)
}

func TestBus_LogsFailedReconnect(t *testing.T) {
	checkGoroutines(t)
	s, log := startServer(t, nil), new(logBuffer)
	connect(t, s.ClientURL(), log.option())
	s.Shutdown()
	eventually(t, "logged", func() bool {
		return log.contains("disconnected from NATS") && log.contains("cannot connect to NATS, retrying") && log.contains("refused")
	})
}

func TestConnect_RetriesUntilServerStarts(t *testing.T) {
	checkGoroutines(t)
	addr := freeAddrs(t, 1)[0]
	log := new(logBuffer)
	connected := make(chan *natscluster.Bus)
	go func() {
		b, err := natscluster.Connect(timeoutContext(t), "nats://"+addr, log.option())
		if err != nil {
			t.Error(err)
		}
		connected <- b
	}()
	eventually(t, "logged", func() bool { return log.contains("cannot connect to NATS, retrying") })
	startServer(t, listenOn(addr))
	if b := <-connected; b != nil {
		awaitEvent(t, closeAfter(t, b), cluster.Connected)
	}
}

// With nats.RetryOnFailedConnect, a node can start while NATS is down.
func TestConnect_RetryOnFailedConnect_ReturnsDisconnectedBus(t *testing.T) {
	checkGoroutines(t)
	addr := freeAddrs(t, 1)[0]
	log := new(logBuffer)
	b := connect(t, "nats://"+addr, log.option(), natscluster.WithNATS(nats.RetryOnFailedConnect(true)))
	require.Equal(t, cluster.Disconnected, <-b.Events())
	require.Equal(t, cluster.MinPayload, b.MaxPayload())
	require.ErrorIs(t, b.Publish(timeoutContext(t), digests, nil), natscluster.ErrDisconnected)
	in := subscribe(t, b, 64, digests)
	eventually(t, "logged", func() bool { return log.contains("cannot connect to NATS, retrying") })

	s := startServer(t, listenOn(addr))
	require.Equal(t, cluster.Connected, <-b.Events())
	require.Equal(t, 1<<20, b.MaxPayload())
	receive(t, connect(t, s.ClientURL()), in, "after the start")
}

func TestConnect_ReturnsWhenContextEnds(t *testing.T) {
	checkGoroutines(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	for name, addr := range map[string]string{"nothing listens": freeAddrs(t, 1)[0], "the server does not answer": silent.Addr().String()} {
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
	_, err := natscluster.Connect(timeoutContext(t), startServer(t, smallPayload).ClientURL())
	require.ErrorContains(t, err, fmt.Sprintf("maximum payload of %d bytes is too small: increase it to at least %d", cluster.MinPayload-1, cluster.MinPayload))
}

func TestBus_MaxPayloadFollowsServer(t *testing.T) {
	checkGoroutines(t)
	addr := freeAddrs(t, 1)[0]
	s := startServer(t, listenOn(addr))
	b := connect(t, s.ClientURL())
	require.Equal(t, 1<<20, b.MaxPayload())
	awaitEvent(t, b, cluster.Connected)
	s.Shutdown()
	s.WaitForShutdown()
	startServer(t, func(o *server.Options) { listenOn(addr)(o); o.MaxPayload = 2 * cluster.MinPayload })
	awaitEvent(t, b, cluster.Connected)
	require.Equal(t, 2*cluster.MinPayload, b.MaxPayload())
	require.ErrorIs(t, b.Publish(timeoutContext(t), digests, make([]byte, 2*cluster.MinPayload+1)), natscluster.ErrTooLarge)
	require.Equal(t, 2*cluster.MinPayload, b.MaxPayload())
}
