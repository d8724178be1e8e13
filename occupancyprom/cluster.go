package occupancyprom

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/occupancy/occupancy/cluster"
)

// NewClusterCollector returns a collector of a node of a cluster. Call it with the method
// Health of the node that [cluster.Start] returns: NewClusterCollector(node.Health). For the aggregator in
// a process, register NewClusterCollector(node.Aggregator().Health) with a label of its own:
// [prometheus.WrapRegistererWith].
func NewClusterCollector(health func() cluster.Health) prometheus.Collector {
	return clusterCollector{health}
}

type clusterCollector struct{ health func() cluster.Health }

var clusterMetrics = []metric[cluster.Health]{
	gauge("cluster_connected", "1 if the bus is connected, otherwise 0.",
		func(h *cluster.Health) float64 { return boolean(h.Connected) }),
	gauge("cluster_degraded", "1 if the counts of other nodes may be incomplete or out of date, otherwise 0.",
		func(h *cluster.Health) float64 { return boolean(h.Degraded) }),
	gauge("cluster_nodes", "Nodes that are counted, including this one.",
		func(h *cluster.Health) float64 { return float64(h.Nodes) }),
	gauge("cluster_sharded", "1 if the node exchanges counts through aggregators, otherwise 0.",
		func(h *cluster.Health) float64 { return boolean(h.Sharded) }),
	gauge("cluster_rooms", "Occupied rooms that this node has published to its peers.",
		func(h *cluster.Health) float64 { return float64(h.Rooms) }),
	gauge("cluster_waiting_rooms", "Rooms whose changes wait for the node or the bus to be published; at most about 4096 are counted.",
		func(h *cluster.Health) float64 { return float64(h.Waiting) }),
	gauge("cluster_peers_behind", "Peers that have published a change that this node has not received yet.",
		func(h *cluster.Health) (n float64) {
			for _, p := range h.Peers {
				n += boolean(p.Behind)
			}
			return n
		}),
	gauge("cluster_peers_over_limit", "Peers that have more rooms than WithMaxRooms allows.",
		func(h *cluster.Health) (n float64) {
			for _, p := range h.Peers {
				n += boolean(p.OverLimit)
			}
			return n
		}),
	gauge("cluster_refused_rooms", "Rooms of peers whose counts this node has refused because of a limit.",
		func(h *cluster.Health) (n float64) {
			for _, p := range h.Peers {
				n += float64(p.Refused)
			}
			return n
		}),
	gauge("cluster_bus_delay_seconds", "Time that a heartbeat of this node needs to return to it.",
		func(h *cluster.Health) float64 { return h.BusDelay.Seconds() }),
	gauge("cluster_heartbeat_age_seconds", "Time since the oldest last heartbeat of a peer that is not missing; 0 without peers.",
		func(h *cluster.Health) (age float64) {
			for _, p := range h.Peers {
				if p.State != cluster.Missing {
					age = max(age, p.SinceHeartbeat.Seconds())
				}
			}
			return age
		}),
	counter("cluster_messages_received_total", "Messages received from the bus.",
		func(h *cluster.Health) float64 { return float64(h.MessagesIn) }),
	counter("cluster_messages_sent_total", "Messages sent to the bus.",
		func(h *cluster.Health) float64 { return float64(h.MessagesOut) }),
	counter("cluster_received_bytes_total", "Bytes of the messages received.",
		func(h *cluster.Health) float64 { return float64(h.BytesIn) }),
	counter("cluster_sent_bytes_total", "Bytes of the messages sent.",
		func(h *cluster.Health) float64 { return float64(h.BytesOut) }),
	counter("cluster_unsent_messages_total", "Messages for which the bus returned an error.",
		func(h *cluster.Health) float64 { return float64(h.Unsent) }),
	counter("cluster_malformed_messages_total", "Received messages that are invalid or of an unsupported version.",
		func(h *cluster.Health) float64 { return float64(h.Malformed) }),
	counter("cluster_duplicate_digests_total", "Digests that were received again or were not needed.",
		func(h *cluster.Health) float64 { return float64(h.Duplicates) }),
	counter("cluster_gaps_total", "Digests that arrived while an earlier digest was missing.",
		func(h *cluster.Health) float64 { return float64(h.Gaps) }),
	counter("cluster_mismatches_total", "Heartbeats whose hash differed from the hash of the received counts.",
		func(h *cluster.Health) float64 { return float64(h.Mismatches) }),
	counter("cluster_resyncs_total", "Sync requests to peers.",
		func(h *cluster.Health) float64 { return float64(h.Resyncs) }),
	counter("cluster_served_resyncs_total", "Sync requests of peers that this node has answered.",
		func(h *cluster.Health) float64 { return float64(h.Served) }),
	counter("cluster_lossy_total", "Times that the bus reported lost messages.",
		func(h *cluster.Health) float64 { return float64(h.Lossy) }),
	counter("cluster_pauses_total", "Pauses of this node that were longer than a heartbeat interval.",
		func(h *cluster.Health) float64 { return float64(h.Pauses) }),
	counter("cluster_dropped_peers_total", "Peers that were dropped without a Bye.",
		func(h *cluster.Health) float64 { return float64(h.Dropped) }),
	counter("cluster_rejected_peers_total", "Messages of nodes that were rejected because of WithMaxPeers.",
		func(h *cluster.Health) float64 { return float64(h.RejectedPeers) }),
}

var (
	reasonsDesc = prometheus.NewDesc("occupancy_cluster_reasons",
		"Current reasons for degraded; a reason can apply to several peers.", []string{"reason"}, nil)
	peersDesc = prometheus.NewDesc("occupancy_cluster_peers",
		"Peers, by state: live, suspect, held or missing.", []string{"state"}, nil)
)

func (c clusterCollector) Describe(descs chan<- *prometheus.Desc) {
	describe(clusterMetrics, descs)
	descs <- reasonsDesc
	descs <- peersDesc
}

func (c clusterCollector) Collect(out chan<- prometheus.Metric) {
	h := c.health()
	collect(clusterMetrics, &h, out)
	reasons := map[string]int{}
	for _, r := range h.Reasons {
		reason, _, _ := strings.Cut(r.Text, ": ") // without the name of the peer
		reasons[reason]++
	}
	for reason, n := range reasons {
		out <- prometheus.MustNewConstMetric(reasonsDesc, prometheus.GaugeValue, float64(n), reason)
	}
	peers := map[cluster.State]int{cluster.Live: 0, cluster.Suspect: 0, cluster.Held: 0, cluster.Missing: 0}
	for _, p := range h.Peers {
		peers[p.State]++
	}
	for state, n := range peers {
		out <- prometheus.MustNewConstMetric(peersDesc, prometheus.GaugeValue, float64(n), state.String())
	}
}
