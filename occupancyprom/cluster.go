package occupancyprom

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/occupancy/occupancy/cluster"
)

// ClusterCollector is a [prometheus.Collector] of one node of a cluster. Create it with
// [NewClusterCollector].
type ClusterCollector struct{ health func() cluster.Health }

// NewClusterCollector creates a collector of the node whose method Health is given. It calls
// health at each scrape. The file cluster-alerts.yaml has rules for these metrics.
func NewClusterCollector(health func() cluster.Health) *ClusterCollector {
	return &ClusterCollector{health}
}

// clusterMetric is a metric that shows one value of Health.
type clusterMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(h *cluster.Health) float64
}

func clusterGauge(name, help string, value func(h *cluster.Health) float64) clusterMetric {
	return clusterMetric{prometheus.NewDesc("occupancy_cluster_"+name, help, nil, nil), prometheus.GaugeValue, value}
}

func clusterCounter(name, help string, value func(h *cluster.Health) uint64) clusterMetric {
	return clusterMetric{prometheus.NewDesc("occupancy_cluster_"+name+"_total", help, nil, nil), prometheus.CounterValue,
		func(h *cluster.Health) float64 { return float64(value(h)) }}
}

var clusterMetrics = []clusterMetric{
	clusterGauge("degraded", "1 if the counts of other nodes may be incomplete or out of date, and otherwise 0.",
		func(h *cluster.Health) float64 {
			if h.Degraded {
				return 1
			}
			return 0
		}),
	clusterGauge("rooms", "Occupied rooms that this node has published.",
		func(h *cluster.Health) float64 { return float64(h.Rooms) }),
	clusterGauge("bus_delay_seconds", "Time that a heartbeat of this node needs to return.",
		func(h *cluster.Health) float64 { return h.BusDelay.Seconds() }),
	clusterGauge("oldest_heartbeat_seconds", "The longest time since the last heartbeat of a peer that is not missing.",
		func(h *cluster.Health) float64 {
			var oldest time.Duration
			for _, p := range h.Peers {
				if p.State != cluster.Missing {
					oldest = max(oldest, p.SinceHeartbeat)
				}
			}
			return oldest.Seconds()
		}),
	clusterCounter("messages_received", "Received messages.", func(h *cluster.Health) uint64 { return h.MessagesIn }),
	clusterCounter("messages_sent", "Sent messages.", func(h *cluster.Health) uint64 { return h.MessagesOut }),
	clusterCounter("received_bytes", "Bytes of received payloads.", func(h *cluster.Health) uint64 { return h.BytesIn }),
	clusterCounter("sent_bytes", "Bytes of sent payloads.", func(h *cluster.Health) uint64 { return h.BytesOut }),
	clusterCounter("unsent", "Messages for which the bus returned an error.", func(h *cluster.Health) uint64 { return h.Unsent }),
	clusterCounter("malformed", "Received messages that are invalid.", func(h *cluster.Health) uint64 { return h.Malformed }),
	clusterCounter("gaps", "Digests that arrived while an earlier digest was missing.", func(h *cluster.Health) uint64 { return h.Gaps }),
	clusterCounter("mismatches", "Heartbeats whose hash differed from that of the received counts.", func(h *cluster.Health) uint64 { return h.Mismatches }),
	clusterCounter("resyncs", "Sync requests to peers.", func(h *cluster.Health) uint64 { return h.Resyncs }),
	clusterCounter("served", "Sync requests of peers that this node has answered.", func(h *cluster.Health) uint64 { return h.Served }),
	clusterCounter("lossy", "Lossy events of the bus.", func(h *cluster.Health) uint64 { return h.Lossy }),
	clusterCounter("pauses", "Pauses of this node that were longer than a heartbeat interval.", func(h *cluster.Health) uint64 { return h.Pauses }),
	clusterCounter("dropped", "Peers whose counts were removed although they sent no Bye.", func(h *cluster.Health) uint64 { return h.Dropped }),
	clusterCounter("rejected_peers", "Messages of nodes that were rejected because of WithMaxPeers.", func(h *cluster.Health) uint64 { return h.RejectedPeers }),
}

var (
	clusterReasonDesc = prometheus.NewDesc("occupancy_cluster_reasons",
		"Current reasons for degraded, by reason; a reason can apply to several peers.", []string{"reason"}, nil)
	clusterPeersDesc = prometheus.NewDesc("occupancy_cluster_peers", "Peers, by state.", []string{"state"}, nil)
)

// Describe implements [prometheus.Collector].
func (c *ClusterCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range clusterMetrics {
		ch <- m.desc
	}
	ch <- clusterReasonDesc
	ch <- clusterPeersDesc
}

// Collect implements [prometheus.Collector].
func (c *ClusterCollector) Collect(ch chan<- prometheus.Metric) {
	h := c.health()
	for _, m := range clusterMetrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&h))
	}
	reasons := map[string]float64{}
	for _, r := range h.Reasons {
		reason, _, _ := strings.Cut(r.Text, ": ") // without the name of the peer
		reasons[reason]++
	}
	for reason, n := range reasons {
		ch <- prometheus.MustNewConstMetric(clusterReasonDesc, prometheus.GaugeValue, n, reason)
	}
	states := map[cluster.State]float64{}
	for _, p := range h.Peers {
		states[p.State]++
	}
	for _, s := range []cluster.State{cluster.Live, cluster.Suspect, cluster.Held, cluster.Missing} {
		ch <- prometheus.MustNewConstMetric(clusterPeersDesc, prometheus.GaugeValue, states[s], s.String())
	}
}
