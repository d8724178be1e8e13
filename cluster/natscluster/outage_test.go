package natscluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// at has a server listen at addr, to which it comes back.
func at(addr string) func(*server.Options) {
	return func(o *server.Options) {
		_, port, _ := net.SplitHostPort(addr)
		o.Port, _ = strconv.Atoi(port)
	}
}

func TestBus_SendsNothingStaleToARestartedServer(t *testing.T) {
	leavesNothing(t)
	addr := freeAddrs(t, 1)[0]
	s := startServer(t, at(addr))
	from, to := connect(t, s.ClientURL()), connect(t, s.ClientURL())
	event(t, from, cluster.Connected)
	event(t, to, cluster.Connected)
	for round := range 5 {
		in := subscribe(t, to, 1<<16, digests)
		until(t, from, in, "before")

		// Some are published while the loss is not known yet, some after.
		stop, wg := make(chan struct{}), new(sync.WaitGroup)
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_ = from.Publish(context.Background(), digests, []byte("stale"))
					}
				}
			})
		}
		s.Shutdown()
		s.WaitForShutdown()
		event(t, from, cluster.Disconnected)
		event(t, to, cluster.Disconnected)
		close(stop)
		wg.Wait()
		require.ErrorIs(t, from.Publish(soon(t), digests, []byte("stale")), natscluster.ErrDisconnected)
		require.Empty(t, from.Stats().Server)
		late := subscribe(t, to, 1<<16, digests) // in force from the next connection on

		s = startServer(t, at(addr))
		event(t, from, cluster.Connected)
		event(t, to, cluster.Connected)
		require.Empty(t, until(t, from, late, fmt.Sprint("after ", round)))
	}
}

// The NATS client holds its lock while it waits for a server's first word.
func TestBus_WaitsForNoDial(t *testing.T) {
	leavesNothing(t)
	addr := freeAddrs(t, 1)[0]
	s := startServer(t, at(addr))
	b, leaves := connect(t, s.ClientURL()), connect(t, s.ClientURL())
	event(t, b, cluster.Connected)
	event(t, leaves, cluster.Connected)
	var subs []io.Closer
	for range 100 {
		sub, err := b.Subscribe(soon(t), []cluster.Subject{digests, hearts}, make(chan cluster.Message, 1))
		require.NoError(t, err)
		subs = append(subs, sub)
	}
	s.Shutdown()
	s.WaitForShutdown()
	silent, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	defer silent.Close()
	event(t, b, cluster.Disconnected)
	event(t, leaves, cluster.Disconnected)
	require.NoError(t, leaves.Close(soon(t)))
	eventually(t, "soon, while it waits for 2 s", func() bool {
		conn, err := silent.Accept()
		require.NoError(t, err)
		defer conn.Close()
		begun := time.Now()
		require.ErrorIs(t, b.Publish(soon(t), digests, nil), natscluster.ErrDisconnected)
		require.Equal(t, 1<<20, b.MaxPayload())
		require.Empty(t, b.Stats().Server)
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_, err = b.Subscribe(ctx, []cluster.Subject{digests}, make(chan cluster.Message, 1))
		require.NoError(t, err, "it will be in force")
		require.NoError(t, subs[0].Close())
		subs = subs[1:]
		return time.Since(begun) < time.Second
	})
}

func TestBus_NoticesAServerThatStandsStill(t *testing.T) {
	leavesNothing(t)
	url, process := startProcess(t)
	from, to := connect(t, url), connect(t, url)
	in := subscribe(t, to, 1<<16, digests)
	until(t, from, in, "before")

	require.NoError(t, process.Signal(syscall.SIGSTOP))
	stopped := time.Now()
	// More than the system's buffers hold, so that a write blocks.
	large := make([]byte, from.MaxPayload())
	var worst time.Duration
	eventually(t, "disconnected", func() bool {
		begun := time.Now()
		err := from.Publish(context.Background(), hearts, large)
		worst = max(worst, time.Since(begun))
		return errors.Is(err, natscluster.ErrDisconnected)
	})
	event(t, to, cluster.Disconnected)
	t.Logf("noticed after %v; the longest Publish took %v", time.Since(stopped), worst)

	require.NoError(t, process.Signal(syscall.SIGCONT))
	event(t, from, cluster.Disconnected)
	event(t, from, cluster.Connected)
	event(t, to, cluster.Connected)
	until(t, from, in, "after")
}

