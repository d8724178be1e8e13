package clustertest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

// breakages are ways to break a promise, each with the test of TestBus that finds it.
var breakages = []struct {
	promise string
	by      func(b *broken)
}{
	{"the first event is the state", func(b *broken) { b.tells = func(cluster.BusEvent) bool { return false } }},
	{"every subscriber gets what is published", func(b *broken) {
		n := 0
		b.publish = func(ctx context.Context, to cluster.Subject, payload []byte) error {
			if n++; n%7 == 0 {
				return nil
			}
			return b.Bus.Publish(ctx, to, payload)
		}
	}},
	{"subscribing is in force when it returns", func(b *broken) {
		b.subscribe = func(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
			time.AfterFunc(20*time.Millisecond, func() { _, _ = b.Bus.Subscribe(ctx, subjects, out) })
			return io.NopCloser(nil), nil
		}
	}},
	{"and only what it subscribed to", func(b *broken) {
		b.publish = func(ctx context.Context, to cluster.Subject, payload []byte) error {
			return b.Bus.Publish(ctx, cluster.Subject{Kind: cluster.KindDigest, Shard: to.Shard}, payload)
		}
	}},
	{"one publisher's messages keep their order, across subjects", func(b *broken) {
		var held func()
		b.publish = func(ctx context.Context, to cluster.Subject, payload []byte) error {
			if held == nil && to.Kind == cluster.KindHeartbeat {
				payload = slices.Clone(payload)
				held = func() { _ = b.Bus.Publish(ctx, to, payload) }
				return nil
			}
			err := b.Bus.Publish(ctx, to, payload)
			if held != nil {
				held()
				held = nil
			}
			return err
		}
	}},
	{"payloads have one owner", func(b *broken) {
		b.publish = func(_ context.Context, to cluster.Subject, payload []byte) error {
			time.AfterFunc(5*time.Millisecond, func() { _ = b.Bus.Publish(context.Background(), to, payload) })
			return nil
		}
	}},
	{"payloads up to the largest pass, larger ones are refused", func(b *broken) { b.most = 1 << 21 }},
	{"payloads up to the largest pass, larger ones are refused", func(b *broken) { b.most = cluster.MinPayload - 1 }},
	{"an ended context publishes nothing", func(b *broken) {
		b.publish = func(_ context.Context, to cluster.Subject, payload []byte) error {
			return b.Bus.Publish(context.Background(), to, payload)
		}
	}},
	{"a full channel delays nobody and is told", func(b *broken) {
		b.tells = func(e cluster.BusEvent) bool { return e != cluster.Lossy }
	}},
	{"an ended subscription is silent", func(b *broken) {
		b.subscribe = func(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
			_, err := b.Bus.Subscribe(ctx, subjects, out)
			return io.NopCloser(nil), err
		}
	}},
	{"a closed bus is silent", func(b *broken) { b.close = func(context.Context) error { return nil } }},
	{"what could not be sent is not sent later", func(b *broken) {
		var mu sync.Mutex
		var kept []func()
		b.publish = func(ctx context.Context, to cluster.Subject, payload []byte) error {
			mu.Lock()
			defer mu.Unlock()
			err := b.Bus.Publish(ctx, to, payload)
			if err != nil {
				payload = slices.Clone(payload)
				kept = append(kept, func() { _ = b.Bus.Publish(ctx, to, payload) })
				return err
			}
			for _, late := range kept {
				late()
			}
			kept = nil
			return nil
		}
	}},
}

// A suite that no Bus could fail would be worth nothing. Each broken Bus is tested in a
// process of its own, since there it is to fail.
func TestTestBus_FindsEveryBrokenPromise(t *testing.T) {
	const env = "CLUSTERTEST_BREAKAGE"
	if which := os.Getenv(env); which != "" {
		var i int
		_, err := fmt.Sscan(which, &i)
		require.NoError(t, err)
		clustertest.SetPatience(time.Second)
		net, n := clustertest.NewNetwork(1), 0
		clustertest.TestBus(t, func(testing.TB) cluster.Bus {
			n++
			return newBroken(net.Bus(fmt.Sprint("bus", n)), breakages[i].by)
		}, clustertest.WithOutage(
			func(b cluster.Bus) { b.(*broken).real.Disconnect() },
			func(b cluster.Bus) { b.(*broken).real.Reconnect() },
		))
		return
	}
	for i, breakage := range breakages {
		t.Run(breakage.promise, func(t *testing.T) {
			t.Parallel()
			name := strings.ReplaceAll(breakage.promise, " ", "_")
			only := "^TestTestBus_FindsEveryBrokenPromise$/^" + name + "$"
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", only)
			c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", env, i))
			out, err := c.CombinedOutput()
			require.Error(t, err, "%s", out)
			require.Regexp(t, "--- FAIL: .*/"+regexp.QuoteMeta(name), string(out))
		})
	}
}

// broken is a Bus that does not keep a promise.
type broken struct {
	cluster.Bus
	real *clustertest.Bus

	publish   func(ctx context.Context, to cluster.Subject, payload []byte) error
	subscribe func(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error)
	tells     func(cluster.BusEvent) bool
	close     func(context.Context) error
	events    chan cluster.BusEvent
	most      int
}

func newBroken(bus *clustertest.Bus, by func(*broken)) *broken {
	b := &broken{
		Bus: bus, real: bus,
		publish: bus.Publish, subscribe: bus.Subscribe, close: bus.Close,
		tells:  func(cluster.BusEvent) bool { return true },
		events: make(chan cluster.BusEvent, 1000),
		most:   bus.MaxPayload(),
	}
	by(b)
	go func() {
		defer close(b.events)
		for e := range bus.Events() {
			if b.tells(e) {
				b.events <- e
			}
		}
	}()
	return b
}

func (b *broken) Publish(ctx context.Context, to cluster.Subject, payload []byte) error {
	return b.publish(ctx, to, payload)
}

func (b *broken) Subscribe(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
	return b.subscribe(ctx, subjects, out)
}

func (b *broken) Events() <-chan cluster.BusEvent { return b.events }
func (b *broken) MaxPayload() int                 { return b.most }
func (b *broken) Close(ctx context.Context) error { return b.close(ctx) }
