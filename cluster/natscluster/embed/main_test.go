package embed_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/testproxy"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

// Tests of package natscluster that need a server are also in this package, so that the
// module of natscluster does not require a server.

// timeout is how long a test waits for a condition.
const timeout = 30 * time.Second

const runServer = "NATSCLUSTER_TEST_SERVER"

// TestMain runs a NATS server instead of the tests if the environment contains runServer.
func TestMain(m *testing.M) {
	if os.Getenv(runServer) == "" {
		os.Exit(m.Run())
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT})
	if err != nil {
		panic(err)
	}
	s.Start()
	if !s.ReadyForConnections(timeout) {
		panic("the server does not start")
	}
	fmt.Println(s.ClientURL())
	_, _ = io.Copy(io.Discard, os.Stdin) // run until the test closes the standard input
}

// startProcess starts a NATS server in a separate process.
func startProcess(t testing.TB) (url string, process *os.Process) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), runServer+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	url, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(url), cmd.Process
}

// startServer starts a NATS server that is not embedded. It listens on a free port. The
// function set can change the options; it can be nil.
func startServer(t testing.TB, set func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true}
	if set != nil {
		set(o)
	}
	s, err := server.NewServer(o)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(timeout))
	return s
}

func timeoutContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	return ctx
}

func connect(t testing.TB, urls string, opts ...natscluster.Option) *natscluster.Bus {
	t.Helper()
	b, err := natscluster.Connect(timeoutContext(t), urls, opts...)
	require.NoError(t, err)
	return closeAfter(t, b)
}

func startSeed(t testing.TB, opts ...embed.Option) *embed.Bus {
	t.Helper()
	b, err := embed.Start(timeoutContext(t), opts...)
	require.NoError(t, err)
	return closeAfter(t, b)
}

func closeAfter[B cluster.Bus](t testing.TB, b B) B {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

// awaitEvent waits until b reports e.
func awaitEvent(t testing.TB, b cluster.Bus, e cluster.BusEvent) {
	t.Helper()
	deadline := time.After(timeout)
	for {
		select {
		case got, open := <-b.Events():
			if !open {
				t.Fatalf("Events was closed without %v", e)
			}
			if got == e {
				return
			}
		case <-deadline:
			t.Fatalf("no event %v", e)
		}
	}
}

var (
	digests    = cluster.Subject{Kind: cluster.KindDigest}
	heartbeats = cluster.Subject{Kind: cluster.KindHeartbeat}
)

// subscribe returns a channel that receives the messages of the subjects. Its capacity is
// size.
func subscribe(t testing.TB, b cluster.Bus, size int, subjects ...cluster.Subject) <-chan cluster.Message {
	t.Helper()
	out := make(chan cluster.Message, size)
	_, err := b.Subscribe(timeoutContext(t), subjects, out)
	require.NoError(t, err)
	return out
}

// receive publishes the payload again and again until it arrives at the subscriber. It
// returns the payloads that have arrived earlier.
func receive(t testing.TB, from cluster.Bus, in <-chan cluster.Message, payload string) (before []string) {
	t.Helper()
	deadline := time.After(timeout)
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		_ = from.Publish(context.Background(), digests, []byte(payload))
		select {
		case m := <-in:
			if string(m.Payload) == payload {
				return before
			}
			before = append(before, string(m.Payload))
		case <-retry.C:
		case <-deadline:
			t.Fatalf("not received: %q", payload)
		}
	}
}

// eventually waits until the condition is true.
func eventually(t testing.TB, condition string, isTrue func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !isTrue(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not true: %s", condition)
		}
	}
}

// checkGoroutines checks that the goroutines of the Bus, of the NATS client and of the NATS
// server have ended after the test's other cleanup functions.
func checkGoroutines(t testing.TB) {
	t.Cleanup(func() {
		var running []string
		for deadline := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
			running = running[:0]
			stacks := make([]byte, 1<<24)
			stacks = stacks[:runtime.Stack(stacks, true)]
			for i, stack := range strings.Split(string(stacks), "\n\n") {
				if i > 0 && (strings.Contains(stack, "github.com/nats-io/") || strings.Contains(stack, "cluster/natscluster.")) {
					running = append(running, stack)
				}
			}
			if len(running) == 0 {
				return
			}
			if time.Now().After(deadline) {
				break
			}
		}
		t.Errorf("%d goroutines still run:\n%s", len(running), strings.Join(running, "\n\n"))
	})
}

// proxy is a proxy of a NATS server.
type proxy struct{ *testproxy.Proxy }

func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	return &proxy{testproxy.New(t, strings.TrimPrefix(server, "nats://"))}
}

func (p *proxy) URL() string { return "nats://" + p.Addr() }
