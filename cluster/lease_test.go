package cluster_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

// service starts n hosts that know each other. Each host has one connection in room "r".
func service(t *testing.T, n int, opts ...cluster.Option) (*clustertest.Network, []*host) {
	t.Helper()
	net := clustertest.NewNetwork(1)
	var hosts []*host
	for i := range n {
		h := start(t, net, string(rune('a'+i)), opts...)
		h.join(t, "r", 1)
		hosts = append(hosts, h)
		after(10 * time.Millisecond)
	}
	after(3 * time.Second)
	for _, h := range hosts {
		require.Equal(t, occ(n, 0), h.Current("r"))
		require.False(t, h.node.Health().Degraded)
	}
	return net, hosts
}

// until waits until the room has this occupancy and returns the time that it has waited.
func until(t *testing.T, h *host, want occupancy.Occupancy) time.Duration {
	t.Helper()
	begin := time.Now()
	for h.Current("r") != want {
		require.Less(t, time.Since(begin), 2*time.Minute)
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
	}
	return time.Since(begin)
}

// always requires that the room keeps this occupancy for the time d.
func always(t *testing.T, h *host, want occupancy.Occupancy, d time.Duration) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < d; {
		require.Equal(t, want, h.Current("r"), "after %v", time.Since(begin))
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
	}
}

func states(h *host) (all []cluster.State) {
	for _, p := range h.node.Health().Peers {
		all = append(all, p.State)
	}
	return all
}

func TestLease_CrashedPeerIsDropped(t *testing.T) {
	bubble(t, "Suspect after the lease, Missing one heartbeat interval later", func(t *testing.T) {
		_, hosts := service(t, 3)
		hosts[0].crash()
		always(t, hosts[1], occ(3, 0), lease-beat)
		after(beat + 20*time.Millisecond)
		require.Equal(t, []cluster.State{cluster.Suspect, cluster.Live}, states(hosts[1]))
		require.True(t, hosts[1].node.Health().Degraded)
		require.Less(t, until(t, hosts[1], occ(2, 0)), beat)
		require.Equal(t, uint64(1), hosts[1].node.Health().Dropped)
		require.Equal(t, []cluster.State{cluster.Missing, cluster.Live}, states(hosts[1]))
		require.True(t, hosts[1].node.Health().Degraded)
		o, err := hosts[1].Get(t.Context(), "r")
		require.EqualError(t, err, "cluster: counts of a are missing: no heartbeat has arrived within the lease")
		require.Equal(t, occ(2, 0), o)
		after(10*time.Minute - beat)
		require.True(t, hosts[1].node.Health().Degraded)
		after(2 * beat)
		require.Len(t, states(hosts[1]), 1)
		require.False(t, hosts[1].node.Health().Degraded)
		_, err = hosts[1].Get(t.Context(), "r")
		must(t, err)
	})
	bubble(t, "not dropped while some heartbeats arrive", func(t *testing.T) {
		net, hosts := service(t, 3)
		net.SetFaults(clustertest.Faults{Loss: 0.3, MinDelay: time.Millisecond, MaxDelay: 20 * time.Millisecond})
		always(t, hosts[1], occ(3, 0), 20*time.Second)
	})
}

func TestBye_RemovesCountsAtOnce(t *testing.T) {
	bubble(t, "without mass loss", func(t *testing.T) {
		_, hosts := service(t, 4)
		for i, h := range hosts[:3] {
			must(t, h.node.Close(), h.node.Close())
			settle()
			require.Equal(t, occ(3-i, 0), hosts[3].Current("r"))
			require.Equal(t, occ(4-i, 0), h.Current("r")) // the last received counts
		}
		require.Empty(t, states(hosts[3]))
		require.Zero(t, hosts[3].node.Health().Dropped)
	})
	bubble(t, "delayed messages are ignored", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"r": occ(1, 0)})
		p.bye()
		require.Equal(t, occ(0, 0), h.Current("r"))
		p.digest(0, 1, parts{"r": occ(1, 0)})
		p.heartbeat(1, nil)
		require.Equal(t, occ(0, 0), h.Current("r"))
		require.Empty(t, states(h))
		require.Empty(t, p.syncs())
	})
	bubble(t, "the Bye is the first message that arrives", func(t *testing.T) {
		h, p := startWithPuppet(t)
		other := newPuppet(t, clustertest.NewNetwork(2), "other")
		p.id = other.id
		p.bye()
		p.digest(0, 1, parts{"r": occ(1, 0)})
		require.Equal(t, occ(0, 0), h.Current("r"))
	})
	bubble(t, "the engine can be linked again", func(t *testing.T) {
		_, hosts := service(t, 2)
		must(t, hosts[0].node.Close())
		node, err := cluster.Start(t.Context(), hosts[0].Engine, hosts[0].bus)
		must(t, err)
		after(3 * time.Second)
		require.Equal(t, occ(2, 0), hosts[0].Current("r"))
		require.Equal(t, occ(2, 0), hosts[1].Current("r"))
		// The previous node has read the Connected event of the bus.
		require.True(t, node.Health().Connected)
		require.False(t, node.Health().Degraded)
		hosts[1].crash()
		require.LessOrEqual(t, until(t, hosts[0], occ(1, 0)), lease+beat)
		must(t, node.Close())
	})
	bubble(t, "while the bus is disconnected", func(t *testing.T) {
		_, hosts := service(t, 2)
		hosts[0].bus.Disconnect()
		settle()
		must(t, hosts[0].node.Close())
		node, err := cluster.Start(t.Context(), hosts[0].Engine, hosts[0].bus)
		must(t, err)
		after(5 * time.Second)
		require.False(t, node.Health().Connected)
		hosts[0].bus.Reconnect()
		settle()
		require.True(t, node.Health().Connected)
		must(t, node.Close())
	})
	bubble(t, "engine closed first", func(t *testing.T) {
		_, hosts := service(t, 3)
		must(t, hosts[0].Close())
		after(200 * time.Millisecond) // the next flush
		require.Equal(t, occ(2, 0), hosts[1].Current("r"))
	})
}