// What is published then waits for 2 s, or for its context's end.
func TestBus_PublishEndsWithItsContext(t *testing.T) {
	leavesNothing(t)
	p := newProxy(t, startServer(t, nil).ClientURL())
	large := make([]byte, 1<<20)
	eventually(t, "sooner than it would by itself", func() bool {
		b := connect(t, p.URL())
		event(t, b, cluster.Connected)
		p.Hold()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		begun := time.Now()
		var err error
		for err == nil {
			err = b.Publish(ctx, hearts, large)
		}
		took := time.Since(begun)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		p.Release()
		event(t, b, cluster.Disconnected)
		event(t, b, cluster.Connected)
		return took < time.Second
	})
}

// The NATS client gives a connection up for good when the server says an error that it
// doesn't know.
func TestBus_SurvivesAnErrorThatNATSsClientDoesNot(t *testing.T) {
	leavesNothing(t)
	s := startServer(t, nil)
	p := newProxy(t, s.ClientURL())
	b, other := connect(t, p.URL()), connect(t, s.ClientURL())
	in, out := subscribe(t, b, 4096, digests), subscribe(t, other, 4096, digests)
	ended, err := b.Subscribe(soon(t), []cluster.Subject{hearts}, make(chan cluster.Message, 1))
	require.NoError(t, err)
	require.NoError(t, ended.Close())
	event(t, b, cluster.Connected)
	for n := range 3 {
		p.Say("-ERR 'Something Unheard Of'\r\n")
		event(t, b, cluster.Disconnected)
		event(t, b, cluster.Connected)
		until(t, other, in, fmt.Sprint("to it ", n))
		until(t, b, out, fmt.Sprint("from it ", n))
	}
	require.EqualValues(t, 3, b.Stats().Reconnects)
	require.Equal(t, 1, natscluster.Subscriptions(b))
}

func TestBus_ReconnectsAfterBeingRefused(t *testing.T) {
	leavesNothing(t)
	addr := freeAddrs(t, 1)[0]
	with := func(token string) func(*server.Options) {
		return func(o *server.Options) { at(addr)(o); o.Authorization = token }
	}
	s := startServer(t, with("ours"))
	p, log := newProxy(t, s.ClientURL()), new(logged)
	b := connect(t, p.URL(), natscluster.WithToken("ours"), log.option())
	event(t, b, cluster.Connected)
	s.Shutdown()

	s = startServer(t, with("another"))
	event(t, b, cluster.Disconnected)
	// By itself, NATS's client gives up after the second.
	eventually(t, "refused", func() bool { return log.has("authorization violation") })
	before := p.Accepted()
	eventually(t, "refused more than twice", func() bool { return p.Accepted() > before+3 })
	require.Equal(t, 1, log.count("authorization violation"), "it is not logged all the time")
	s.Shutdown()
	s.WaitForShutdown()

	startServer(t, with("ours"))
	event(t, b, cluster.Connected)
}

func TestConnect_WaitsForAServer(t *testing.T) {
	leavesNothing(t)
	addr := freeAddrs(t, 1)[0]
	log := new(logged)
	connected := make(chan *natscluster.Bus)
	go func() {
		b, err := natscluster.Connect(soon(t), "nats://"+addr, log.option())
		if err != nil {
			t.Error(err)
		}
		connected <- b
	}()
	eventually(t, "tried", func() bool { return log.has("no connection to NATS yet") })
	startServer(t, at(addr))
	if b := <-connected; b != nil {
		event(t, closeAfter(t, b), cluster.Connected)
	}
}

