package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

// sharded starts a service of nodes n0, n1, ..., of which the first ones are also aggregators. It
// returns when all are ready.
func sharded(t *testing.T, nodes, aggregators int, opts ...cluster.Option) (*clustertest.Network, []*host) {
	t.Helper()
	net := clustertest.NewNetwork(1)
	var hosts []*host
	for i := range nodes {
		own := opts
		if i < aggregators {
			own = append([]cluster.Option{cluster.WithAggregator()}, opts...)
		}
		hosts = append(hosts, start(t, net, fmt.Sprint("n", i), append(own, cluster.WithSharding())...))
	}
	for _, h := range hosts {
		must(t, h.node.Ready(t.Context()))
	}
	return net, hosts
}

func TestSharding_NodesHaveTheRoomsOfInterest(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		began := time.Now()
		_, hosts := sharded(t, 6, 2)
		require.Less(t, time.Since(began), 4*time.Second)
		for i, h := range hosts {
			h.join(t, "common", 1)
			h.join(t, fmt.Sprint("own", i), 1)
			h.join(t, fmt.Sprint("pair", i/2), 1)
		}
		after(500 * time.Millisecond)
		for i, h := range hosts {
			require.Equal(t, map[string]occupancy.Occupancy{
				"common":                occ(6, 0),
				fmt.Sprint("own", i):    occ(1, 0),
				fmt.Sprint("pair", i/2): occ(2, 0),
			}, maps.Collect(h.All()))
			must(t, h.Leave("common"))
		}
		after(500 * time.Millisecond)
		for _, h := range hosts {
			require.Equal(t, 2, h.Stats().Rooms)
		}
	})
}

// The aggregator of a closed node leaves with the node.
func TestSharding_ClosedAggregatorLeaves(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		_, hosts := sharded(t, 3, 2)
		must(t, hosts[0].node.Close())
		after(beat)
		health := hosts[2].node.Health()
		require.Empty(t, health.Reasons)
		require.Len(t, health.Peers, 1)
		require.Equal(t, "n1 (aggregator)", health.Peers[0].Name)
	})
}

// A node need not wait for a heartbeat of an aggregator.
func TestSharding_StartIsAnnounced(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net, hosts := sharded(t, 3, 2)
		hosts[2].join(t, "r", 1)
		after(time.Second)
		for i := range 10 {
			h := start(t, net, fmt.Sprint("late", i), cluster.WithSharding())
			h.join(t, "r", 1)
			after(700 * time.Millisecond)
			require.Equal(t, occ(i+2, 0), h.Current("r"))
			require.Equal(t, i+4, h.node.Health().Nodes)
			after(time.Duration(37*i) * time.Millisecond)
		}
	})
}

// An aggregator uses the bus of its node. It loses no node while the bus is disconnected.
func TestSharding_AggregatorReceivesBusEvents(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		_, hosts := sharded(t, 3, 1)
		bus, a := hosts[0].bus, hosts[0].node.Aggregator()
		bus.Disconnect()
		settle()
		require.False(t, a.Health().Connected)
		after(2 * lease)
		bus.Reconnect()
		settle()
		require.True(t, a.Health().Connected)
		require.Zero(t, a.Health().Dropped)
		bus.Overflow(1)
		after(beat)
		require.Equal(t, uint64(1), a.Health().Lossy)
		must(t, bus.Close(t.Context()))
		settle()
		require.False(t, a.Health().Connected)
	})
}

// Busy nodes flush at the same time. An aggregator publishes their changes in the same interval.
func TestSharding_AggregatorsFlushShortlyAfterNodes(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		_, hosts := sharded(t, 6, 2)
		for _, h := range hosts {
			h.join(t, "r", 1)
		}
		after(time.Until(time.Now().Truncate(200 * time.Millisecond).Add(200*time.Millisecond + time.Second)))
		for i := range 40 { // two seconds
			hosts[0].join(t, room(i), 1) // keeps the node busy
			if i%4 == 1 {                // 50ms after a flush
				hosts[0].join(t, "r", 1)
			}
			after(49 * time.Millisecond)
			if i%4 == 0 && i > 4 { // 49ms after the next flush
				require.Equal(t, occ(6+i/4, 0), hosts[5].Current("r"))
			}
			after(time.Millisecond)
		}
	})
}

