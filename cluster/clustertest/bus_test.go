package clustertest_test

import (
	"testing"
	"time"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

func TestNetwork_BusesPassTestBus(t *testing.T) {
	for name, delay := range map[string]time.Duration{"no delay": 0, "delay": 3 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			net := clustertest.NewNetwork(1)
			net.SetFaults(clustertest.Faults{MinDelay: delay, MaxDelay: delay})
			n := 0
			clustertest.TestBus(t, func(testing.TB) cluster.Bus {
				n++
				return net.Bus(string(rune('a' + n)))
			}, clustertest.WithOutage(
				func(b cluster.Bus) { b.(*clustertest.Bus).Disconnect() },
				func(b cluster.Bus) { b.(*clustertest.Bus).Reconnect() },
			))
		})
	}
}
