package occupancyprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/occupancy/occupancy"
)

type collector struct {
	engine *occupancy.Engine
	top    topRooms
}

// Option is a setting of [NewCollector].
type Option func(*collector)

// NewCollector returns a collector of e. Register the collector with a
// [prometheus.Registerer]. The collector also works after the engine is closed.
func NewCollector(e *occupancy.Engine, opts ...Option) prometheus.Collector {
	c := &collector{engine: e}
	for _, o := range opts {
		o(c)
	}
	return c
}

var engineMetrics = []metric[occupancy.Stats]{
	gauge("service_rooms", "Rooms that exist: occupied, subscribed to, or reported by another node. Do not add up the nodes.",
		func(s *occupancy.Stats) float64 { return float64(s.Rooms) }),
	gauge("service_connections", "Connections of this process and the linked nodes in all rooms. Do not add up the nodes.",
		func(s *occupancy.Stats) float64 { return float64(s.Total.Connections) }),
	gauge("service_presence_members", "Presence members of this process and the linked nodes in all rooms. Do not add up the nodes.",
		func(s *occupancy.Stats) float64 { return float64(s.Total.PresenceMembers) }),
	gauge("service_users", "Users of this process and the linked nodes, if the engine counts users. A user in two rooms counts twice. Do not add up the nodes.",
		func(s *occupancy.Stats) float64 { return float64(s.Total.Users) }),
	gauge("connections", "Connections of this process in all rooms.",
		func(s *occupancy.Stats) float64 { return float64(s.Local.Connections) }),
	gauge("presence_members", "Presence members of this process in all rooms.",
		func(s *occupancy.Stats) float64 { return float64(s.Local.PresenceMembers) }),
	gauge("users", "Users of this process, if the engine counts users. A user in two rooms counts twice.",
		func(s *occupancy.Stats) float64 { return float64(s.Local.Users) }),
	gauge("lingering_leases", "Leases that linger: connections that broke and remain counted, in case the client reconnects.",
		func(s *occupancy.Stats) float64 { return float64(s.Lingering) }),
	gauge("subscriptions", "Open subscriptions, each to one room.",
		func(s *occupancy.Stats) float64 { return float64(s.Subscriptions) }),
	gauge("watchers", "Open watchers.",
		func(s *occupancy.Stats) float64 { return float64(s.Watchers) }),
	counter("arrivals_total", "Connections of this process that arrived. Within one interval of a room, arrivals and departures cancel each other out.",
		func(s *occupancy.Stats) float64 { return float64(s.Arrivals) }),
	counter("departures_total", "Connections of this process that departed. Within one interval of a room, arrivals and departures cancel each other out.",
		func(s *occupancy.Stats) float64 { return float64(s.Departures) }),
	counter("events_published_total", "Events published in rooms with a subscriber or watcher.",
		func(s *occupancy.Stats) float64 { return float64(s.Published) }),
	counter("events_delivered_total", "Events sent to subscribers, including the first event of each subscriber.",
		func(s *occupancy.Stats) float64 { return float64(s.Delivered) }),
	counter("events_folded_total", "Events that a newer event replaced before the subscriber read them.",
		func(s *occupancy.Stats) float64 { return float64(s.Folded) }),
}

var refusedDesc = prometheus.NewDesc("occupancy_hooks_refused_total",
	"Calls of Join, Leave, Enter, Exit and Connect that returned an error, by error.", []string{"error"}, nil)

// refusals lists all errors of these calls. Each error has a series from the start, with
// the value 0.
var refusals = []struct {
	label string
	count func(r *occupancy.Refused) uint64
}{
	{"closed", func(r *occupancy.Refused) uint64 { return r.Closed }},
	{"invalid_room", func(r *occupancy.Refused) uint64 { return r.InvalidRoom }},
	{"invalid_client_id", func(r *occupancy.Refused) uint64 { return r.InvalidClientID }},
	{"too_many_rooms", func(r *occupancy.Refused) uint64 { return r.TooManyRooms }},
	{"room_full", func(r *occupancy.Refused) uint64 { return r.RoomFull }},
	{"not_joined", func(r *occupancy.Refused) uint64 { return r.NotJoined }},
	{"not_entered", func(r *occupancy.Refused) uint64 { return r.NotEntered }},
	{"count_out_of_range", func(r *occupancy.Refused) uint64 { return r.Count }},
}

var (
	delayDesc = prometheus.NewDesc("occupancy_event_delay_seconds",
		"Time from the moment at which an event could be published until it was published. The interval is no delay.", nil, nil)
	publishDesc = prometheus.NewDesc("occupancy_publish_duration_seconds",
		"Duration of the rounds in which the engine publishes changed rooms.", nil, nil)
	intervalDesc = prometheus.NewDesc("occupancy_interval_seconds",
		"Minimum time between two events of one room, as set by WithInterval.", nil, nil)
)

func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	describe(engineMetrics, descs)
	descs <- refusedDesc
	descs <- delayDesc
	descs <- publishDesc
	descs <- intervalDesc
	c.top.describe(descs)
}

func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.engine.Stats()
	collect(engineMetrics, &s, out)
	for _, r := range refusals {
		out <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(r.count(&s.Refused)), r.label)
	}
	out <- delays(&s.Delays)
	out <- prometheus.MustNewConstSummary(publishDesc, s.Rounds, s.Publishing.Seconds(), nil)
	out <- prometheus.MustNewConstMetric(intervalDesc, prometheus.GaugeValue, c.engine.Interval().Seconds())
	c.top.collect(c.engine, out)
}

// delays returns d as a Prometheus histogram, whose buckets are cumulative.
func delays(d *occupancy.Delays) prometheus.Metric {
	count, buckets := uint64(0), map[float64]uint64{}
	for i, bound := range occupancy.DelayBounds() {
		count += d.Counts[i]
		buckets[bound.Seconds()] = count
	}
	count += d.Counts[len(d.Counts)-1]
	return prometheus.MustNewConstHistogram(delayDesc, count, d.Sum.Seconds(), buckets)
}
