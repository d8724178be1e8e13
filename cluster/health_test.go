package cluster_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestHealth_JSONAndClose(t *testing.T) {
	bubble(t, "JSON round trip", func(t *testing.T) {
		_, hosts := service(t, 2)
		b, err := json.Marshal(hosts[0].node.Health())
		must(t, err)
		require.Contains(t, string(b), `"name":"a"`)
		require.Contains(t, string(b), `"peers":[{"name":"b",`)
		require.Contains(t, string(b), `"state":"live"`)
		var h cluster.Health
		must(t, json.Unmarshal(b, &h))
		again, err := json.Marshal(h)
		must(t, err)
		require.Equal(t, string(b), string(again))
		for _, s := range []cluster.State{cluster.Live, cluster.Suspect, cluster.Held} {
			var read cluster.State
			must(t, read.UnmarshalText([]byte(s.String())))
			require.Equal(t, s, read)
		}
		require.Error(t, new(cluster.State).UnmarshalText([]byte("dead")))
	})
	bubble(t, "after Close", func(t *testing.T) {
		_, hosts := service(t, 2)
		must(t, hosts[0].node.Close())
		h := hosts[0].node.Health()
		require.True(t, h.Degraded)
		require.Equal(t, []cluster.PeerHealth{}, h.Peers) // [] in JSON, not null
		require.Positive(t, h.MessagesOut)
	})
}

func TestHealth_DegradedAfterLossyBus(t *testing.T) {
	bubble(t, "until the next heartbeats", func(t *testing.T) {
		net, hosts := service(t, 3)
		net.SetFaults(clustertest.Faults{MinDelay: 300 * time.Millisecond, MaxDelay: 300 * time.Millisecond})
		hosts[1].bus.Overflow(1)
		hosts[0].join(t, "r", 1)
		for i := 0; i < 1000 && hosts[1].node.Health().Lossy == 0; i++ {
			after(time.Millisecond)
		}
		require.Equal(t, uint64(1), hosts[1].node.Health().Lossy)
		require.NotEqual(t, hosts[0].Current("r"), hosts[1].Current("r"))
		require.True(t, hosts[1].node.Health().Degraded)
		after(2 * beat)
		require.False(t, hosts[1].node.Health().Degraded)
	})
}

func TestHealth_ReusedBus_NotDegradedForever(t *testing.T) {
	bubble(t, "if Lossy is the first event of the bus", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a := start(t, net, "a")
		b := start(t, net, "b")
		after(3 * time.Second)
		must(t, b.node.Close())
		node, err := cluster.Start(t.Context(), b.Engine, b.bus, cluster.WithName("b"))
		must(t, err)
		defer node.Close()
		b.bus.Overflow(1)
		a.join(t, "r", 1)
		after(time.Minute)
		h := node.Health()
		require.Equal(t, uint64(1), h.Lossy)
		require.True(t, h.Connected)
		require.False(t, h.Degraded)
	})
}

func TestHealth_DegradedAfterOutage(t *testing.T) {
	bubble(t, "until the next heartbeats", func(t *testing.T) {
		_, hosts := service(t, 3)
		hosts[0].bus.Disconnect()
		settle()
		hosts[1].join(t, "r", 1)
		settle()
		hosts[0].bus.Reconnect()
		settle()
		require.Equal(t, occ(3, 0), hosts[0].Current("r"))
		require.True(t, hosts[0].node.Health().Degraded)
		after(2 * beat)
		require.Equal(t, occ(4, 0), hosts[0].Current("r"))
		require.False(t, hosts[0].node.Health().Degraded)
	})
}
