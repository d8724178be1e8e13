package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/trending"
)

func TestNode_CountsWholeService(t *testing.T) {
	bubble(t, "first change at once, others with the next flush", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b, c := start(t, net, "a"), start(t, net, "b"), start(t, net, "c")
		after(2 * time.Second)
		a.join(t, "r", 1)
		settle()
		require.Equal(t, occ(1, 0), b.Current("r"))
		after(time.Second)
		b.join(t, "r", 1)
		must(t, c.Enter("r", "alice"))
		settle()
		for _, h := range []*host{a, b, c} {
			require.Equal(t, occ(2, 1), h.Current("r"))
			require.False(t, h.node.Health().Degraded)
		}
		a.join(t, "r", 3)
		after(450 * time.Millisecond)
		require.Equal(t, occ(5, 1), c.Current("r"))
		o, err := c.Get(t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(5, 1), o)
		must(t, a.node.Close())
		settle()
		require.Equal(t, occ(1, 1), c.Current("r"))
		t.Logf("%+v", c.node.Health())
	})
}

// A second node on one engine would count the service's connections again.
func TestStart_LinkedEngine_ReturnsErrLinked(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net, hosts := service(t, 2)
		node, err := cluster.Start(t.Context(), hosts[0].Engine, net.Bus("second"))
		require.ErrorIs(t, err, occupancy.ErrLinked)
		require.Nil(t, node)
		after(time.Minute)
		for _, h := range hosts {
			require.Equal(t, occ(2, 0), h.Current("r"))
			require.Len(t, h.node.Health().Peers, 1)
		}
		must(t, hosts[0].node.Close())
		node, err = cluster.Start(t.Context(), hosts[0].Engine, net.Bus("third"))
		must(t, err)
		must(t, node.Close())
	})
}

func TestStart_ClosedEngine_ReturnsErrClosed(t *testing.T) {
	eng := occupancy.New()
	must(t, eng.Close())
	node, err := cluster.Start(t.Context(), eng, clustertest.NewNetwork(1).Bus("a"))
	require.ErrorIs(t, err, occupancy.ErrClosed)
	require.Nil(t, node)
}

func TestStart_Error_LeavesEngineLinkable(t *testing.T) {
	eng := occupancy.New()
	defer eng.Close()
	net := clustertest.NewNetwork(1)
	small, closed := net.Bus("small"), net.Bus("closed")
	small.SetMaxPayload(cluster.MinPayload - 1)
	must(t, closed.Close(t.Context()))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, start := range map[string]func() (*cluster.Node, error){
		"invalid option": func() (*cluster.Node, error) {
			return cluster.Start(t.Context(), eng, net.Bus("a"), cluster.WithHeartbeat(-1))
		},
		"small payloads":  func() (*cluster.Node, error) { return cluster.Start(t.Context(), eng, small) },
		"closed bus":      func() (*cluster.Node, error) { return cluster.Start(t.Context(), eng, closed) },
		"context is done": func() (*cluster.Node, error) { return cluster.Start(ended, eng, net.Bus("b")) },
		"no random bits": func() (*cluster.Node, error) {
			return cluster.Start(t.Context(), eng, net.Bus("c"), cluster.WithEntropy(noEntropy{}))
		},
	} {
		_, err := start()
		require.Error(t, err, name)
		link, err := eng.Link(nil)
		must(t, err)
		must(t, link.Close())
	}
}