func TestConnect_EndsWithItsContext(t *testing.T) {
	leavesNothing(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	for name, addr := range map[string]string{"nobody listens": freeAddrs(t, 1)[0], "nobody answers": silent.Addr().String()} {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		begun := time.Now()
		_, err := natscluster.Connect(ctx, "nats://user:secret@"+addr)
		t.Logf("%s: %v, after %v", name, err, time.Since(begun))
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
		require.ErrorContains(t, err, addr, name)
		require.NotContains(t, err.Error(), "secret")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = natscluster.Connect(ctx, startServer(t, nil).ClientURL())
	require.ErrorIs(t, err, context.Canceled)
}

func TestConnect_RefusesAServerOfTinyPayloads(t *testing.T) {
	leavesNothing(t)
	url := startServer(t, func(o *server.Options) { o.MaxPayload = cluster.MinPayload - 1 }).ClientURL()
	_, err := natscluster.Connect(soon(t), url)
	require.ErrorContains(t, err, fmt.Sprintf("largest payload is %d bytes; %d are needed", cluster.MinPayload-1, cluster.MinPayload))
}

func TestBus_LearnsOfANewLargestPayload(t *testing.T) {
	leavesNothing(t)
	addr := freeAddrs(t, 1)[0]
	s := startServer(t, at(addr))
	b := connect(t, s.ClientURL())
	require.Equal(t, 1<<20, b.MaxPayload())
	event(t, b, cluster.Connected)
	s.Shutdown()
	s.WaitForShutdown()
	startServer(t, func(o *server.Options) { at(addr)(o); o.MaxPayload = 2 * cluster.MinPayload })
	event(t, b, cluster.Connected)
	require.Equal(t, 2*cluster.MinPayload, b.MaxPayload())
	require.ErrorIs(t, b.Publish(soon(t), digests, make([]byte, 2*cluster.MinPayload+1)), natscluster.ErrTooLarge)
	require.Equal(t, 2*cluster.MinPayload, b.MaxPayload())
}

func TestBus_MeetsAServerOfTinyPayloadsLater(t *testing.T) {
	leavesNothing(t)
	addr := freeAddrs(t, 1)[0]
	s := startServer(t, at(addr))
	log := new(logged)
	b := connect(t, s.ClientURL(), log.option())
	event(t, b, cluster.Connected)
	s.Shutdown()
	s.WaitForShutdown()
	startServer(t, func(o *server.Options) { at(addr)(o); o.MaxPayload = 100 })
	event(t, b, cluster.Connected)
	require.True(t, log.has("largest payload is too small"))
	require.Equal(t, cluster.MinPayload, b.MaxPayload(), "a Bus promises that much")
	require.ErrorIs(t, b.Publish(soon(t), digests, make([]byte, 101)), natscluster.ErrTooLarge)
	require.Equal(t, cluster.MinPayload, b.MaxPayload())
	require.NoError(t, b.Publish(soon(t), digests, make([]byte, 100)))
}

func TestBus_Permissions(t *testing.T) {
	leavesNothing(t)
	url := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "reader", Password: "secret", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Deny: []string{">"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"occupancy.v1.digest.0"}},
		}}}
	}).ClientURL()
	log := new(logged)
	b := connect(t, url, natscluster.WithUser("reader", "secret"), log.option())
	_, err := b.Subscribe(soon(t), []cluster.Subject{digests, hearts}, make(chan cluster.Message, 1))
	require.ErrorIs(t, err, nats.ErrPermissionViolation)
	require.ErrorContains(t, err, "occupancy.v1.heartbeat.0")
	_, err = b.Subscribe(soon(t), []cluster.Subject{digests}, make(chan cluster.Message, 1))
	require.NoError(t, err, "what was refused before does not matter")
	require.NoError(t, b.Publish(soon(t), digests, nil))
	eventually(t, "logged", func() bool { return log.has("Permissions Violation for Publish") })
}
