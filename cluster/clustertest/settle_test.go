package clustertest_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

// service runs a test with the nodes a, b and c in virtual time.
func service(t *testing.T, test func(t *testing.T, net *clustertest.Network, a, b, c *clustertest.Node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a := net.StartNode(t, "a", occupancy.New())
		b := net.StartNode(t, "b", occupancy.New())
		c := net.StartNode(t, "c", occupancy.New())
		net.Settle(t)
		test(t, net, a, b, c)
	})
}

// fakeTB records a failure instead of failing the test.
type fakeTB struct {
	testing.TB
	failure string
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure returns the text with which the function fails its test, or "".
func failure(f func(t testing.TB)) string {
	var fake fakeTB
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(&fake)
	}()
	<-ended
	return fake.failure
}

func settleFailure(net *clustertest.Network) string {
	return failure(func(t testing.TB) { net.Settle(t) })
}

func connections(n int) occupancy.Occupancy { return occupancy.Occupancy{Connections: n} }

func TestSettle_NodesAgree(t *testing.T) {
	service(t, func(t *testing.T, net *clustertest.Network, a, b, c *clustertest.Node) {
		for _, node := range []*clustertest.Node{a, b, c} {
			require.False(t, node.Health().Degraded)
			require.NoError(t, node.Ready(t.Context()))
		}
		sub, err := c.Engine.Subscribe("lobby")
		require.NoError(t, err)
		for range 5 {
			require.NoError(t, a.Engine.Join("lobby"))
			require.NoError(t, b.Engine.Join("lobby"))
		}
		require.NoError(t, a.Engine.Enter("lobby", "alice"))
		net.Settle(t)
		want := occupancy.Occupancy{Connections: 10, PresenceMembers: 1}
		net.Want(t, "lobby", want)
		require.Equal(t, want, (<-sub.Events()).Occupancy)
		require.NoError(t, a.Engine.Exit("lobby", "alice"))
		net.Settle(t)
		net.Want(t, "lobby", connections(10))
	})
}

// The engine of c does not count users, so the nodes never agree on them.
func TestSettle_ComparesUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a := net.StartNode(t, "a", occupancy.New(occupancy.WithUsers()))
		b := net.StartNode(t, "b", occupancy.New(occupancy.WithUsers()))
		for _, node := range []*clustertest.Node{a, b} {
			_, err := node.Engine.Connect("lobby", occupancy.As("alice"))
			require.NoError(t, err)
		}
		net.Settle(t)
		net.Want(t, "lobby", occupancy.Occupancy{Connections: 2, PresenceMembers: 2, Users: 1})

		net.StartNode(t, "c", occupancy.New())
		require.Contains(t, settleFailure(net), `c has 0 users in room "lobby", and a has 1`)
	})
}

func TestSettle_LossAndDelay(t *testing.T) {
	service(t, func(t *testing.T, net *clustertest.Network, a, b, c *clustertest.Node) {
		net.SetFaults(clustertest.Faults{Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, MaxDelay: 300 * time.Millisecond})
		for i := range 20 {
			require.NoError(t, a.Engine.Join("lobby"))
			net.Settle(t)
			net.Want(t, "lobby", occupancy.Occupancy{Connections: i + 1, PresenceMembers: i})
			require.NoError(t, b.Engine.Enter("lobby", "alice"))
			net.Settle(t)
			net.Want(t, "lobby", occupancy.Occupancy{Connections: i + 1, PresenceMembers: i + 1})
		}
	})
}

