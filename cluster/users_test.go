package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

// startWithUsers starts a host whose engine counts users.
func startWithUsers(t testing.TB, net *clustertest.Network, name string, opts ...cluster.Option) *host {
	t.Helper()
	h := &host{occupancy.New(occupancy.WithUsers()), net.Bus(name), nil}
	node, err := cluster.Start(t.Context(), h.Engine, h.bus, append([]cluster.Option{cluster.WithName(name)}, opts...)...)
	require.NoError(t, err)
	h.node = node
	t.Cleanup(h.crash)
	return h
}

func connect(t testing.TB, h *host, room, client string) *occupancy.Lease {
	t.Helper()
	l, err := h.Connect(room, occupancy.As(client))
	require.NoError(t, err)
	return l
}

func threeWithUsers(t testing.TB) (hosts []*host) {
	net := clustertest.NewNetwork(1)
	for i := range 3 {
		hosts = append(hosts, startWithUsers(t, net, fmt.Sprint("node", i)))
	}
	after(2 * beat)
	return hosts
}

func TestUsers_OnSeveralNodesCountOnce(t *testing.T) {
	bubble(t, "on three nodes, in Current, in Get and in events", func(t *testing.T) {
		hosts := threeWithUsers(t)
		want := func(members, users int) {
			t.Helper()
			after(beat)
			for _, h := range hosts {
				want := occupancy.Occupancy{Connections: members, PresenceMembers: members, Users: users}
				require.Equal(t, want, h.Current("r"))
				got, err := h.Get(t.Context(), "r")
				must(t, err)
				require.Equal(t, want, got)
				require.Empty(t, h.node.Health().Reasons)
			}
		}
		var leases []*occupancy.Lease
		for _, h := range hosts {
			leases = append(leases, connect(t, h, "r", "ann"))
		}
		want(3, 1)
		bob := connect(t, hosts[1], "r", "bob")
		want(4, 2)
		must(t, leases[0].Close())
		want(3, 2)
		must(t, leases[1].Close(), bob.Close())
		want(1, 1)
		must(t, leases[2].Close())
		want(0, 0)
	})
	bubble(t, "no event has a user twice who moves from node to node", func(t *testing.T) {
		hosts := threeWithUsers(t)
		at := connect(t, hosts[0], "r", "ann")
		after(beat)
		var subs []*occupancy.Subscription
		for _, h := range hosts {
			s, err := h.Subscribe("r")
			must(t, err)
			subs = append(subs, s)
		}
		for i := range 50 {
			next := connect(t, hosts[(i+1)%3], "r", "ann")
			after(time.Duration(i*37%500) * time.Millisecond)
			must(t, at.Close())
			at = next
			after(time.Duration(300+i*53%500) * time.Millisecond) // longer than a flush
			for _, s := range subs {
				for len(s.Events()) > 0 {
					require.Equal(t, 1, (<-s.Events()).Occupancy.Users)
				}
			}
		}
	})
	bubble(t, "one user is replaced by another, and no count changes", func(t *testing.T) {
		hosts := threeWithUsers(t)
		connect(t, hosts[0], "r", "ann")
		bob := connect(t, hosts[1], "r", "bob")
		after(beat)
		require.Equal(t, 2, hosts[2].Current("r").Users)
		ann := connect(t, hosts[1], "r", "ann")
		must(t, bob.Close())
		after(beat)
		for _, h := range hosts {
			require.Equal(t, 1, h.Current("r").Users)
		}
		must(t, ann.Close())
	})
	bubble(t, "after a crash, a loss and a partition", func(t *testing.T) {
		hosts := threeWithUsers(t)
		for i := range 30 {
			connect(t, hosts[0], "r", fmt.Sprint(i))
			connect(t, hosts[1], "r", fmt.Sprint(i+10))
			connect(t, hosts[2], "r", fmt.Sprint(i+20))
		}
		after(beat)
		require.Equal(t, 50, hosts[0].Current("r").Users)
		hosts[0].bus.Overflow(3)
		connect(t, hosts[1], "r", "new")
		after(3 * beat)
		require.Equal(t, 51, hosts[0].Current("r").Users)
		hosts[2].bus.Disconnect()
		connect(t, hosts[2], "r", "newer")
		after(2 * beat)
		hosts[2].bus.Reconnect()
		after(4 * beat)
		require.Equal(t, 52, hosts[0].Current("r").Users)
		hosts[2].crash()
		after(30 * beat)
		require.Equal(t, 41, hosts[0].Current("r").Users)
		require.Equal(t, 41, hosts[1].Current("r").Users)
	})
}

