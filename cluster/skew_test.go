package cluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

func TestSkew_SlowHeartbeatOfOnePeer(t *testing.T) {
	bubble(t, "its lease is five of its heartbeats", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a, b := start(t, net, "a"), start(t, net, "b")
		slow := start(t, net, "slow", cluster.WithHeartbeat(10*beat))
		for _, h := range []*host{a, b, slow} {
			h.join(t, "r", 1)
		}
		after(20 * beat)
		always(t, a, occ(3, 0), 2*time.Minute)
		require.Empty(t, reasons(a))
		require.Empty(t, reasons(slow))
		slow.crash()
		require.InDelta(t, 50*beat, until(t, a, occ(2, 0)), float64(12*beat))
	})
	bubble(t, "an interval without a reasonable limit", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.send(cluster.Subject{Kind: cluster.KindHeartbeat}, &clusterpb.Heartbeat{Incarnation: p.id, Name: p.name, Beat: 9, IntervalMs: 1<<64 - 1})
		after(6 * time.Minute)
		require.Equal(t, []cluster.State{cluster.Missing}, states(h))
	})
}

func TestSkew_UnsupportedVersion(t *testing.T) {
	for name, m := range map[string]*clusterpb.Heartbeat{
		"newer messages":   {LeastVersion: 2},
		"cannot read ours": {MinVersion: 2, MaxVersion: 3},
	} {
		bubble(t, name, func(t *testing.T) {
			net := clustertest.NewNetwork(1)
			h, p := start(t, net, "node"), newPuppet(t, net, "new")
			m.Incarnation, m.Name, m.Flags = p.id, p.name, uint32(clusterpb.Flag_FLAG_BACKLOG)
			p.send(cluster.Subject{Kind: cluster.KindHeartbeat}, m)
			after(2 * beat)
			require.Equal(t, []string{"unsupported version of the protocol: new"}, reasons(h))
			require.True(t, h.node.Health().Peers[0].Unsupported)
			require.True(t, h.node.Health().Peers[0].Backlog) // all versions can read it
			begin := time.Now()
			_, err := h.Get(t.Context(), "r")
			require.Zero(t, time.Since(begin)) // it cannot answer
			require.ErrorContains(t, err, "counts of new are missing")
			p.heartbeat(0, nil) // after a rollback
			require.Empty(t, reasons(h))
		})
	}
	bubble(t, "fields of a newer version have other types", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		h, p := start(t, net, "node"), newPuppet(t, net, "new")
		b := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), p.id)
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), p.name)
		b = protowire.AppendString(protowire.AppendTag(b, 3, protowire.BytesType), "seq")
		b = protowire.AppendVarint(protowire.AppendTag(b, 15, protowire.VarintType), 7)
		p.sendBytes(cluster.Subject{Kind: cluster.KindHeartbeat}, b)
		require.True(t, h.node.Health().Peers[0].Unsupported)
		p.send(cluster.Subject{Kind: cluster.KindBye}, &clusterpb.Bye{Incarnation: p.id, LeastVersion: 7})
		require.Empty(t, h.node.Health().Peers)
	})
}

func TestSkew_NodesWithOneName(t *testing.T) {
	bubble(t, "are listed, and keep lease and hold", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		var hosts []*host
		for i := range 5 {
			h := start(t, net, room(i), cluster.WithName("same"))
			h.join(t, "r", 100)
			hosts = append(hosts, h)
			after(3 * beat)
		}
		for _, p := range hosts[0].node.Health().Peers {
			require.True(t, p.SameName)
		}
		require.Empty(t, reasons(hosts[0]))
		net.Partition([]string{room(0)})
		always(t, hosts[0], occ(500, 0), lease+hold-2*beat)
		require.NotEmpty(t, reasons(hosts[0]))
		after(4 * beat)
		require.Equal(t, occ(100, 0), hosts[0].Current("r"))
		require.NotEmpty(t, reasons(hosts[0]))
		net.Partition()
		require.Less(t, until(t, hosts[0], occ(500, 0)), 2500*time.Millisecond)
	})
}