func TestSharding_LostAggregatorChangesNoCount(t *testing.T) {
	for _, how := range []string{"crash", "close", "restart"} {
		bubble(t, how, func(t *testing.T) {
			net, hosts := sharded(t, 6, 3)
			for _, h := range hosts[1:] {
				for i := range 50 {
					h.join(t, room(i), 1)
				}
			}
			after(time.Second)
			sub, err := hosts[5].Watch()
			must(t, err)
			defer sub.Close()
			_, err = sub.Next(t.Context())
			must(t, err)
			switch how {
			case "crash":
				hosts[0].crash()
			case "close":
				must(t, hosts[0].node.Close())
			case "restart":
				hosts[0].crash()
				start(t, net, "n0", cluster.WithAggregator())
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			events, err := sub.Next(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded, "%v", events)
			for _, h := range hosts[1:] {
				for i := range 50 {
					require.Equal(t, occ(5, 0), h.Current(room(i)))
				}
			}
			hosts[1].join(t, room(3), 1)
			after(time.Second)
			for _, h := range hosts[1:] {
				require.Equal(t, occ(6, 0), h.Current(room(3)))
				require.Equal(t, how == "crash", h.node.Health().Degraded, "%v", h.node.Health().Reasons) // n0 is Missing
			}
		})
	}
}

// An aggregator that is separated from some nodes removes their counts. Before this, the other nodes
// have changed to another aggregator.
func TestSharding_AggregatorWithoutSomeNodesChangesNoCount(t *testing.T) {
	for offset := range 5 { // of the heartbeats
		bubble(t, fmt.Sprint(offset), func(t *testing.T) {
			net, hosts := sharded(t, 10, 3)
			for _, h := range hosts {
				for i := range 30 {
					h.join(t, room(i), 1)
				}
			}
			after(time.Second + time.Duration(offset)*beat/5)
			for i := 6; i < 10; i++ {
				net.Block("n0", fmt.Sprint("n", i))
				net.Block(fmt.Sprint("n", i), "n0")
			}
			for range 200 {
				after(beat / 10)
				for i := range 30 {
					for j, h := range hosts {
						require.Equal(t, occ(10, 0), h.Current(room(i)), "n%d", j)
					}
				}
			}
		})
	}
}

func TestSharding_Get(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		_, hosts := sharded(t, 4, 2)
		hosts[2].join(t, "r", 3)
		after(time.Second)
		for i, h := range hosts {
			o, err := h.Get(t.Context(), "r")
			must(t, err)
			require.Equal(t, occ(3, 0), o)
			require.Equal(t, i == 2, h.Current("r") == occ(3, 0))
			top, err := h.node.Top(t.Context(), 10)
			must(t, err)
			require.Equal(t, []cluster.RoomCounts{{Room: "r", Occupancy: occ(3, 0)}}, top)
			top, err = h.node.Top(t.Context(), 0)
			must(t, err)
			require.Empty(t, top)
		}
		hosts[3].crash()
		after(8 * time.Second)
		o, err := hosts[2].Get(t.Context(), "r")
		require.Equal(t, occ(3, 0), o)
		var partial *cluster.PartialError
		require.ErrorAs(t, err, &partial)
		require.Equal(t, []string{"n3"}, partial.Missing)
		hosts[0].bus.Disconnect()
		hosts[1].bus.Disconnect()
		began := time.Now()
		_, err = hosts[2].node.Top(t.Context(), 10)
		require.ErrorAs(t, err, &partial)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Subset(t, partial.Missing, []string{"n0 (aggregator)", "n1 (aggregator)"})
		require.Equal(t, 250*time.Millisecond, time.Since(began))
	})
}