func TestUsers_LingeringLeaseEndsWhenClientConnectsToAnotherNode(t *testing.T) {
	bubble(t, "the user is counted throughout", func(t *testing.T) {
		hosts := threeWithUsers(t)
		connect(t, hosts[0], "r", "ann").Linger(time.Minute)
		connect(t, hosts[0], "r", "bob").Linger(time.Minute)
		after(beat)
		connect(t, hosts[1], "r", "ann")
		after(beat)
		for _, h := range hosts {
			require.Equal(t, occupancy.Occupancy{Connections: 2, PresenceMembers: 2, Users: 2}, h.Current("r"))
		}
		require.Equal(t, 1, hosts[0].Stats().Lingering)
	})
}

func TestUsers_OfLargeRoomsAreEstimated(t *testing.T) {
	bubble(t, "above 4096 users of a node", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := startWithUsers(t, net, "a"), startWithUsers(t, net, "b")
		after(2 * beat)
		enter := func(h *host, from, to int) {
			for i := from; i < to; i++ {
				must(t, h.Enter("r", fmt.Sprint("client", i)))
			}
			after(2 * beat)
		}
		enter(a, 0, 4096)
		enter(b, 4000, 8000)
		require.Equal(t, 8000, a.Current("r").Users)
		require.Zero(t, a.node.Health().Peers[0].Estimated)
		enter(a, 4096, 30_000)
		require.InEpsilon(t, 30_000, b.Current("r").Users, 0.06)
		require.Equal(t, 30_000, a.Current("r").Users) // b reports all its users
		require.Equal(t, 1, b.node.Health().Peers[0].Estimated)
		require.Zero(t, a.node.Health().Peers[0].Estimated)
		for i := range 29_000 { // the smallest hashes are replaced by others
			must(t, a.Exit("r", fmt.Sprint("client", i)))
		}
		after(2 * beat)
		require.Equal(t, 4000-0+1000, b.Current("r").Users)
		require.Zero(t, b.node.Health().Peers[0].Estimated)
		require.Zero(t, b.node.Health().Mismatches)
	})
}

func TestUsers_OtherSecretIsDegraded(t *testing.T) {
	bubble(t, "both nodes report it", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := startWithUsers(t, net, "a", cluster.WithSecret("one")), startWithUsers(t, net, "b", cluster.WithSecret("two"))
		after(2 * beat)
		for _, h := range []*host{a, b} {
			require.True(t, h.node.Health().Peers[0].OtherSecret)
			require.True(t, strings.HasPrefix(h.node.Health().Reasons[0].Text, "different secret"))
		}
		b.crash() // then no user of this peer is counted any more
		after(lease + 2*beat)
		require.Equal(t, []string{"missing: b"}, reasons(a))
	})
}

// Nodes without users and nodes with users understand each other.
func TestUsers_OnSomeNodesOnly(t *testing.T) {
	bubble(t, "counts are exact, and users are those of the nodes that count them", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := startWithUsers(t, net, "a"), start(t, net, "b")
		after(2 * beat)
		connect(t, a, "r", "ann")
		connect(t, b, "r", "ann")
		after(3 * beat)
		require.Equal(t, occupancy.Occupancy{Connections: 2, PresenceMembers: 2, Users: 1}, a.Current("r"))
		require.Equal(t, occ(2, 2), b.Current("r"))
		for _, h := range []*host{a, b} {
			require.Zero(t, h.node.Health().Mismatches)
			require.False(t, h.node.Health().Degraded)
		}
	})
}

func TestUsers_NodeThatIsRestartedKnowsThem(t *testing.T) {
	bubble(t, "also those who entered before the first start", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := startWithUsers(t, net, "a"), startWithUsers(t, net, "b")
		connect(t, a, "r", "ann")
		connect(t, b, "r", "ann")
		after(2 * beat)
		must(t, b.node.Close(), b.bus.Close(context.Background()))
		connect(t, b, "r", "bob")
		after(beat)
		require.Equal(t, 1, a.Current("r").Users)
		b.bus = net.Bus("b again")
		var err error
		b.node, err = cluster.Start(t.Context(), b.Engine, b.bus, cluster.WithName("b"))
		must(t, err)
		after(3 * beat)
		require.Equal(t, 2, a.Current("r").Users)
		require.Equal(t, occupancy.Occupancy{Connections: 3, PresenceMembers: 3, Users: 2}, b.Current("r"))
	})
}