// Settle waits for each node that is interested in a room, and no others.
func TestSettle_Sharding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		net.StartNode(t, "seed-1", occupancy.New(), cluster.WithAggregator())
		net.StartNode(t, "seed-2", occupancy.New(), cluster.WithAggregator())
		chat := net.StartNode(t, "chat", occupancy.New(), cluster.WithSharding())
		subscriber := net.StartNode(t, "subscriber", occupancy.New(), cluster.WithSharding())
		observer := net.StartNode(t, "observer", occupancy.New(), cluster.WithEverything())
		sub, err := subscriber.Engine.Subscribe("lobby")
		require.NoError(t, err)
		defer sub.Unsubscribe()
		net.Settle(t)
		for i := range 5 {
			require.NoError(t, chat.Engine.Join("lobby"))
			net.Settle(t)
			net.Want(t, "lobby", connections(i+1))
			for _, node := range []*clustertest.Node{chat, subscriber, observer} {
				require.Equal(t, connections(i+1), node.Engine.Current("lobby"))
			}
		}
		require.Contains(t, failure(func(t testing.TB) { net.Want(t, "lobby", connections(4)) }), `
    seed-1 is not interested in the room
    seed-2 is not interested in the room
    chat has {Connections:5 PresenceMembers:0 Users:0}, its own part is {Connections:5 PresenceMembers:0 Users:0}
    subscriber has {Connections:5 PresenceMembers:0 Users:0}, its own part is {Connections:0 PresenceMembers:0 Users:0}
    observer has {Connections:5 PresenceMembers:0 Users:0}, its own part is {Connections:0 PresenceMembers:0 Users:0}`)

		observer.Kill()
		chat.Kill()
		net.Settle(t)
		net.Want(t, "lobby", connections(0))
		require.NotEmpty(t, failure(func(t testing.TB) { net.Want(t, "empty", connections(0)) })) // no node is interested
	})
}

// The counts agree before the message arrives and after the next one, and not in between.
func TestSettle_WaitsForMessagesInTransit(t *testing.T) {
	service(t, func(t *testing.T, net *clustertest.Network, a, b, c *clustertest.Node) {
		net.SetFaults(clustertest.Faults{MinDelay: 400 * time.Millisecond, MaxDelay: 400 * time.Millisecond})
		require.NoError(t, a.Engine.Join("lobby"))
		time.Sleep(10 * time.Millisecond) // the change is published
		require.NoError(t, a.Engine.Leave("lobby"))
		start := time.Now()
		net.Settle(t)
		require.Greater(t, time.Since(start), 400*time.Millisecond)
		sub, err := b.Engine.Subscribe("lobby")
		require.NoError(t, err)
		<-sub.Events()
		time.Sleep(time.Minute)
		require.Empty(t, sub.Events())

		// Heartbeats are always in transit now.
		net.SetFaults(clustertest.Faults{MinDelay: 1100 * time.Millisecond, MaxDelay: 1100 * time.Millisecond})
		time.Sleep(time.Minute)
		net.Settle(t)
	})
}

func TestKill_AndRestart(t *testing.T) {
	service(t, func(t *testing.T, net *clustertest.Network, a, b, c *clustertest.Node) {
		require.NoError(t, a.Engine.Join("lobby"))
		require.NoError(t, b.Engine.Join("lobby"))
		net.Settle(t)
		killed := time.Now()
		b.Kill()
		require.ErrorIs(t, b.Engine.Join("lobby"), occupancy.ErrClosed)
		net.Settle(t)
		net.Want(t, "lobby", connections(1))
		require.Greater(t, time.Since(killed), 5*time.Second) // the lease
		require.Equal(t, cluster.Missing, c.Health().Peers[1].State)

		b = net.StartNode(t, "b", occupancy.New())
		require.NoError(t, b.Engine.Join("lobby"))
		net.Settle(t)
		net.Want(t, "lobby", connections(2))
		require.False(t, c.Health().Degraded)

		// A closed node leaves at once.
		start := time.Now()
		require.NoError(t, b.Close())
		net.Settle(t)
		require.Less(t, time.Since(start), time.Second)
		net.Want(t, "lobby", connections(1))
		require.False(t, c.Health().Degraded)
	})
}

func TestSettle_Partition_PrintsProblems(t *testing.T) {
	service(t, func(t *testing.T, net *clustertest.Network, a, b, c *clustertest.Node) {
		net.Partition([]string{"c"})
		require.NoError(t, c.Engine.Join("lobby"))
		require.Equal(t, `the nodes do not agree after 1m0s:
    a has the live peers ["b"], and the other running nodes are ["b" "c"]
    b has the live peers ["a"], and the other running nodes are ["a" "c"]
    c has the live peers [], and the other running nodes are ["a" "b"]
    a has {Connections:0 PresenceMembers:0 Users:0} in room "lobby", and the nodes' own parts are {Connections:1 PresenceMembers:0 Users:0}
    b has {Connections:0 PresenceMembers:0 Users:0} in room "lobby", and the nodes' own parts are {Connections:1 PresenceMembers:0 Users:0}`,
			settleFailure(net))
		net.Partition()
		net.Settle(t)
		net.Want(t, "lobby", connections(1))
	})
}

