package cluster_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/trending"
)

// ranked is a host with a ranking of the rooms.
type ranked struct {
	*host
	board *trending.Board
}

// startRanked starts a host whose board has a warm-up of a minute.
func startRanked(t testing.TB, net *clustertest.Network, name string, opts ...trending.Option) *ranked {
	t.Helper()
	return startRankedNode(t, net, name, nil, opts...)
}

func startRankedNode(t testing.TB, net *clustertest.Network, name string, node []cluster.Option, opts ...trending.Option) *ranked {
	t.Helper()
	e := occupancy.New()
	r := &ranked{&host{e, net.Bus(name), nil}, trending.New(e, opts...)}
	node = append(node, cluster.WithName(name), cluster.WithTrending(r.board))
	started, err := cluster.Start(t.Context(), e, r.bus, node...)
	require.NoError(t, err)
	r.node = started
	t.Cleanup(func() { r.crash(); _ = r.board.Close() })
	return r
}

// wantSameRooms fails if the boards list different rooms or other numbers. The nodes notice a
// change at different times, so the numbers may differ by the part tolerance.
func wantSameRooms(t *testing.T, tolerance float64, hosts ...*ranked) []trending.Room {
	t.Helper()
	want := hosts[0].board.Popular(1000)
	for _, h := range hosts[1:] {
		got := h.board.Popular(1000)
		require.Len(t, got, len(want))
		for i, w := range want {
			near := math.Abs(got[i].Ratio-w.Ratio) <= tolerance*(0.25+w.Ratio) && math.Abs(got[i].Usual-w.Usual) <= tolerance*(5+w.Usual)
			if got[i].Name != w.Name || got[i].Occupancy != w.Occupancy || !near {
				t.Fatalf("one node shows\n%+v, another\n%+v", w, got[i])
			}
		}
	}
	return hosts[0].board.Trending(1000)
}

func roomNames(rooms []trending.Room) (list []string) {
	for _, r := range rooms {
		list = append(list, r.Name)
	}
	return list
}

// All nodes show the same rooms, although messages are lost, repeated and delayed, and nodes
// are stopped and started.
func TestTrending_AllNodesShowTheSameRooms(t *testing.T) {
	for seed := range uint64(3) {
		bubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) {
			net, r := clustertest.NewNetwork(seed), rand.New(rand.NewPCG(seed, 1))
			hosts := []*ranked{startRanked(t, net, "a"), startRanked(t, net, "b"), startRanked(t, net, "c")}
			after(2 * time.Minute)
			listed := 0
			for round := range 60 {
				net.SetFaults(clustertest.Faults{Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, MaxDelay: 300 * time.Millisecond})
				for range 100 {
					h := hosts[r.IntN(len(hosts))]
					name := room(int(20 * math.Sqrt(r.Float64())))
					if r.IntN(3) == 0 {
						_ = h.Leave(name)
					} else {
						must(t, h.Join(name))
					}
					time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
				}
				net.SetFaults(clustertest.Faults{})
				after(5 * time.Second)
				listed += len(wantSameRooms(t, 0.02, hosts...))
				switch round % 20 {
				case 9: // replace a node; its clients connect to another one
					old, next := hosts[0], hosts[1]
					left := map[string]int{}
					for name := range old.All() {
						left[name] = old.Local(name).Connections
					}
					must(t, old.node.Close())
					for name, n := range left {
						next.join(t, name, n)
					}
					hosts[0] = startRanked(t, net, fmt.Sprint("a", round))
					must(t, hosts[0].node.Ready(t.Context()))
					after(2 * time.Second)
					wantSameRooms(t, 0.02, hosts...)
				case 19: // a node returns after a partition
					net.Partition([]string{hosts[2].bus.Name()})
					after(30 * time.Second)
					net.Partition()
					after(10 * time.Second)
					wantSameRooms(t, 0.02, hosts...)
				}
			}
			require.Greater(t, listed, 100)
		})
	}
}

