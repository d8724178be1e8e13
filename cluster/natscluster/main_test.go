package natscluster_test

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
	"github.com/occupancy/occupancy/cluster/natscluster"
)

// patience is how long something that must happen may take.
const patience = 30 * time.Second

const asServer = "NATSCLUSTER_TEST_SERVER"

// TestMain is also a NATS server in a process of its own, for those tests that want one.
func TestMain(m *testing.M) {
	if os.Getenv(asServer) == "" {
		os.Exit(m.Run())
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT})
	if err != nil {
		panic(err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		panic("the server does not start")
	}
	fmt.Println(s.ClientURL())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test lets go of it
}

// startProcess starts a server in a process of its own.
func startProcess(t testing.TB) (url string, process *os.Process) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asServer+"=1")
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

// startServer starts a server as its operator would have set it up. The port is any
// free one, if it isn't set.
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
	require.True(t, s.ReadyForConnections(patience))
	return s
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func connect(t testing.TB, urls string, opts ...natscluster.Option) *natscluster.Bus {
	t.Helper()
	b, err := natscluster.Connect(soon(t), urls, opts...)
	require.NoError(t, err)
	return closeAfter(t, b)
}

func embed(t testing.TB, opts ...natscluster.Option) *natscluster.Bus {
	t.Helper()
	b, err := natscluster.Embed(soon(t), opts...)
	require.NoError(t, err)
	return closeAfter(t, b)
}

func closeAfter(t testing.TB, b *natscluster.Bus) *natscluster.Bus {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

// event waits until b tells e, and returns what else it told before.
func event(t testing.TB, b *natscluster.Bus, e cluster.BusEvent) (before []cluster.BusEvent) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case got, open := <-b.Events():
			if !open {
				t.Fatalf("Events is closed, without %v", e)
			}
			if got == e {
				return before
			}
			before = append(before, got)
		case <-deadline:
			t.Fatalf("not told: %v", e)
		}
	}
}

var (
	digests = cluster.Subject{Kind: cluster.KindDigest}
	hearts  = cluster.Subject{Kind: cluster.KindHeartbeat}
)

func subscribe(t testing.TB, b *natscluster.Bus, room int, subjects ...cluster.Subject) <-chan cluster.Message {
	t.Helper()
	out := make(chan cluster.Message, room)
	_, err := b.Subscribe(soon(t), subjects, out)
	require.NoError(t, err)
	return out
}

// until publishes until in hears of it, and returns what it heard before.
func until(t testing.TB, from *natscluster.Bus, in <-chan cluster.Message, payload string) (before []string) {
	t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		_ = from.Publish(context.Background(), digests, []byte(payload))
		select {
		case m := <-in:
			if string(m.Payload) == payload {
				return before
			}
			before = append(before, string(m.Payload))
		case <-again.C:
		case <-deadline:
			t.Fatalf("not heard: %q", payload)
		}
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not: %s", what)
		}
	}
}

// leavesNothing has the test fail if, after all its other clean-up, a goroutine of the
// Bus, of NATS's client or of its server runs.
func leavesNothing(t testing.TB) {
	t.Cleanup(func() {
		var left []string
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			left = left[:0]
			all := make([]byte, 1<<24)
			all = all[:runtime.Stack(all, true)]
			for i, stack := range strings.Split(string(all), "\n\n") {
				if i > 0 && (strings.Contains(stack, "github.com/nats-io/") || strings.Contains(stack, "cluster/natscluster.")) {
					left = append(left, stack)
				}
			}
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				break
			}
		}
		t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
	})
}