func TestBlock_LosesMessagesInOneDirection(t *testing.T) {
	service(t, func(t *testing.T, net *clustertest.Network, a, b, c *clustertest.Node) {
		net.Block("a", "b")
		require.NoError(t, a.Engine.Join("lobby"))
		require.NoError(t, b.Engine.Join("hall"))
		time.Sleep(time.Second)
		require.Equal(t, connections(1), c.Engine.Current("lobby"))
		require.Zero(t, b.Engine.Current("lobby"))
		require.Equal(t, connections(1), a.Engine.Current("hall"))
		require.Contains(t, settleFailure(net), `b has the live peers ["c"]`)
		net.Partition()
		net.Settle(t)
		net.Want(t, "lobby", connections(1))

		// Delayed messages are lost, too.
		net.SetFaults(clustertest.Faults{MinDelay: 500 * time.Millisecond, MaxDelay: 500 * time.Millisecond})
		require.NoError(t, a.Engine.Join("lobby"))
		time.Sleep(400 * time.Millisecond)
		net.Block("a", "b")
		time.Sleep(time.Second)
		require.Equal(t, connections(2), c.Engine.Current("lobby"))
		require.Equal(t, connections(1), b.Engine.Current("lobby"))
	})
}

func TestSettle_DegradedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		net.StartNode(t, "a", occupancy.New(), cluster.WithExpectedNodes(2))
		require.Equal(t, `the nodes do not agree after 1m0s:
    a (degraded: fewer nodes are known than WithExpectedNodes requires)`, settleFailure(net))
	})
}

// The text of a failure does not become too long.
func TestSettle_LimitsLines(t *testing.T) {
	service(t, func(t *testing.T, net *clustertest.Network, a, b, c *clustertest.Node) {
		net.Partition([]string{"c"})
		for i := range 100 {
			require.NoError(t, c.Engine.Join(fmt.Sprint("room", i)))
		}
		require.Regexp(t, `(?s)"room10".*\n    and 183 more$`, settleFailure(net))
	})
}

func TestWant_PrintsEachNode(t *testing.T) {
	service(t, func(t *testing.T, net *clustertest.Network, a, b, c *clustertest.Node) {
		require.NoError(t, a.Engine.Join("lobby"))
		net.Settle(t)
		b.Bus.Disconnect()
		require.NoError(t, a.Engine.Enter("lobby", "alice"))
		time.Sleep(time.Second)
		require.Regexp(t, `^room "lobby" is not {Connections:1 PresenceMembers:1 Users:0} on each node, [0-9.]+s after the network was created:
    a has {Connections:1 PresenceMembers:1 Users:0}, its own part is {Connections:1 PresenceMembers:1 Users:0}
    b has {Connections:1 PresenceMembers:0 Users:0}, its own part is {Connections:0 PresenceMembers:0 Users:0} \(degraded: the bus is disconnected.*\)
    c has {Connections:1 PresenceMembers:1 Users:0}, its own part is {Connections:0 PresenceMembers:0 Users:0}$`,
			failure(func(t testing.TB) { net.Want(t, "lobby", occupancy.Occupancy{Connections: 1, PresenceMembers: 1}) }))
	})
}

func TestSettleAndWant_WithoutNodes_Fail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		want := func(t testing.TB) { net.Want(t, "lobby", occupancy.Occupancy{}) }
		const text = "no node is running: call StartNode before"
		require.Equal(t, text, settleFailure(net))
		require.Equal(t, text, failure(want))
		net.StartNode(t, "a", occupancy.New()).Kill()
		require.Equal(t, text, failure(want))
	})
}

func TestStartNode_Error_FailsTest(t *testing.T) {
	net := clustertest.NewNetwork(1)
	start := func(opts ...cluster.Option) string {
		return failure(func(t testing.TB) { net.StartNode(t, "a", occupancy.New(), opts...) })
	}
	require.Contains(t, start(cluster.WithHeartbeat(-1)), "node a: cluster: WithHeartbeat")
	require.NotPanics(t, func() { net.Bus("a") }) // the name can be used again
}
