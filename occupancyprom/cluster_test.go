package occupancyprom_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/occupancyprom"
)

func TestClusterCollector_ShowsHealth(t *testing.T) {
	c := occupancyprom.NewClusterCollector(func() cluster.Health {
		return cluster.Health{
			Degraded: true,
			Reasons:  []cluster.Reason{{Text: "missing: a"}, {Text: "missing: b"}, {Text: "the bus is disconnected"}},
			BusDelay: 1500 * time.Millisecond,
			Peers: []cluster.PeerHealth{
				{State: cluster.Missing, SinceHeartbeat: time.Hour}, {State: cluster.Missing},
				{State: cluster.Live, SinceHeartbeat: 2 * time.Second}, {State: cluster.Live},
			},
			Resyncs: 7,
		}
	})
	want := `
# HELP occupancy_cluster_bus_delay_seconds Time that a heartbeat of this node needs to return.
# TYPE occupancy_cluster_bus_delay_seconds gauge
occupancy_cluster_bus_delay_seconds 1.5
# HELP occupancy_cluster_degraded 1 if the counts of other nodes may be incomplete or out of date, and otherwise 0.
# TYPE occupancy_cluster_degraded gauge
occupancy_cluster_degraded 1
# HELP occupancy_cluster_oldest_heartbeat_seconds The longest time since the last heartbeat of a peer that is not missing.
# TYPE occupancy_cluster_oldest_heartbeat_seconds gauge
occupancy_cluster_oldest_heartbeat_seconds 2
# HELP occupancy_cluster_peers Peers, by state.
# TYPE occupancy_cluster_peers gauge
occupancy_cluster_peers{state="held"} 0
occupancy_cluster_peers{state="live"} 2
occupancy_cluster_peers{state="missing"} 2
occupancy_cluster_peers{state="suspect"} 0
# HELP occupancy_cluster_reasons Current reasons for degraded, by reason; a reason can apply to several peers.
# TYPE occupancy_cluster_reasons gauge
occupancy_cluster_reasons{reason="missing"} 2
occupancy_cluster_reasons{reason="the bus is disconnected"} 1
# HELP occupancy_cluster_resyncs_total Sync requests to peers.
# TYPE occupancy_cluster_resyncs_total counter
occupancy_cluster_resyncs_total 7
`
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), "occupancy_cluster_degraded", "occupancy_cluster_reasons",
		"occupancy_cluster_peers", "occupancy_cluster_bus_delay_seconds", "occupancy_cluster_oldest_heartbeat_seconds",
		"occupancy_cluster_resyncs_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// Every metric in the alert rules exists.
func TestClusterAlerts_UseExistingMetrics(t *testing.T) {
	rules, err := os.ReadFile("cluster-alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(occupancyprom.NewClusterCollector(func() cluster.Health {
		return cluster.Health{Reasons: []cluster.Reason{{Text: "x"}}}
	}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, f := range families {
		known[f.GetName()] = true
	}
	used := regexp.MustCompile(`occupancy_cluster_\w+`).FindAllString(string(rules), -1)
	if len(used) < 5 {
		t.Fatal("too few metrics", used)
	}
	for _, name := range used {
		if !known[name] {
			t.Errorf("unknown metric %s", name)
		}
	}
}
