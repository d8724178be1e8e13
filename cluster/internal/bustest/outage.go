package bustest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

// TestConformance runs the conformance tests of clustertest. Each Bus connects to the server
// through its own proxy, which closes or pauses the connection. The functions create a Bus:
// connect with its own client, and newBus with a client of the program.
func TestConformance(t *testing.T, server string, connect, newBus func(t testing.TB, addr string) cluster.Bus) {
	for client, create := range map[string]func(t testing.TB, addr string) cluster.Bus{"own": connect, "of the program": newBus} {
		for connection, outage := range map[string]struct{ begin, end func(*Proxy) }{
			"closed": {(*Proxy).Disconnect, (*Proxy).Restore},
			"silent": {(*Proxy).Pause, (*Proxy).Resume},
		} {
			t.Run("client "+client+", connection "+connection, func(t *testing.T) {
				var proxies sync.Map
				proxyOf := func(b cluster.Bus) *Proxy {
					p, _ := proxies.Load(b)
					return p.(*Proxy)
				}
				clustertest.TestBus(t, func(t testing.TB) cluster.Bus {
					p := NewProxy(t, server)
					b := create(t, p.Addr())
					proxies.Store(b, p)
					return b
				}, clustertest.WithOutage(
					func(b cluster.Bus) { outage.begin(proxyOf(b)) },
					func(b cluster.Bus) { outage.end(proxyOf(b)) },
				))
			})
		}
	}
}

// TestRestart tests that two Buses connect again after their server was stopped and started,
// and that their subscriptions are then active. Publish must return the error disconnected
// while the server does not run.
func TestRestart(t *testing.T, from, to cluster.Bus, stop, start func(), disconnected error) {
	AwaitEvent(t, from, cluster.Connected)
	AwaitEvent(t, to, cluster.Connected)
	in := Subscribe(t, to, 1<<16, Digests)
	for round := range 3 {
		Receive(t, from, in, fmt.Sprint("before ", round))

		// The Bus notices the disconnection while these messages are published.
		published, wg := make(chan struct{}), new(sync.WaitGroup)
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-published:
						return
					default:
						_ = from.Publish(context.Background(), Heartbeats, []byte("possibly lost"))
					}
				}
			})
		}
		stop()
		AwaitEvent(t, from, cluster.Disconnected)
		AwaitEvent(t, to, cluster.Disconnected)
		close(published)
		wg.Wait()
		if err := from.Publish(Context(t), Digests, []byte("lost")); !errors.Is(err, disconnected) {
			t.Fatalf("Publish returned %v, want %v", err, disconnected)
		}
		whileDisconnected := Subscribe(t, to, 1<<16, Digests) // active when the Bus is connected again

		start()
		AwaitEvent(t, from, cluster.Connected)
		AwaitEvent(t, to, cluster.Connected)
		Receive(t, from, in, fmt.Sprint("after ", round))
		Receive(t, from, whileDisconnected, fmt.Sprint("again after ", round))
	}
}
