package rediscluster_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/rediscluster"
)

// timeout is how long a test waits for a condition.
const timeout = 30 * time.Second

// redisServer is a redis-server process.
type redisServer struct {
	t    testing.TB
	args []string
	addr string
	cmd  *exec.Cmd
}

// startRedis starts redis-server on a free port. The test is skipped if it is not installed.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	return startRedisConfig(t, "", args...)
}

// startRedisConfig starts redis-server with a configuration file.
func startRedisConfig(t testing.TB, config string, args ...string) *redisServer {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("redis-server is not installed")
	}
	require.NoError(t, err)
	_, port, _ := net.SplitHostPort(freeAddr(t))
	s := &redisServer{t: t, addr: "127.0.0.1:" + port}
	s.args = []string{path}
	if config != "" {
		s.args = append(s.args, config)
	}
	s.args = append(append(s.args, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()), args...)
	t.Cleanup(s.kill)
	s.start()
	return s
}

func freeAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// start starts the process and waits until it listens.
func (s *redisServer) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.args[0], s.args[1:]...)
	require.NoError(s.t, s.cmd.Start())
	eventually(s.t, "redis-server listens", func() bool {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// kill kills the process as kill -9 does.
func (s *redisServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *redisServer) option() rueidis.ClientOption {
	return rueidis.ClientOption{InitAddress: []string{s.addr}}
}

// do executes a command on a connection of its own.
func (s *redisServer) do(args ...string) string {
	s.t.Helper()
	client, err := rueidis.NewClient(s.option())
	require.NoError(s.t, err)
	defer client.Close()
	answer, err := client.Do(timeoutContext(s.t), client.B().Arbitrary(args...).Build()).ToAny()
	require.NoError(s.t, err)
	return fmt.Sprint(answer)
}

func writeFile(t testing.TB, content string) string {
	path := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func timeoutContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	return ctx
}

func connect(t testing.TB, option rueidis.ClientOption, opts ...rediscluster.Option) *rediscluster.Bus {
	t.Helper()
	b, err := rediscluster.Connect(timeoutContext(t), option, opts...)
	require.NoError(t, err)
	return closeAfter(t, b)
}

func closeAfter(t testing.TB, b *rediscluster.Bus) *rediscluster.Bus {
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

// receive publishes the payload again and again until it arrives at the subscriber.
func receive(t testing.TB, from cluster.Bus, in <-chan cluster.Message, payload string) {
	t.Helper()
	deadline := time.After(timeout)
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		_ = from.Publish(context.Background(), digests, []byte(payload))
		select {
		case m := <-in:
			if string(m.Payload) == payload {
				return
			}
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

// checkGoroutines checks that the goroutines of the Bus and of its client have ended after
// the test's other cleanup functions.
func checkGoroutines(t testing.TB) {
	t.Cleanup(func() {
		var running []string
		eventually(t, "the goroutines have ended", func() bool {
			running = running[:0]
			stacks := make([]byte, 1<<24)
			stacks = stacks[:runtime.Stack(stacks, true)]
			for i, stack := range strings.Split(string(stacks), "\n\n") {
				if i > 0 && (strings.Contains(stack, "redis/rueidis.") || strings.Contains(stack, "cluster/rediscluster.")) {
					running = append(running, stack)
				}
			}
			return len(running) == 0
		})
	})
}

// logBuffer collects a log.
type logBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), text)
}

func (l *logBuffer) option() rediscluster.Option {
	return rediscluster.WithLogger(slog.New(slog.NewTextHandler(l, nil)))
}