func TestRestart_ReplacesPreviousIncarnation(t *testing.T) {
	restart := func(t *testing.T) time.Duration {
		net, hosts := service(t, 3)
		hosts[0].crash()
		after(300 * time.Millisecond)
		h := &host{occupancy.New(), net.Bus("again"), nil}
		var err error
		h.node, err = cluster.Start(t.Context(), h.Engine, h.bus, cluster.WithName("a"))
		must(t, err)
		t.Cleanup(h.crash)
		h.join(t, "r", 5)
		return max(until(t, hosts[1], occ(7, 0)), until(t, h, occ(7, 0)))
	}
	bubble(t, "within two seconds", func(t *testing.T) {
		require.Less(t, restart(t), 2*time.Second)
	})
	bubble(t, "two live nodes of the same name are both counted", func(t *testing.T) {
		net, hosts := service(t, 3)
		h := &host{occupancy.New(), net.Bus("again"), nil}
		var err error
		h.node, err = cluster.Start(t.Context(), h.Engine, h.bus, cluster.WithName("a"))
		must(t, err)
		t.Cleanup(h.crash)
		h.join(t, "r", 5)
		until(t, hosts[1], occ(8, 0))
		always(t, hosts[1], occ(8, 0), time.Minute)
		require.Len(t, states(hosts[1]), 3)
	})
}

func TestLease_StartsAgainWithFullLength(t *testing.T) {
	bubble(t, "after the other node of the same name has left", func(t *testing.T) {
		h, p := startWithPuppet(t)
		after(lease + 2*beat)
		other := newPuppet(t, p.net, "other")
		other.name = p.name
		p.heartbeat(0, nil)
		other.heartbeat(0, nil)
		other.bye()
		after(3 * beat) // longer than a shortened lease
		require.Equal(t, []cluster.State{cluster.Live}, states(h))
	})
	bubble(t, "for a suspect peer after an outage of this node", func(t *testing.T) {
		h, _ := startWithPuppet(t)
		after(lease + beat/2)
		require.Equal(t, []cluster.State{cluster.Suspect}, states(h))
		h.bus.Disconnect()
		after(beat)
		h.bus.Reconnect()
		after(lease - beat)
		require.Equal(t, []cluster.State{cluster.Live}, states(h))
	})
}