func TestStart_InvalidArguments_ReturnsError(t *testing.T) {
	eng := occupancy.New()
	defer eng.Close()
	refused := func(bus cluster.Bus, opts ...cluster.Option) string {
		t.Helper()
		node, err := cluster.Start(t.Context(), eng, bus, opts...)
		require.Error(t, err)
		require.Nil(t, node)
		return err.Error()
	}
	net := clustertest.NewNetwork(1)
	other := occupancy.New()
	defer other.Close()
	for name, o := range map[string]cluster.Option{
		"board":     cluster.WithTrending(trending.New(other)), // of another engine
		"name":      cluster.WithName(fmt.Sprintf("%256d", 1)),
		"utf8":      cluster.WithName("\xff"),
		"flush":     cluster.WithFlush(-1),
		"hold":      cluster.WithHold(-1),
		"heartbeat": cluster.WithHeartbeat(0),
		"lease":     cluster.WithLease(time.Second),
		"wait":      cluster.WithGetTimeout(0),
		"forget":    cluster.WithForget(-1),
		"expected":  cluster.WithExpectedNodes(0),
		"peers":     cluster.WithMaxPeers(0),
		"rooms":     cluster.WithMaxRooms(0),
		"count":     cluster.WithMaxCount(-1),
	} {
		require.Regexp(t, "^cluster: ", refused(net.Bus(name), o), name)
	}
	long := cluster.WithName(fmt.Sprintf("%243d", 1)) // with its suffix, the name of the aggregator is too long
	require.Contains(t, refused(net.Bus("long"), cluster.WithAggregator(), long), "WithName")
	small := net.Bus("small")
	small.SetMaxPayload(cluster.MinPayload - 1)
	require.Contains(t, refused(small), "too small")
	closed := net.Bus("closed")
	must(t, closed.Close(t.Context()))
	require.Contains(t, refused(closed), "closed")
	require.Contains(t, refused(net.Bus("entropy"), cluster.WithEntropy(noEntropy{})), "cannot read random bits")
	// The engine is not linked.
	_, err := eng.Get(t.Context(), "r")
	must(t, err)
	must(t, eng.Close())
	_, err = cluster.Start(t.Context(), eng, net.Bus("late"))
	require.ErrorIs(t, err, occupancy.ErrClosed)
}

type noEntropy struct{}

func TestStart_ContextLimitsOnlyStart(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a := start(t, net, "a")
		ctx, cancel := context.WithCancel(t.Context())
		b := &host{occupancy.New(), net.Bus("b"), nil}
		var err error
		b.node, err = cluster.Start(ctx, b.Engine, b.bus)
		must(t, err)
		t.Cleanup(b.crash)
		cancel()
		a.join(t, "r", 1)
		after(3 * time.Second)
		require.Equal(t, occ(1, 0), b.Current("r"))
		require.Regexp(t, ".+-[0-9a-f]{8}", b.node.Health().Name)
	})
}

func TestNode_IdleSendsHeartbeatsOnly(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := start(t, net, "a"), start(t, net, "b")
		for i := range 5000 {
			a.join(t, room(i), 1)
		}
		after(5 * time.Second)
		require.Equal(t, 5000, b.Stats().Total.Connections)
		kinds := map[cluster.Kind]int{}
		bytes := 0
		net.Tap(func(_ string, m cluster.Message) { kinds[m.Subject.Kind]++; bytes += len(m.Payload) })
		time.Sleep(100 * time.Second)
		synctest.Wait()
		require.Equal(t, map[cluster.Kind]int{cluster.KindHeartbeat: 200}, kinds)
		require.Less(t, bytes, 200*60)
	})
}

type slowSub struct{ *clustertest.Bus }

func (b slowSub) Subscribe(ctx context.Context, s []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
	time.Sleep(3 * time.Second)
	return b.Bus.Subscribe(ctx, s, out)
}

func TestStart_SlowSubscribeIsNoPause(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		eng := occupancy.New()
		defer eng.Close()
		node, err := cluster.Start(t.Context(), eng, slowSub{net.Bus("a")})
		must(t, err)
		defer node.Close()
		settle()
		require.Zero(t, node.Health().Pauses)
	})
}

// refusingBus refuses one of the subscriptions.
type refusingBus struct {
	*clustertest.Bus
	refused, calls, open int
}

var errRefused = errors.New("refused")

func (b *refusingBus) Subscribe(ctx context.Context, subjects []cluster.Subject, out chan<- cluster.Message) (io.Closer, error) {
	if b.calls++; b.calls == b.refused {
		return nil, errRefused
	}
	b.open++
	sub, err := b.Bus.Subscribe(ctx, subjects, out)
	return countedSubscription{sub, b}, err
}

type countedSubscription struct {
	io.Closer
	bus *refusingBus
}

func (s countedSubscription) Close() error {
	s.bus.open--
	return s.Closer.Close()
}

func TestStart_ReleasesEverythingIfTheBusRefusesASubscription(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		e, bus := occupancy.New(), &refusingBus{Bus: clustertest.NewNetwork(1).Bus("n0")}
		for bus.refused = 1; ; bus.refused++ {
			bus.calls = 0
			n, err := cluster.Start(t.Context(), e, bus, cluster.WithAggregator())
			if err == nil {
				must(t, n.Ready(t.Context()), n.Close())
				break
			}
			require.ErrorIs(t, err, errRefused)
			require.Zero(t, bus.open)
		}
		require.Equal(t, 4, bus.refused) // there are three subscriptions
		require.Zero(t, bus.open)
		must(t, e.Close(), bus.Close(t.Context()))
	})
}
