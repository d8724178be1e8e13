package clustertest_test

import (
	"context"
	"errors"
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

// defects are functions that violate a guarantee, each with the name of the subtest of TestBus
// that must fail.
var defects = []struct {
	guarantee string
	apply     func(b *defectiveBus)
}{
	{"the first event is the initial state", func(b *defectiveBus) { b.filter = func(cluster.BusEvent) bool { return false } }},
	{"every subscriber receives each message", func(b *defectiveBus) {
		n := 0
		b.publish = func(ctx context.Context, to cluster.Subject, payload []byte) error {
			if n++; n%7 == 0 {
				return nil
			}
			return b.Bus.Publish(ctx, to, payload)
		}
	}},
	{"a Bus receives its own messages", func(b *defectiveBus) {
		b.publish = func(ctx context.Context, to cluster.Subject, payload []byte) error {
			if string(payload) == "own" {
				return nil
			}
			return b.Bus.Publish(ctx, to, payload)
		}
	}},
	{"Subscribe has taken effect when it returns", func(b *defectiveBus) {
		b.subscribe = func(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
			time.AfterFunc(20*time.Millisecond, func() { _, _ = b.Bus.Subscribe(ctx, subjects, out) })
			return io.NopCloser(nil), nil
		}
	}},
	{"subscribers receive no other subjects", func(b *defectiveBus) {
		b.publish = func(ctx context.Context, to cluster.Subject, payload []byte) error {
			return b.Bus.Publish(ctx, cluster.Subject{Kind: cluster.KindDigest, Shard: to.Shard}, payload)
		}
	}},
	{"messages of one publisher keep their order across subjects", func(b *defectiveBus) {
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
	{"payloads are not shared", func(b *defectiveBus) {
		b.publish = func(_ context.Context, to cluster.Subject, payload []byte) error {
			time.AfterFunc(5*time.Millisecond, func() { _ = b.Bus.Publish(context.Background(), to, payload) })
			return nil
		}
	}},
	{"MaxPayload is the largest payload", func(b *defectiveBus) { b.maxPayload = 1 << 21 }},
	{"MaxPayload is the largest payload", func(b *defectiveBus) { b.maxPayload = cluster.MinPayload - 1 }},
	{"Publish fails if the context is done", func(b *defectiveBus) {
		b.publish = func(_ context.Context, to cluster.Subject, payload []byte) error {
			return b.Bus.Publish(context.Background(), to, payload)
		}
	}},
	{"a full channel is reported and does not delay other subscribers", func(b *defectiveBus) {
		b.filter = func(e cluster.BusEvent) bool { return e != cluster.Lossy }
	}},
	{"a closed subscription receives nothing", func(b *defectiveBus) {
		b.subscribe = func(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
			_, err := b.Bus.Subscribe(ctx, subjects, out)
			return io.NopCloser(nil), err
		}
	}},
	{"a closed Bus sends and receives nothing", func(b *defectiveBus) { b.close = func(context.Context) error { return nil } }},
	{"an outage is reported and subscriptions survive it", func(b *defectiveBus) {
		b.filter = func(e cluster.BusEvent) bool { return e != cluster.Disconnected }
	}},
	{"an outage is reported and subscriptions survive it", func(b *defectiveBus) { // Publish waits for the connection
		b.publish = func(ctx context.Context, to cluster.Subject, payload []byte) error {
			err := b.Bus.Publish(ctx, to, payload)
			for errors.Is(err, clustertest.ErrDisconnected) {
				time.Sleep(time.Millisecond)
				err = b.Bus.Publish(ctx, to, payload)
			}
			return err
		}
	}},
	{"an outage is reported and subscriptions survive it", func(b *defectiveBus) { // the subscription does not survive
		var mu sync.Mutex
		var subs []io.Closer
		b.subscribe = func(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
			mu.Lock()
			defer mu.Unlock()
			sub, err := b.Bus.Subscribe(ctx, subjects, out)
			subs = append(subs, sub)
			return sub, err
		}
		b.filter = func(e cluster.BusEvent) bool {
			mu.Lock()
			defer mu.Unlock()
			if e == cluster.Disconnected {
				for _, sub := range subs {
					_ = sub.Close()
				}
			}
			return true
		}
	}},
}

// Each defective Bus is tested in a separate process, in which TestBus must fail.
func TestTestBus_DetectsEachDefectiveBus(t *testing.T) {
	const env = "CLUSTERTEST_DEFECT"
	if which := os.Getenv(env); which != "" {
		var i int
		_, err := fmt.Sscan(which, &i)
		require.NoError(t, err)
		clustertest.SetTimeout(time.Second)
		net, n := clustertest.NewNetwork(1), 0
		clustertest.TestBus(t, func(testing.TB) cluster.Bus {
			n++
			return newDefectiveBus(net.Bus(fmt.Sprint("bus", n)), defects[i].apply)
		}, clustertest.WithOutage(
			func(b cluster.Bus) { b.(*defectiveBus).real.Disconnect() },
			func(b cluster.Bus) { b.(*defectiveBus).real.Reconnect() },
		))
		return
	}
	for i, defect := range defects {
		t.Run(defect.guarantee, func(t *testing.T) {
			t.Parallel()
			name := strings.ReplaceAll(defect.guarantee, " ", "_")
			only := "^TestTestBus_DetectsEachDefectiveBus$/^" + name + "$"
			c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", only)
			c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", env, i))
			out, err := c.CombinedOutput()
			require.Error(t, err, "%s", out)
			require.Regexp(t, "--- FAIL: .*/"+regexp.QuoteMeta(name), string(out))
		})
	}
}

// defectiveBus is a Bus that violates a guarantee.
type defectiveBus struct {
	cluster.Bus
	real *clustertest.Bus

	publish    func(ctx context.Context, to cluster.Subject, payload []byte) error
	subscribe  func(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error)
	filter     func(cluster.BusEvent) bool
	close      func(context.Context) error
	events     chan cluster.BusEvent
	maxPayload int
}

func newDefectiveBus(bus *clustertest.Bus, apply func(*defectiveBus)) *defectiveBus {
	b := &defectiveBus{
		Bus: bus, real: bus,
		publish: bus.Publish, subscribe: bus.Subscribe, close: bus.Close,
		filter:     func(cluster.BusEvent) bool { return true },
		events:     make(chan cluster.BusEvent, 1000),
		maxPayload: bus.MaxPayload(),
	}
	apply(b)
	go func() {
		defer close(b.events)
		for e := range bus.Events() {
			if b.filter(e) {
				b.events <- e
			}
		}
	}()
	return b
}

func (b *defectiveBus) Publish(ctx context.Context, to cluster.Subject, payload []byte) error {
	return b.publish(ctx, to, payload)
}

func (b *defectiveBus) Subscribe(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
	return b.subscribe(ctx, subjects, out)
}

func (b *defectiveBus) Events() <-chan cluster.BusEvent { return b.events }
func (b *defectiveBus) MaxPayload() int                 { return b.maxPayload }
func (b *defectiveBus) Close(ctx context.Context) error { return b.close(ctx) }
