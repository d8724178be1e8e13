// Package bustest contains the code that the tests of the implementations of cluster.Bus share.
package bustest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/occupancy/occupancy/cluster"
)

// Timeout is how long a test waits for a condition.
const Timeout = time.Minute

// Two subjects.
var (
	Digests    = cluster.Subject{Kind: cluster.KindDigest}
	Heartbeats = cluster.Subject{Kind: cluster.KindHeartbeat}
)

// Context returns a context that ends after Timeout.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	t.Cleanup(cancel)
	return ctx
}

// Eventually waits until the condition is true.
func Eventually(t testing.TB, condition string, isTrue func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Timeout); !isTrue(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not true: %s", condition)
		}
	}
}

// CloseAfter closes b at the end of the test. It returns b.
func CloseAfter[B cluster.Bus](t testing.TB, b B) B {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Timeout)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return b
}

// AwaitEvent waits until b reports e.
func AwaitEvent(t testing.TB, b cluster.Bus, e cluster.BusEvent) {
	t.Helper()
	deadline := time.After(Timeout)
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

// Subscribe returns a channel that receives the messages of the subjects. Its capacity is
// size.
func Subscribe(t testing.TB, b cluster.Bus, size int, subjects ...cluster.Subject) <-chan cluster.Message {
	t.Helper()
	out := make(chan cluster.Message, size)
	_, err := b.Subscribe(Context(t), subjects, out)
	check(t, err)
	return out
}

// Receive publishes the payload as a digest again and again until it arrives at the
// subscriber. It returns the payloads that have arrived earlier.
func Receive(t testing.TB, from cluster.Bus, in <-chan cluster.Message, payload string) (before []string) {
	t.Helper()
	deadline := time.After(Timeout)
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		_ = from.Publish(context.Background(), Digests, []byte(payload))
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

// CheckGoroutines checks that no goroutine runs a function of these packages after the test's
// other cleanup functions.
func CheckGoroutines(t testing.TB, packages ...string) {
	t.Cleanup(func() {
		var running []string
		for deadline := time.Now().Add(Timeout); ; time.Sleep(10 * time.Millisecond) {
			stacks := make([]byte, 1<<24)
			stacks = stacks[:runtime.Stack(stacks, true)]
			running = strings.Split(string(stacks), "\n\n")[1:] // without this goroutine
			running = slices.DeleteFunc(running, func(stack string) bool {
				return !slices.ContainsFunc(packages, func(p string) bool { return strings.Contains(stack, p) })
			})
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

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// FreeAddr returns a loopback address on which nothing listens. The operating system does not
// use such low ports for other connections, so the port stays free until a server starts.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
}

// WriteFile writes a file that is removed at the end of the test. It returns its path.
func WriteFile(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(path, content, 0o600))
	return path
}
