package natscluster_test

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
	"github.com/occupancy/occupancy/cluster/natscluster"
)

// freeAddrs are of the loopback, and free a moment ago.
func freeAddrs(t testing.TB, n int) []string {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		addrs[i] = l.Addr().String()
	}
	return addrs
}

// threeSeeds link to each other, by the whole list.
func threeSeeds(t testing.TB, opts ...natscluster.Option) []*natscluster.Bus {
	addrs := freeAddrs(t, 3)
	seeds := make([]*natscluster.Bus, len(addrs))
	for i, addr := range addrs {
		seeds[i] = embed(t, append(opts, natscluster.WithClusterListen(addr), natscluster.WithSeeds(addrs...),
			natscluster.WithClientListen("127.0.0.1:0"))...)
		require.Equal(t, addr, seeds[i].ClusterAddr())
	}
	for _, s := range seeds {
		eventually(t, "linked to both others", func() bool { return s.Stats().Routes == 2 })
	}
	return seeds
}

func TestEmbed_ClientsMoveOnWhenASeedDies(t *testing.T) {
	leavesNothing(t)
	seeds := threeSeeds(t)
	// A client knows one seed; it learns of the others from it.
	clients := make([]*natscluster.Bus, 6)
	inboxes := make([]<-chan cluster.Message, len(clients))
	for i := range clients {
		clients[i] = connect(t, seeds[i%3].ClientURL())
		require.Equal(t, seeds[i%3].ClientURL(), clients[i].Stats().Server)
		event(t, clients[i], cluster.Connected)
		inboxes[i] = subscribe(t, clients[i], 4096, digests, hearts)
	}
	for _, in := range inboxes {
		until(t, seeds[2], in, "before")
	}

	require.NoError(t, seeds[0].Close(soon(t)))
	for i, c := range clients {
		if i%3 == 0 {
			event(t, c, cluster.Disconnected)
			event(t, c, cluster.Connected)
			require.NotEqual(t, seeds[0].ClientURL(), c.Stats().Server)
			require.EqualValues(t, 1, c.Stats().Reconnects)
		}
	}
	for i, in := range inboxes {
		until(t, clients[(i+1)%len(clients)], in, fmt.Sprintf("after, to %d", i))
	}
	for i, c := range clients {
		if i%3 != 0 {
			require.Zero(t, c.Stats().Reconnects, "who had another seed noticed nothing")
		}
	}
}

func TestEmbed_ASeedComesBack(t *testing.T) {
	leavesNothing(t)
	seeds := threeSeeds(t)
	addr := seeds[0].ClusterAddr()
	require.NoError(t, seeds[0].Close(soon(t)))
	for _, s := range seeds[1:] {
		eventually(t, "one link less", func() bool { return s.Stats().Routes == 1 })
	}
	again := embed(t, natscluster.WithClusterListen(addr), natscluster.WithSeeds(seeds[1].ClusterAddr()))
	for i, s := range seeds[1:] {
		until(t, s, subscribe(t, again, 64, digests), fmt.Sprint("to it ", i))
		until(t, again, subscribe(t, s, 64, digests), fmt.Sprint("from it ", i))
	}
}

// Nothing passes between two seeds, and neither connection is closed: as if a cable
// was pulled.
func TestEmbed_FindsADeadLink(t *testing.T) {
	leavesNothing(t)
	a := embed(t, natscluster.WithClusterListen("127.0.0.1:0"))
	p := newProxy(t, a.ClusterAddr())
	b := embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithSeeds(p.Addr()))
	in := subscribe(t, b, 4096, digests)
	until(t, a, in, "linked")

	p.Hold()
	held := time.Now()
	eventually(t, "found", func() bool { return a.Stats().Routes == 0 })
	t.Logf("found after %v", time.Since(held))
	p.Release()
	released := time.Now()
	until(t, a, in, "linked again")
	t.Logf("linked again after %v", time.Since(released))
}

func TestEmbed_CloseHandsOnWhatWasPublished(t *testing.T) {
	leavesNothing(t)
	a := embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithClientListen("127.0.0.1:0"))
	for range 20 {
		b := embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithSeeds(a.ClusterAddr()),
			natscluster.WithClientListen("127.0.0.1:0"))
		byRoute, direct := subscribe(t, a, 4096, digests), subscribe(t, connect(t, b.ClientURL()), 4096, digests)
		until(t, b, byRoute, "linked")
		until(t, b, direct, "linked")
		for n := range 100 {
			require.NoError(t, b.Publish(context.Background(), digests, fmt.Append(nil, n)))
		}
		require.NoError(t, b.Close(soon(t)))
		for _, in := range []<-chan cluster.Message{byRoute, direct} {
			for n := 0; n < 100; {
				select {
				case m := <-in:
					if string(m.Payload) != "linked" {
						require.Equal(t, fmt.Sprint(n), string(m.Payload))
						n++
					}
				case <-soon(t).Done():
					t.Fatalf("message %d was lost", n)
				}
			}
		}
	}
}

