package cluster_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func (noEntropy) Read([]byte) (int, error) { return 0, errors.New("none") }

func TestOptions_MaximumValuesWork(t *testing.T) {
	bubble(t, "rooms", func(t *testing.T) {
		service(t, 3, cluster.WithMaxRooms(math.MaxInt), cluster.WithMaxPeers(math.MaxInt), cluster.WithMaxCount(math.MaxInt))
	})
	bubble(t, "hold", func(t *testing.T) {
		_, hosts := service(t, 4, cluster.WithHold(math.MaxInt64))
		for _, h := range hosts[:3] {
			h.crash()
		}
		always(t, hosts[3], occ(4, 0), time.Minute)
	})
	bubble(t, "heartbeat", func(t *testing.T) {
		h := start(t, clustertest.NewNetwork(1), "a", cluster.WithHeartbeat(math.MaxInt64))
		after(time.Minute)
		require.Zero(t, h.node.Health().Pauses)
	})
	bubble(t, "lease", func(t *testing.T) {
		_, hosts := service(t, 2, cluster.WithLease(math.MaxInt64))
		hosts[0].crash()
		always(t, hosts[1], occ(2, 0), time.Minute)
	})
}
