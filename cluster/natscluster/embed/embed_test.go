package embed_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

// threeSeeds returns three seeds that are connected to each other. All seeds have the same
// list of seeds.
func threeSeeds(t testing.TB, opts ...embed.Option) []*embed.Bus {
	addrs := []string{bustest.FreeAddr(t), bustest.FreeAddr(t), bustest.FreeAddr(t)}
	seeds := make([]*embed.Bus, len(addrs))
	for i, addr := range addrs {
		seeds[i] = startSeed(t, append(opts, embed.WithClusterListen(addr), embed.WithSeeds(addrs...),
			embed.WithClientListen("127.0.0.1:0"))...)
		require.Equal(t, addr, seeds[i].ClusterAddr())
	}
	for _, s := range seeds {
		bustest.Eventually(t, "connected to both other seeds", func() bool { return s.Routes() == 2 })
	}
	return seeds
}

func TestStart_ClientsReconnectToOtherSeeds(t *testing.T) {
	checkGoroutines(t)
	seeds := threeSeeds(t)
	// Each client has the address of one seed. The seed informs the client of the other seeds.
	clients := make([]*natscluster.Bus, 6)
	inboxes := make([]<-chan cluster.Message, len(clients))
	for i := range clients {
		clients[i] = connect(t, seeds[i%3].ClientURL())
		require.Equal(t, seeds[i%3].ClientURL(), clients[i].Conn().ConnectedUrl())
		bustest.AwaitEvent(t, clients[i], cluster.Connected)
		inboxes[i] = bustest.Subscribe(t, clients[i], 4096, bustest.Digests, bustest.Heartbeats)
	}
	for _, in := range inboxes {
		bustest.Receive(t, seeds[2], in, "before")
	}

	require.NoError(t, seeds[0].Close(bustest.Context(t)))
	for i, c := range clients {
		if i%3 == 0 {
			bustest.AwaitEvent(t, c, cluster.Disconnected)
			bustest.AwaitEvent(t, c, cluster.Connected)
			require.NotEqual(t, seeds[0].ClientURL(), c.Conn().ConnectedUrl())
			require.EqualValues(t, 1, c.Conn().Stats().Reconnects)
		}
	}
	for i, in := range inboxes {
		bustest.Receive(t, clients[(i+1)%len(clients)], in, fmt.Sprintf("after, to %d", i))
	}
	for i, c := range clients {
		if i%3 != 0 {
			require.Zero(t, c.Conn().Stats().Reconnects, "clients of the other seeds stay connected")
		}
	}
}

func TestStart_SeedRestarts(t *testing.T) {
	checkGoroutines(t)
	seeds := threeSeeds(t)
	addr := seeds[0].ClusterAddr()
	require.NoError(t, seeds[0].Close(bustest.Context(t)))
	for _, s := range seeds[1:] {
		bustest.Eventually(t, "connected to the other seed only", func() bool { return s.Routes() == 1 })
	}
	restarted := startSeed(t, embed.WithClusterListen(addr), embed.WithSeeds(seeds[1].ClusterAddr()))
	for i, s := range seeds[1:] {
		bustest.Receive(t, s, bustest.Subscribe(t, restarted, 64, bustest.Digests), fmt.Sprint("to the restarted seed ", i))
		bustest.Receive(t, restarted, bustest.Subscribe(t, s, 64, bustest.Digests), fmt.Sprint("from the restarted seed ", i))
	}
}

// The connection between two seeds forwards no data any more, but it is not closed, as if
// a cable were unplugged.
func TestStart_DetectsDeadRoute(t *testing.T) {
	checkGoroutines(t)
	a := startSeed(t, embed.WithClusterListen("127.0.0.1:0"))
	p := bustest.NewProxy(t, a.ClusterAddr())
	b := startSeed(t, embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(p.Addr()))
	in := bustest.Subscribe(t, b, 4096, bustest.Digests)
	bustest.Receive(t, a, in, "before")

	p.Pause()
	paused := time.Now()
	bustest.Eventually(t, "the route is closed", func() bool { return a.Routes() == 0 })
	t.Logf("closed after %v", time.Since(paused))
	p.Resume()
	resumed := time.Now()
	bustest.Receive(t, a, in, "after")
	t.Logf("connected again after %v", time.Since(resumed))
}

// A seed that reaches no other seed must not appear to be connected.
func TestStart_WithoutRoutes_ReportsDisconnected(t *testing.T) {
	checkGoroutines(t)
	event := func(b *embed.Bus) cluster.BusEvent {
		select {
		case e := <-b.Events():
			return e
		case <-time.After(bustest.Timeout):
			t.Error("no event")
			return 0
		}
	}
	addr := bustest.FreeAddr(t)
	alone := startSeed(t, embed.WithClusterListen(addr), embed.WithSeeds(addr))
	require.Equal(t, cluster.Connected, event(alone)) // its own address is not another seed

	a := startSeed(t, embed.WithClusterListen("127.0.0.1:0"))
	require.Equal(t, cluster.Connected, event(a)) // no other seed is configured
	p := bustest.NewProxy(t, a.ClusterAddr())
	p.Pause()
	b := startSeed(t, embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(p.Addr()))
	require.Equal(t, cluster.Disconnected, event(b))
	p.Resume()
	require.Equal(t, cluster.Connected, event(b))
	p.Pause()
	require.Equal(t, cluster.Disconnected, event(b))
	require.Empty(t, a.Events())
}