func TestEmbed_Credentials(t *testing.T) {
	for name, c := range map[string]struct{ right, wrong natscluster.Option }{
		"user":  {natscluster.WithUser("chat", "s:e/c@ret"), natscluster.WithUser("chat", "other")},
		"token": {natscluster.WithToken("s:e/c@ret"), natscluster.WithToken("other")},
	} {
		t.Run(name, func(t *testing.T) {
			leavesNothing(t)
			seeds := threeSeeds(t, c.right)
			client := connect(t, seeds[0].ClientURL(), c.right)
			in := subscribe(t, client, 4096, digests)
			until(t, seeds[2], in, "with credentials")

			for _, opts := range [][]natscluster.Option{{c.wrong}, nil} {
				_, err := natscluster.Connect(soon(t), seeds[0].ClientURL(), opts...)
				require.ErrorIs(t, err, nats.ErrAuthorization)

				log := new(logged)
				opts = append(opts, log.option(), natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithSeeds(seeds[0].ClusterAddr()))
				stranger := embed(t, opts...)
				eventually(t, "refused", func() bool { return log.has("Authorization Violation") })
				require.NoError(t, stranger.Publish(soon(t), digests, []byte("from outside")))
				require.NoError(t, stranger.Close(soon(t)))
				require.NotContains(t, until(t, seeds[1], in, "from inside"), "from outside")
			}
			for _, s := range seeds {
				require.Equal(t, 2, s.Stats().Routes)
			}
		})
	}
}

// Each of the two with a token of its own hears of the other from the third, which has
// none, and tries to link ten times a second.
func TestEmbed_SaysOnceWhatIsRefusedAllTheTime(t *testing.T) {
	leavesNothing(t)
	log, between := new(logged), embed(t, natscluster.WithClusterListen("127.0.0.1:0"))
	for _, token := range []string{"one", "another"} {
		embed(t, log.option(), natscluster.WithToken(token), natscluster.WithClusterListen("127.0.0.1:0"),
			natscluster.WithSeeds(between.ClusterAddr()))
	}
	const refusal = "authentication error"
	eventually(t, "refused", func() bool { return log.has(refusal) })
	addr := "nats://token:wrong@" + natscluster.ServerAddr(embed(t, log.option(), natscluster.WithToken("third")))
	for range 50 {
		_, err := nats.Connect(addr)
		require.ErrorIs(t, err, nats.ErrAuthorization)
	}
	require.LessOrEqual(t, log.count(refusal), 6)
}

func TestEmbed_AloneIsClosedToOthers(t *testing.T) {
	leavesNothing(t)
	alone := embed(t)
	require.Empty(t, alone.ClientURL())
	require.Empty(t, alone.ClusterAddr())
	addr := natscluster.ServerAddr(alone)
	require.True(t, strings.HasPrefix(addr, "127.0.0.1:"))
	_, err := natscluster.Connect(soon(t), "nats://"+addr)
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

// It would be a port of the client's own machine.
func TestEmbed_TellsClientsOnlyOfSeedsThatTheyCanReach(t *testing.T) {
	leavesNothing(t)
	a := embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithClientListen("127.0.0.1:0"))
	closed := embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithSeeds(a.ClusterAddr()))
	open := embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithSeeds(a.ClusterAddr()),
		natscluster.WithClientListen("127.0.0.1:0"))
	for _, s := range []*natscluster.Bus{a, closed, open} {
		eventually(t, "linked to both others", func() bool { return s.Stats().Routes == 2 })
	}
	client := connect(t, a.ClientURL())
	eventually(t, "told of the other", func() bool { return slices.Contains(natscluster.Discovered(client), open.ClientURL()) })
	require.NotContains(t, natscluster.Discovered(client), "nats://"+natscluster.ServerAddr(closed))
}

func TestEmbed_SaysWhichAddressIsTaken(t *testing.T) {
	leavesNothing(t)
	taken := embed(t, natscluster.WithClusterListen("127.0.0.1:0"), natscluster.WithClientListen("127.0.0.1:0"))
	free := freeAddrs(t, 1)[0]
	client := strings.TrimPrefix(taken.ClientURL(), "nats://")
	for _, opts := range [][]natscluster.Option{
		{natscluster.WithClusterListen(taken.ClusterAddr()), natscluster.WithClientListen(free)},
		{natscluster.WithClusterListen(free), natscluster.WithClientListen(client)},
		{natscluster.WithClusterListen(taken.ClusterAddr()), natscluster.WithClientListen(client)},
		{natscluster.WithClientListen(client)},
	} {
		_, err := natscluster.Embed(soon(t), opts...)
		require.ErrorContains(t, err, "address already in use")
	}
	l, err := net.Listen("tcp", free)
	require.NoError(t, err, "the other one is free again")
	require.NoError(t, l.Close())
}

func TestEmbed_PrefixKeepsServicesApart(t *testing.T) {
	leavesNothing(t)
	a := embed(t, natscluster.WithPrefix("chat"), natscluster.WithClientListen("127.0.0.1:0"))
	in := subscribe(t, a, 64, digests)
	other := connect(t, a.ClientURL(), natscluster.WithPrefix("chat.staging"))
	same := connect(t, a.ClientURL(), natscluster.WithPrefix("chat"))
	require.NoError(t, other.Publish(soon(t), digests, []byte("of another")))
	require.NoError(t, other.Close(soon(t)))
	require.Empty(t, until(t, same, in, "of the same"))
}