func TestSharding_Everything(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net, hosts := sharded(t, 4, 2)
		hosts[2].join(t, "r", 3)
		lobby := start(t, net, "lobby", cluster.WithEverything())
		must(t, lobby.node.Ready(t.Context()))
		require.Equal(t, occ(3, 0), lobby.Current("r"))
		hosts[3].join(t, "other", 1)
		after(time.Second)
		require.Equal(t, occ(1, 0), lobby.Current("other"))
		for range 2 { // the ranking is that of the counts which the node has
			top, err := lobby.node.Top(t.Context(), 10)
			must(t, err)
			require.Equal(t, lobby.Current("r"), top[0].Occupancy)
			hosts[2].join(t, "r", 1)
			after(300 * time.Millisecond)
		}
		must(t, hosts[3].Leave("other"))
		after(time.Second)
		require.Equal(t, occ(0, 0), lobby.Current("other"))
		require.Equal(t, 5, lobby.node.Health().Nodes)
	})
}

func TestSharding_AllAggregatorsLost(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net, hosts := sharded(t, 4, 2)
		for _, h := range hosts {
			h.join(t, "r", 1)
		}
		after(time.Second)
		hosts[0].crash()
		hosts[1].crash()
		after(lease + beat)
		for _, h := range hosts[2:] {
			require.True(t, h.node.Health().Degraded)
			require.Equal(t, occ(4, 0), h.Current("r")) // as last received
		}
		after(hold + 2*beat)
		require.Equal(t, occ(1, 0), hosts[2].Current("r"))
		start(t, net, "n0", cluster.WithAggregator())
		after(6 * time.Second)
		for _, h := range hosts[2:] {
			require.Equal(t, occ(2, 0), h.Current("r"))
			require.False(t, h.node.Health().Degraded, "%v", h.node.Health().Reasons)
		}
	})
}

// The aggregators have removed the counts of an isolated node. When the node returns, it keeps the
// counts of the others until it has the new ones.
func TestSharding_IsolatedNodeKeepsCounts(t *testing.T) {
	for _, long := range []time.Duration{3 * time.Second, lease + beat, 7 * time.Second, 10 * time.Second} {
		bubble(t, long.String(), func(t *testing.T) {
			net, hosts := sharded(t, 4, 2)
			for _, h := range hosts {
				for i := range 20 {
					h.join(t, room(i), 1)
				}
			}
			after(time.Second)
			net.Partition([]string{"n3"})
			after(long)
			hosts[0].join(t, "room0", 1)
			hosts[3].join(t, "room0", 1)
			must(t, hosts[3].Leave("room1"))
			net.Partition()
			for range 50 {
				after(20 * time.Millisecond)
				for i := 2; i < 20; i++ {
					require.Equal(t, occ(4, 0), hosts[3].Current(room(i)))
				}
				reasons := map[string]bool{}
				for _, r := range hosts[3].node.Health().Reasons {
					require.False(t, reasons[r.Text], r.Text)
					reasons[r.Text] = true
				}
			}
			after(2 * time.Second)
			for _, h := range hosts {
				require.Empty(t, h.node.Health().Reasons)
				require.Equal(t, occ(6, 0), h.Current("room0"))
				require.Equal(t, h != hosts[3], h.Current("room1") == occ(3, 0))
			}
		})
	}
}

// shardedWithUsers starts four nodes that count users, of which two are also aggregators.
func shardedWithUsers(t *testing.T) (hosts []*host) {
	t.Helper()
	net := clustertest.NewNetwork(1)
	for i := range 4 {
		opt := cluster.WithSharding()
		if i < 2 {
			opt = cluster.WithAggregator()
		}
		hosts = append(hosts, startWithUsers(t, net, fmt.Sprint("n", i), opt))
	}
	for _, h := range hosts {
		must(t, h.node.Ready(t.Context()))
	}
	return hosts
}

// Get also returns the users of a room in which the node is not interested.
func TestSharding_GetReturnsUsers(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		hosts := shardedWithUsers(t)
		for _, h := range hosts[:3] {
			connect(t, h, "r", "ann")
			connect(t, h, "r", h.bus.Name())
		}
		after(time.Second)
		for _, h := range hosts {
			o, err := h.Get(t.Context(), "r")
			must(t, err)
			require.Equal(t, occupancy.Occupancy{Connections: 6, PresenceMembers: 6, Users: 4}, o)
		}
		require.Zero(t, hosts[3].Current("r"))
	})
}

