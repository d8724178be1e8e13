package occupancyprom_test

import (
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/occupancyprom"
)

func newClusterCollector(h cluster.Health) prometheus.Collector {
	return occupancyprom.NewClusterCollector(func() cluster.Health { return h })
}

func TestClusterCollector_ExportsHealth(t *testing.T) {
	got := values(scrape(t, newClusterCollector(cluster.Health{
		Degraded: true, Connected: true, Sharded: true, Nodes: 20, Rooms: 1, Waiting: 19, BusDelay: 1500 * time.Millisecond,
		Reasons:    []cluster.Reason{{Text: "missing: a"}, {Text: "missing: b"}, {Text: "the bus is disconnected"}},
		MessagesIn: 2, MessagesOut: 3, BytesIn: 4, BytesOut: 5, Unsent: 6, Malformed: 7, Duplicates: 8, Gaps: 9,
		Mismatches: 10, Resyncs: 11, Served: 12, Lossy: 13, Pauses: 14, Dropped: 15, RejectedPeers: 16,
		Peers: []cluster.PeerHealth{
			{State: cluster.Live, SinceHeartbeat: time.Second},
			{State: cluster.Live, Behind: true, Refused: 17, SinceHeartbeat: 3 * time.Second},
			{State: cluster.Held, Behind: true, OverLimit: true, Refused: 18, SinceHeartbeat: 2 * time.Second},
			{State: cluster.Missing, SinceHeartbeat: time.Hour},
		},
	})))
	want := map[string]float64{
		"occupancy_cluster_connected":                               1,
		"occupancy_cluster_degraded":                                1,
		"occupancy_cluster_nodes":                                   20,
		"occupancy_cluster_sharded":                                 1,
		"occupancy_cluster_rooms":                                   1,
		"occupancy_cluster_waiting_rooms":                           19,
		"occupancy_cluster_peers{state=live}":                       2,
		"occupancy_cluster_peers{state=suspect}":                    0,
		"occupancy_cluster_peers{state=held}":                       1,
		"occupancy_cluster_peers{state=missing}":                    1,
		"occupancy_cluster_reasons{reason=missing}":                 2,
		"occupancy_cluster_reasons{reason=the bus is disconnected}": 1,
		"occupancy_cluster_bus_delay_seconds":                       1.5,
		"occupancy_cluster_peers_behind":                            2,
		"occupancy_cluster_peers_over_limit":                        1,
		"occupancy_cluster_refused_rooms":                           35,
		"occupancy_cluster_heartbeat_age_seconds":                   3,
		"occupancy_cluster_messages_received_total":                 2,
		"occupancy_cluster_messages_sent_total":                     3,
		"occupancy_cluster_received_bytes_total":                    4,
		"occupancy_cluster_sent_bytes_total":                        5,
		"occupancy_cluster_unsent_messages_total":                   6,
		"occupancy_cluster_malformed_messages_total":                7,
		"occupancy_cluster_duplicate_digests_total":                 8,
		"occupancy_cluster_gaps_total":                              9,
		"occupancy_cluster_mismatches_total":                        10,
		"occupancy_cluster_resyncs_total":                           11,
		"occupancy_cluster_served_resyncs_total":                    12,
		"occupancy_cluster_lossy_total":                             13,
		"occupancy_cluster_pauses_total":                            14,
		"occupancy_cluster_dropped_peers_total":                     15,
		"occupancy_cluster_rejected_peers_total":                    16,
	}
	if !maps.Equal(got, want) {
		t.Fatalf("\n got %v\nwant %v", got, want)
	}
}

func TestClusterCollector_ExportsEveryCounter(t *testing.T) {
	var h cluster.Health
	missing := map[float64]string{}
	fields := reflect.ValueOf(&h).Elem()
	for i := range fields.NumField() {
		if f := fields.Field(i); f.Kind() == reflect.Uint64 {
			f.SetUint(uint64(1000 + i))
			missing[float64(1000+i)] = fields.Type().Field(i).Name
		}
	}
	for _, f := range scrape(t, newClusterCollector(h)) {
		if f.GetType() == dto.MetricType_COUNTER {
			delete(missing, f.Metric[0].Counter.GetValue())
		}
	}
	if len(missing) > 0 {
		t.Error("not exported:", missing)
	}
}
