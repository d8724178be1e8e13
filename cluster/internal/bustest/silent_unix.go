//go:build unix

package bustest

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/occupancy/occupancy/cluster"
)

// TestSilentServer stops the process of the server, whose connections remain open. It tests that
// two Buses notice this, and that they connect again when the process continues. Publish must
// return the error disconnected until then.
func TestSilentServer(t *testing.T, from, to cluster.Bus, server *os.Process, disconnected error) {
	AwaitEvent(t, from, cluster.Connected)
	AwaitEvent(t, to, cluster.Connected)
	in := Subscribe(t, to, 1<<16, Digests)
	Receive(t, from, in, "before")

	check(t, server.Signal(syscall.SIGSTOP))
	stopped := time.Now()
	// The payload is larger than the system's buffers, so that a write blocks.
	large := make([]byte, from.MaxPayload())
	var longest time.Duration
	Eventually(t, "disconnected", func() bool {
		start := time.Now()
		err := from.Publish(context.Background(), Heartbeats, large)
		longest = max(longest, time.Since(start))
		return errors.Is(err, disconnected)
	})
	AwaitEvent(t, to, cluster.Disconnected)
	t.Logf("detected after %v; the longest Publish took %v", time.Since(stopped), longest)

	check(t, server.Signal(syscall.SIGCONT))
	AwaitEvent(t, from, cluster.Disconnected)
	AwaitEvent(t, from, cluster.Connected)
	AwaitEvent(t, to, cluster.Connected)
	Receive(t, from, in, "after")
}