func TestStart_CloseDeliversWhatWasPublished(t *testing.T) {
	checkGoroutines(t)
	a := startSeed(t, embed.WithClusterListen("127.0.0.1:0"), embed.WithClientListen("127.0.0.1:0"))
	for range 20 {
		b := startSeed(t, embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(a.ClusterAddr()),
			embed.WithClientListen("127.0.0.1:0"))
		byRoute, byClient := bustest.Subscribe(t, a, 4096, bustest.Digests), bustest.Subscribe(t, connect(t, b.ClientURL()), 4096, bustest.Digests)
		bustest.Receive(t, b, byRoute, "connected")
		bustest.Receive(t, b, byClient, "connected")
		for n := range 100 {
			require.NoError(t, b.Publish(context.Background(), bustest.Digests, fmt.Append(nil, n)))
		}
		require.NoError(t, b.Close(bustest.Context(t)))
		for _, in := range []<-chan cluster.Message{byRoute, byClient} {
			for n := 0; n < 100; {
				select {
				case m := <-in:
					if string(m.Payload) != "connected" {
						require.Equal(t, fmt.Sprint(n), string(m.Payload))
						n++
					}
				case <-bustest.Context(t).Done():
					t.Fatalf("message %d was lost", n)
				}
			}
		}
	}
}

func TestStart_CloseStopsServer(t *testing.T) {
	checkGoroutines(t)
	seed := startSeed(t, embed.WithClientListen("127.0.0.1:0"))
	require.NoError(t, seed.Close(bustest.Context(t)))
	_, err := net.Dial("tcp", strings.TrimPrefix(seed.ClientURL(), "nats://"))
	require.ErrorContains(t, err, "refused")
}

func TestStart_Credentials(t *testing.T) {
	for name, c := range map[string]struct {
		right, wrong           embed.Option
		rightLogin, wrongLogin nats.Option
	}{
		"user":  {embed.WithUser("chat", "s:e/c@ret"), embed.WithUser("chat", "other"), nats.UserInfo("chat", "s:e/c@ret"), nats.UserInfo("chat", "other")},
		"token": {embed.WithToken("s:e/c@ret"), embed.WithToken("other"), nats.Token("s:e/c@ret"), nats.Token("other")},
	} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			seeds := threeSeeds(t, c.right)
			client := connect(t, seeds[0].ClientURL(), natscluster.WithNATS(c.rightLogin))
			in := bustest.Subscribe(t, client, 4096, bustest.Digests)
			bustest.Receive(t, seeds[2], in, "authorized")

			for _, login := range []nats.Option{c.wrongLogin, nil} {
				_, err := natscluster.Connect(bustest.Context(t), seeds[0].ClientURL(), natscluster.WithNATS(login))
				require.ErrorIs(t, err, nats.ErrAuthorization)
				require.ErrorContains(t, err, "unauthorized")
			}
			for _, opts := range [][]embed.Option{{c.wrong}, nil} {
				log := new(bustest.Log)
				opts = append(opts, embed.WithLogger(log.Logger()), embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(seeds[0].ClusterAddr()))
				unauthorized := startSeed(t, opts...)
				bustest.Eventually(t, "refused", func() bool { return log.Contains("Authorization Violation") })
				require.NoError(t, unauthorized.Publish(bustest.Context(t), bustest.Digests, []byte("unauthorized")))
				require.NoError(t, unauthorized.Close(bustest.Context(t)))
				require.NotContains(t, bustest.Receive(t, seeds[1], in, "authorized again"), "unauthorized")
			}
			for _, s := range seeds {
				require.Equal(t, 2, s.Routes())
			}
		})
	}
}

// Two seeds with different tokens learn of each other from a third seed without a token.
// They try to connect to each other ten times a second.
func TestStart_LogsRepeatedRefusalOnce(t *testing.T) {
	checkGoroutines(t)
	start := time.Now()
	log, third := new(bustest.Log), startSeed(t, embed.WithClusterListen("127.0.0.1:0"))
	for _, token := range []string{"one", "another"} {
		startSeed(t, embed.WithLogger(log.Logger()), embed.WithToken(token), embed.WithClusterListen("127.0.0.1:0"),
			embed.WithSeeds(third.ClusterAddr()))
	}
	const refusal = "authentication error"
	bustest.Eventually(t, "refused", func() bool { return log.Contains(refusal) })
	addr := "nats://token:wrong@" + embed.ServerAddr(startSeed(t, embed.WithLogger(log.Logger()), embed.WithToken("secret")))
	for range 50 {
		_, err := nats.Connect(addr)
		require.ErrorIs(t, err, nats.ErrAuthorization)
	}
	logged := log.Count(refusal)
	require.LessOrEqual(t, logged, 6*(1+int(time.Since(start)/(10*time.Second))), "logged again after 10 s only")
}