// The same users are on two nodes, of which each publishes a part. Another node estimates how many
// they are.
func TestSharding_ManyUsersOnSeveralNodes(t *testing.T) {
	const users = 5000
	bubble(t, "", func(t *testing.T) {
		hosts := shardedWithUsers(t)
		for i := range users {
			connect(t, hosts[0], "r", fmt.Sprint(i))
			connect(t, hosts[1], "r", fmt.Sprint(i))
		}
		connect(t, hosts[2], "r", "1")
		observed, err := hosts[3].Subscribe("r")
		must(t, err)
		defer observed.Unsubscribe()
		after(2 * time.Second)
		for _, h := range hosts {
			require.InEpsilon(t, users, h.Current("r").Users, 0.05)
			top, err := h.node.Top(t.Context(), 1)
			must(t, err)
			require.InEpsilon(t, users, top[0].Users, 0.05)
		}
		must(t, hosts[0].Close())
		after(2 * time.Second)
		require.InEpsilon(t, users, hosts[3].Current("r").Users, 0.05)
	})
}

// A node with too many rooms for itself, or for the aggregators, is degraded, but has the other rooms.
func TestSharding_OverLimit(t *testing.T) {
	const limit = 50
	for _, who := range []string{"observer", "aggregators"} {
		bubble(t, who, func(t *testing.T) {
			net := clustertest.NewNetwork(1)
			of := map[string][]cluster.Option{who: {cluster.WithMaxRooms(limit)}}
			start(t, net, "n0", append(of["aggregators"], cluster.WithAggregator())...)
			n := start(t, net, "n1", cluster.WithSharding())
			for i := range 2 * limit {
				n.join(t, room(i), 1)
			}
			observer := start(t, net, "observer", append(of["observer"], cluster.WithEverything())...)
			ctx, cancel := context.WithTimeout(t.Context(), 2*lease)
			defer cancel()
			must(t, observer.node.Ready(ctx))
			after(time.Second)
			require.Equal(t, limit, observer.Stats().Rooms)
			require.True(t, observer.node.Health().Degraded)
			if who == "observer" {
				require.Equal(t, "more rooms than WithMaxRooms: n0 (aggregator)", observer.node.Health().Reasons[0].Text)
			}
			for i := range limit + limit/2 {
				must(t, n.Leave(room(i)))
			}
			after(5 * time.Second)
			require.Equal(t, limit/2, observer.Stats().Rooms)
			require.Empty(t, observer.node.Health().Reasons)
		})
	}
}

func TestSharding_AnotherSecret(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net, hosts := sharded(t, 2, 1, cluster.WithSecret("s"))
		other := start(t, net, "other", cluster.WithSharding())
		after(4 * beat)
		require.Equal(t, "different secret, so users count more than once: n0 (aggregator)", other.node.Health().Reasons[0].Text)
		require.Len(t, hosts[1].node.Health().Reasons, 1)
		require.Equal(t, "the aggregator is degraded: n0 (aggregator)", hosts[1].node.Health().Reasons[0].Text)
		require.Equal(t, "different secret, so users count more than once: other", hosts[0].node.Aggregator().Health().Reasons[0].Text)
	})
}

func TestSharding_WithoutAggregator(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		h := start(t, net, "n0", cluster.WithSharding())
		h.join(t, "r", 1)
		after(time.Minute)
		health := h.node.Health()
		require.Equal(t, 1, health.Nodes)
		require.Len(t, health.Reasons, 1)
		require.Equal(t, "no aggregator has the counts of all nodes", health.Reasons[0].Text)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, h.node.Ready(ctx), context.DeadlineExceeded)
		o, err := h.Get(t.Context(), "r")
		require.Equal(t, occ(1, 0), o)
		var partial *cluster.PartialError
		require.ErrorAs(t, err, &partial)
		require.Empty(t, partial.Missing)
		_, err = h.node.Top(t.Context(), 10)
		require.ErrorAs(t, err, &partial)
		start(t, net, "n1", cluster.WithAggregator())
		must(t, h.node.Ready(t.Context()))
		require.Empty(t, h.node.Health().Reasons)
		must(t, h.node.Close())
		_, err = h.node.Top(t.Context(), 10)
		require.ErrorIs(t, err, occupancy.ErrClosed)
	})
}