// The rooms are empty when the second node starts, so only the history contains their names.
func TestHealth_CountsMessagesOfTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a := startRanked(t, net, "a", trending.WithWarmup(0))
		const rooms, length = 100, 1000
		name := func(i int) string { return fmt.Sprintf("%0*d", length, i) }
		for i := range rooms {
			a.join(t, name(i), 20)
		}
		after(time.Minute)
		for i := range rooms {
			for range 20 {
				must(t, a.Leave(name(i)))
			}
		}
		after(10 * time.Second)
		before := a.node.Health()
		b := startRanked(t, net, "b")
		must(t, b.node.Ready(t.Context()))
		after(10 * time.Second)
		require.Greater(t, a.node.Health().BytesOut-before.BytesOut, uint64(rooms*length))
		require.Greater(t, b.node.Health().BytesIn, uint64(rooms*length))
	})
}

// A change is in the lists of all nodes within two flushes.
func TestTrending_OtherNodesShowGrowthWithinTwoFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := startRanked(t, net, "a", trending.WithWarmup(0)), startRanked(t, net, "b", trending.WithWarmup(0))
		must(t, a.node.Ready(t.Context()), b.node.Ready(t.Context()))
		after(time.Minute)
		a.join(t, "room", 20)
		after(400 * time.Millisecond)
		require.Equal(t, []string{"room"}, roomNames(wantSameRooms(t, 0.001, a, b)))
	})
}

// When nodes are linked, or linked again after ten minutes, nobody arrives. When a node is
// lost, its clients arrive at the others, but they were there before.
func TestTrending_FaultsCauseNoArrivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		net.Partition([]string{"a"}, []string{"b"})
		a, b := startRanked(t, net, "a"), startRanked(t, net, "b")
		a.join(t, "room", 100)
		b.join(t, "room", 400)
		after(7 * 24 * time.Hour)
		for range 2 { // the link, and the link after a partition of ten minutes
			net.Partition()
			after(10 * time.Second)
			require.Empty(t, wantSameRooms(t, 0.01, a, b))
			require.InDelta(t, 500, a.board.Popular(1)[0].Usual, 5)
			net.Partition([]string{"a"}, []string{"b"})
			after(10 * time.Minute)
			require.Equal(t, 100, a.Current("room").Connections)
		}
		b.crash() // for example after ten minutes, because of the fault
		a.join(t, "room", 400)
		after(2 * time.Second)
		require.LessOrEqual(t, a.board.Popular(1)[0].Usual, 501.)
	})
}

// A node that starts receives the history from a peer, also if pieces of it are lost.
func TestTrending_NewNodeCopiesHistory(t *testing.T) {
	for _, loss := range []float64{0, 0.5} {
		synctest.Test(t, func(t *testing.T) {
			net := clustertest.NewNetwork(1)
			a := startRanked(t, net, "a", trending.WithWarmup(0))
			for i := range 3000 { // more than one piece
				a.join(t, room(i), 1)
			}
			a.join(t, "grown", 20)
			after(5 * time.Minute)
			net.SetFaults(clustertest.Faults{Loss: loss})
			b := startRanked(t, net, "b")
			if loss > 0 {
				after(10 * time.Second)
				net.SetFaults(clustertest.Faults{})
				after(15 * time.Second)
			} else {
				must(t, b.node.Ready(t.Context()))
				after(400 * time.Millisecond)
			}
			require.Equal(t, []string{"grown"}, roomNames(wantSameRooms(t, 0.001, a, b)))
			b.join(t, "later", 20) // the warm-up has ended
			after(time.Second)
			require.Equal(t, []string{"later", "grown"}, roomNames(wantSameRooms(t, 0.001, a, b)))
		})
	}
}

// A node can copy the history before it knows a peer whose counts the history contains.
func TestTrending_NewNodeLearnsOfPeerAfterCopying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := startRanked(t, net, "a"), startRanked(t, net, "b")
		after(2 * time.Minute)
		a.join(t, "room", 20)
		b.join(t, "room", 30)
		after(time.Second)
		b.bus.Mute(true)
		c := startRanked(t, net, "c")
		must(t, c.node.Ready(t.Context()))
		after(time.Second)
		require.Equal(t, 20, c.Current("room").Connections)
		b.bus.Mute(false)
		after(5 * time.Second)
		require.Equal(t, []string{"room"}, roomNames(wantSameRooms(t, 0.001, a, b, c)))
	})
}