func TestStart_WithoutOptionsAcceptsNobody(t *testing.T) {
	checkGoroutines(t)
	seed := startSeed(t)
	require.Empty(t, seed.ClientURL())
	require.Empty(t, seed.ClusterAddr())
	addr := embed.ServerAddr(seed)
	require.True(t, strings.HasPrefix(addr, "127.0.0.1:"))
	_, err := natscluster.Connect(bustest.Context(t), "nats://"+addr)
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

// Other machines cannot connect to a seed without WithClientListen, because it listens only
// on a loopback address.
func TestStart_InformsClientsOnlyOfReachableSeeds(t *testing.T) {
	checkGoroutines(t)
	a := startSeed(t, embed.WithClusterListen("127.0.0.1:0"), embed.WithClientListen("127.0.0.1:0"))
	unreachable := startSeed(t, embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(a.ClusterAddr()))
	reachable := startSeed(t, embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(a.ClusterAddr()),
		embed.WithClientListen("127.0.0.1:0"))
	for _, s := range []*embed.Bus{a, unreachable, reachable} {
		bustest.Eventually(t, "connected to both other seeds", func() bool { return s.Routes() == 2 })
	}
	client, err := nats.Connect(a.ClientURL())
	require.NoError(t, err)
	t.Cleanup(client.Close)
	bustest.Eventually(t, "informed of the reachable seed", func() bool {
		return slices.Contains(client.DiscoveredServers(), reachable.ClientURL())
	})
	require.NotContains(t, client.DiscoveredServers(), "nats://"+embed.ServerAddr(unreachable))
}

// The nodes reach the seeds through proxies, as through the port mapping of containers.
func TestStart_AdvertisedAddresses(t *testing.T) {
	checkGoroutines(t)
	var seeds []*embed.Bus
	var routes []*bustest.Proxy
	for range 3 {
		clientAddr, routeAddr := bustest.FreeAddr(t), bustest.FreeAddr(t)
		client, route := bustest.NewProxy(t, clientAddr), bustest.NewProxy(t, routeAddr)
		routes = append(routes, route)
		seeds = append(seeds, startSeed(t, embed.WithClientListen(clientAddr), embed.WithClientAdvertise(client.Addr()),
			embed.WithClusterListen(routeAddr), embed.WithClusterAdvertise(route.Addr()), embed.WithSeeds(routes[0].Addr())))
		s := seeds[len(seeds)-1]
		require.Equal(t, "nats://"+client.Addr(), s.ClientURL())
		require.Equal(t, route.Addr(), s.ClusterAddr())
	}
	for _, s := range seeds {
		bustest.Eventually(t, "connected to both other seeds", func() bool { return s.Routes() == 2 })
	}
	require.Positive(t, routes[2].Accepted(), "the first seed has informed the second seed of the third seed's address")
	client := connect(t, seeds[0].ClientURL())
	bustest.Eventually(t, "informed of the advertised addresses", func() bool {
		found := client.Conn().DiscoveredServers()
		return slices.Contains(found, seeds[1].ClientURL()) && slices.Contains(found, seeds[2].ClientURL())
	})
}

func TestStart_AddressInUse(t *testing.T) {
	checkGoroutines(t)
	other := startSeed(t, embed.WithClusterListen("127.0.0.1:0"), embed.WithClientListen("127.0.0.1:0"))
	free := bustest.FreeAddr(t)
	client := strings.TrimPrefix(other.ClientURL(), "nats://")
	for _, opts := range [][]embed.Option{
		{embed.WithClusterListen(other.ClusterAddr()), embed.WithClientListen(free)},
		{embed.WithClusterListen(free), embed.WithClientListen(client)},
		{embed.WithClusterListen(other.ClusterAddr()), embed.WithClientListen(client)},
		{embed.WithClientListen(client)},
	} {
		_, err := embed.Start(bustest.Context(t), opts...)
		require.ErrorContains(t, err, "address already in use")
	}
	l, err := net.Listen("tcp", free)
	require.NoError(t, err, "a failed Start closes its listeners")
	require.NoError(t, l.Close())
}

func TestStart_PrefixSeparatesServices(t *testing.T) {
	checkGoroutines(t)
	a := startSeed(t, embed.WithPrefix("chat"), embed.WithClientListen("127.0.0.1:0"))
	in := bustest.Subscribe(t, a, 64, bustest.Digests)
	other := connect(t, a.ClientURL(), natscluster.WithPrefix("chat.staging"))
	same := connect(t, a.ClientURL(), natscluster.WithPrefix("chat"))
	require.NoError(t, other.Publish(bustest.Context(t), bustest.Digests, []byte("of another service")))
	require.NoError(t, other.Close(bustest.Context(t)))
	require.Empty(t, bustest.Receive(t, same, in, "of the same service"))
}