func TestLease_DoesNotExpire_AfterOwnOutage(t *testing.T) {
	outage := func(t *testing.T) *host {
		_, hosts := service(t, 3)
		hosts[0].bus.Disconnect()
		after(30 * time.Second)
		require.True(t, hosts[0].node.Health().Degraded)
		require.False(t, hosts[0].node.Health().Connected)
		return hosts[0]
	}
	bubble(t, "no lease expires while the own bus is disconnected", func(t *testing.T) {
		h := outage(t)
		require.Equal(t, occ(3, 0), h.Current("r"))
		h.bus.Reconnect()
		settle()
		require.True(t, h.node.Health().Degraded) // until all peers have sent a heartbeat
		always(t, h, occ(3, 0), 2500*time.Millisecond)
		require.False(t, h.node.Health().Degraded)
	})
	bubble(t, "Degraded until the peers that crashed during the outage are forgotten", func(t *testing.T) {
		_, hosts := service(t, 3)
		hosts[0].bus.Disconnect()
		after(10 * time.Second)
		hosts[1].crash()
		after(20 * time.Second)
		hosts[0].bus.Reconnect()
		for hosts[0].Current("r") == occ(3, 0) {
			require.True(t, hosts[0].node.Health().Degraded)
			after(20 * time.Millisecond)
		}
		require.Equal(t, occ(2, 0), hosts[0].Current("r"))
		require.True(t, hosts[0].node.Health().Degraded)
		after(10 * time.Minute)
		require.False(t, hosts[0].node.Health().Degraded)
	})
	bubble(t, "the other nodes drop this one and add it again soon", func(t *testing.T) {
		_, hosts := service(t, 3)
		hosts[0].bus.Disconnect()
		until(t, hosts[1], occ(2, 0))
		hosts[0].join(t, "r", 3)
		after(time.Second)
		hosts[0].bus.Reconnect()
		after(beat / 4)
		require.Equal(t, occ(6, 0), hosts[1].Current("r"))
	})
	// stall pauses a node and returns its number of dropped peers just after the pause.
	stall := func(t *testing.T) (*host, uint64) {
		_, hosts := service(t, 3)
		resume := hosts[0].bus.Stall()
		// Messages that arrive during the pause are lost.
		hosts[0].bus.Overflow(1 << 30)
		after(10 * beat)
		require.True(t, hosts[0].node.Health().Degraded)
		hosts[0].bus.Overflow(0)
		resume()
		synctest.Wait()
		return hosts[0], hosts[0].node.Health().Dropped
	}
	bubble(t, "no lease expires after a pause", func(t *testing.T) {
		h, dropped := stall(t)
		require.Zero(t, dropped)
		require.Equal(t, uint64(1), h.node.Health().Pauses)
		always(t, h, occ(3, 0), 10*time.Second)
		require.False(t, h.node.Health().Degraded)
	})
}

func TestMassLoss(t *testing.T) {
	// split isolates the first host from the others.
	split := func(t *testing.T, n int) (*clustertest.Network, []*host) {
		net, hosts := service(t, n)
		net.Partition([]string{"a"})
		return net, hosts
	}
	bubble(t, "keeps the counts for the hold time, Degraded", func(t *testing.T) {
		_, hosts := split(t, 5)
		always(t, hosts[0], occ(5, 0), lease+hold-2*beat)
		require.Equal(t, []cluster.State{cluster.Held, cluster.Held, cluster.Held, cluster.Held}, states(hosts[0]))
		require.True(t, hosts[0].node.Health().Degraded)
		after(3 * beat)
		require.Equal(t, occ(1, 0), hosts[0].Current("r"))
		// The other nodes lost one of four peers: no mass loss.
		require.Equal(t, occ(4, 0), hosts[1].Current("r"))
		require.Equal(t, []cluster.State{cluster.Missing, cluster.Live, cluster.Live, cluster.Live}, states(hosts[1]))
		// All nodes remain Degraded while the partition lasts.
		after(5 * time.Minute)
		for _, h := range hosts {
			require.True(t, h.node.Health().Degraded)
			_, err := h.Get(t.Context(), "r")
			require.Error(t, err)
		}
	})
	bubble(t, "ends when the peers return", func(t *testing.T) {
		net, hosts := split(t, 5)
		after(12 * time.Second)
		net.Partition()
		always(t, hosts[0], occ(5, 0), 1500*time.Millisecond)
		require.False(t, hosts[0].node.Health().Degraded)
		require.Less(t, until(t, hosts[1], occ(5, 0)), 2500*time.Millisecond)
	})
	bubble(t, "both of two peers", func(t *testing.T) {
		_, hosts := split(t, 3)
		always(t, hosts[0], occ(3, 0), lease+hold-2*beat)
		require.Equal(t, []cluster.State{cluster.Held, cluster.Held}, states(hosts[0]))
		require.True(t, hosts[0].node.Health().Degraded)
	})
	bubble(t, "needs two peers", func(t *testing.T) {
		_, hosts := split(t, 2)
		require.LessOrEqual(t, until(t, hosts[0], occ(1, 0)), lease+beat)
	})
	bubble(t, "no mass loss if all other nodes restart", func(t *testing.T) {
		net, hosts := service(t, 5)
		for i, h := range hosts[1:] {
			h.crash()
			again := &host{occupancy.New(), net.Bus(string(rune('A' + i))), nil}
			var err error
			again.node, err = cluster.Start(t.Context(), again.Engine, again.bus, cluster.WithName(string(rune('b'+i))))
			must(t, err)
			t.Cleanup(again.crash)
		}
		require.Less(t, until(t, hosts[0], occ(1, 0)), 2*time.Second)
	})
}

func TestLossy_NextHeartbeatShowsMissingChanges(t *testing.T) {
	bubble(t, "lost digest", func(t *testing.T) {
		_, hosts := service(t, 3)
		hosts[0].bus.Overflow(1) // the next digest
		hosts[1].join(t, "r", 1)
		require.Less(t, until(t, hosts[0], occ(4, 0)), beat+10*time.Millisecond)
	})
}