// If the whole service starts, no node has a history. The warm-ups end as usual.
func TestTrending_NewServiceHasNoHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := startRanked(t, net, "a"), startRanked(t, net, "b")
		must(t, a.node.Ready(t.Context()), b.node.Ready(t.Context()))
		a.join(t, "returned", 50)
		after(2 * time.Minute)
		b.join(t, "grown", 20)
		after(time.Second)
		require.Equal(t, []string{"grown"}, roomNames(wantSameRooms(t, 0.001, a, b)))
	})
}

// A node with aggregators that becomes interested in a room counts no arrivals: the clients of the other nodes
// were there before.
func TestTrending_InterestIsNoArrival(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net, _ := sharded(t, 3, 2)
		h := startRankedNode(t, net, "ranked", []cluster.Option{cluster.WithSharding()})
		lobby := startRankedNode(t, net, "lobby", []cluster.Option{cluster.WithEverything()})
		other := start(t, net, "other", cluster.WithSharding())
		other.join(t, "big", 500)
		must(t, h.node.Ready(t.Context()), lobby.node.Ready(t.Context()))
		after(2 * time.Minute)
		h.join(t, "big", 1)
		after(time.Second)
		require.Equal(t, occ(501, 0), h.Current("big"))
		require.Empty(t, h.board.Trending(10))
		other.join(t, "big", 400)
		after(time.Second)
		require.Equal(t, []string{"big"}, roomNames(h.board.Trending(10)))
		require.Equal(t, []string{"big"}, roomNames(lobby.board.Trending(10)))
	})
}

// score returns the number of arrivals in a room, without the weights.
func (r *ranked) score(room string) float64 {
	rooms, _ := r.board.History()
	return math.Round(rooms[room][1])
}

// With aggregators, a node receives the counts of the other nodes when it becomes interested in a room. These
// are no arrivals, and their removal is no departure.
func TestSharding_OnlyArrivalsAreRanked(t *testing.T) {
	service := func(t *testing.T, opt cluster.Option) (aggregator *host, r *ranked) {
		net := clustertest.NewNetwork(1)
		aggregator = start(t, net, "n0", cluster.WithAggregator())
		r = startRankedNode(t, net, "n1", []cluster.Option{opt})
		must(t, r.node.Ready(t.Context()))
		aggregator.join(t, "r", 100)
		after(3 * time.Minute)
		return aggregator, r
	}
	bubble(t, "interest begins and ends", func(t *testing.T) {
		other, r := service(t, cluster.WithSharding())
		for range 3 {
			r.join(t, "r", 1)
			after(50 * time.Millisecond)
			other.join(t, "r", 1)
			after(2 * time.Second)
			require.InDelta(t, 1, r.score("r"), 1) // the other client may be part of the first counts
			must(t, r.Leave("r"), other.Leave("r"))
			after(2 * time.Second)
			require.Zero(t, r.Current("r").Connections)
			require.InDelta(t, 0, r.score("r"), 1)
		}
	})
	bubble(t, "the own clients of an observer", func(t *testing.T) {
		other, r := service(t, cluster.WithEverything())
		before := r.score("r")
		for range 3 {
			r.join(t, "r", 1)
			after(300 * time.Millisecond)
			other.join(t, "r", 1)
			after(2 * time.Second)
			must(t, r.Leave("r"))
			after(2 * time.Second)
		}
		require.InDelta(t, before+3, r.score("r"), 1)
	})
	bubble(t, "all aggregators are lost", func(t *testing.T) {
		other, r := service(t, cluster.WithEverything())
		before := r.score("r")
		other.bus.Disconnect()
		after(lease + hold + 5*beat)
		require.Zero(t, r.Current("r").Connections)
		require.InDelta(t, before, r.score("r"), 1)
		other.bus.Reconnect()
		after(2 * lease)
		require.Equal(t, occ(100, 0), r.Current("r"))
		require.InDelta(t, before, r.score("r"), 1)
	})
}