func TestInterested_SaysWhetherCurrentIsOfTheWholeService(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net, hosts := sharded(t, 3, 2)
		n := hosts[2]
		observer := start(t, net, "observer", cluster.WithEverything())
		for _, begin := range []func() (end func()){
			func() func() { must(t, n.Join("r")); return func() { must(t, n.Leave("r")) } },
			func() func() { must(t, n.Enter("r", "a")); return func() { must(t, n.Exit("r", "a")) } },
			func() func() {
				sub, err := n.Subscribe("r")
				must(t, err)
				return sub.Unsubscribe
			},
			func() func() {
				w, err := n.Watch(occupancy.Rooms("r"))
				must(t, err)
				return func() { must(t, w.Close()) }
			},
		} {
			require.False(t, n.node.Interested("r"))
			end := begin()
			require.True(t, n.node.Interested("r"))
			require.False(t, n.node.Interested("another"))
			end()
		}
		require.False(t, n.node.Interested("r"))
		require.True(t, observer.node.Interested("r"))
		require.True(t, start(t, clustertest.NewNetwork(1), "a").node.Interested("r"))
		require.Zero(t, testing.AllocsPerRun(10, func() { n.node.Interested("r") }))
	})
}

func TestSharding_Reasons(t *testing.T) {
	bubble(t, "several aggregators report one missing node", func(t *testing.T) {
		_, hosts := sharded(t, 4, 2)
		hosts[3].crash()
		after(lease + 3*beat)
		require.Equal(t, []string{"missing: n3"}, reasons(hosts[2]))
	})
	bubble(t, "an aggregator stops", func(t *testing.T) {
		_, hosts := sharded(t, 4, 2)
		must(t, hosts[0].node.Close())
		after(beat / 8)
		require.Equal(t, []string{"the aggregator has stopped: n0 (aggregator)"}, reasons(hosts[2]))
		after(beat)
		require.Empty(t, reasons(hosts[2]))
	})
}

func TestSharding_OtherModeIsDegraded(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net, hosts := sharded(t, 3, 2)
		mesh := start(t, net, "mesh")
		after(2 * beat)
		for _, h := range append(hosts, mesh) {
			require.True(t, h.node.Health().Degraded)
		}
		before := reasons(mesh)
		require.Len(t, before, 1)
		for range 40 { // the name in the reason does not alternate
			after(beat / 8)
			require.Equal(t, before, reasons(mesh))
		}
		mesh.crash()
		after(lease + 2*beat)
		for _, h := range hosts {
			require.False(t, h.node.Health().Degraded)
		}
	})
}

// Subscribers and watchers of selected rooms are interest, also before the node starts. The interest
// ends with them.
func TestSharding_SubscribersAreInterest(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net, hosts := sharded(t, 3, 2)
		hosts[0].join(t, "r", 3)
		hosts[0].join(t, "selected", 2)
		e := occupancy.New()
		early, err := e.Subscribe("r")
		must(t, err)
		n := net.StartNode(t, "n3", e, cluster.WithSharding())
		must(t, n.Ready(t.Context()))
		after(time.Second)
		require.Equal(t, occ(3, 0), e.Current("r"))
		for range 3 {
			late, err := e.Subscribe("r")
			must(t, err)
			watcher, err := e.Watch(occupancy.Rooms("selected"))
			must(t, err)
			after(time.Second)
			require.Equal(t, occ(2, 0), e.Current("selected"))
			early.Unsubscribe()
			must(t, watcher.Close())
			after(time.Second)
			require.Equal(t, occ(3, 0), e.Current("r"))
			require.Equal(t, occ(0, 0), e.Current("selected"))
			late.Unsubscribe()
			after(time.Second)
			require.Zero(t, e.Stats().Rooms)
		}
	})
}
