package cluster_test

import (
	"bytes"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestGreeting_NewPeerReceivesHeartbeatSoon(t *testing.T) {
	const greeting = beat / 4 // the longest delay, if the last heartbeat was published just before
	bubble(t, "a node that starts", func(t *testing.T) {
		net, hosts := service(t, 3)
		after(100 * time.Millisecond)
		d := start(t, net, "d")
		require.Less(t, until(t, d, occ(3, 0)), greeting+10*time.Millisecond)
		require.Len(t, states(d), 3)
		require.Equal(t, occ(3, 0), hosts[0].Current("r"))
	})
	bubble(t, "a peer that returns after its lease", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a := start(t, net, "a", cluster.WithEntropy(bytes.NewReader(make([]byte, 32)))) // the shortest delay
		after(beat / 2)
		b := start(t, net, "b")
		a.join(t, "r", 1)
		b.join(t, "r", 1)
		net.Partition([]string{"a"})
		after(2 * lease)
		after(beat/2 + 5*time.Millisecond) // node a has just sent a heartbeat, and node b will send the next heartbeat
		require.Equal(t, occ(1, 0), a.Current("r"))
		net.Partition()
		require.Less(t, until(t, a, occ(2, 0)), beat/2+greeting)
		require.Less(t, until(t, b, occ(2, 0)), greeting)
	})
	bubble(t, "one heartbeat for many new peers", func(t *testing.T) {
		net, hosts := service(t, 1)
		p := newPuppet(t, net, "p")
		p.heartbeat(0, nil)
		after(beat)
		before := hosts[0].node.Health().MessagesOut
		for i := range 100 {
			newPuppet(t, net, room(i)).heartbeat(0, nil)
		}
		after(beat - time.Millisecond)
		require.Equal(t, before+2, hosts[0].node.Health().MessagesOut)
	})
	bubble(t, "at most one greeting for each new peer", func(t *testing.T) {
		net, hosts := service(t, 1, cluster.WithEntropy(bytes.NewReader(make([]byte, 32)))) // the shortest delay
		p := newPuppet(t, net, "p")
		before := hosts[0].node.Health().MessagesOut
		for range 1000 { // this takes two heartbeat intervals
			p.beats = 0
			p.heartbeat(0, nil)
			p.id = bytes.Clone(p.id)
			p.id[15]++
			p.id[14] += p.id[15] / 255
			after(2 * time.Millisecond)
		}
		require.LessOrEqual(t, hosts[0].node.Health().MessagesOut, before+1000+2*9)
	})
}

// A join must not cost a number of messages that grows with the square of the nodes.
func TestGreeting_JoinCostsFewMessages(t *testing.T) {
	bubble(t, "of one more than 60 nodes", func(t *testing.T) {
		const nodes = 60
		net, last := clustertest.NewNetwork(1), (*host)(nil)
		for i := range nodes {
			last = start(t, net, room(i), cluster.WithHeartbeat(10*beat))
			last.join(t, "r", 1)
			after(100 * time.Millisecond)
		}
		after(time.Minute)
		var delivered atomic.Int64
		count := func(d time.Duration) int {
			delivered.Store(0)
			after(d)
			return int(delivered.Load())
		}
		net.Tap(func(_ string, m cluster.Message) {
			if m.Subject.Shard == 0 {
				delivered.Add(nodes)
			} else {
				delivered.Add(1)
			}
		})
		regular := count(20 * beat)
		h := start(t, net, "new", cluster.WithHeartbeat(10*beat))
		joined := count(20*beat) - regular
		require.Equal(t, occ(nodes, 0), h.Current("r"))
		require.Equal(t, occ(nodes, 0), last.Current("r"))
		require.LessOrEqual(t, joined, 10*nodes) // 60² with a heartbeat of each node to all
		t.Logf("%d messages", joined)
	})
}
