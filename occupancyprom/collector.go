package occupancyprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/occupancy/occupancy"
)

// Collector is a [prometheus.Collector] of one engine. Create it with [NewCollector].
type Collector struct {
	engine *occupancy.Engine
	top    topRooms
}

// Option is a setting of [NewCollector].
type Option func(*Collector)

// NewCollector creates a collector of e. Register the collector with a
// [prometheus.Registerer]. The collector also works after the engine is closed.
func NewCollector(e *occupancy.Engine, opts ...Option) *Collector {
	c := &Collector{engine: e}
	for _, o := range opts {
		o(c)
	}
	return c
}

// metric is a metric that shows one value of Stats.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(s *occupancy.Stats) float64
}

func gauge(name, help string, value func(s *occupancy.Stats) float64) metric {
	return metric{prometheus.NewDesc("occupancy_"+name, help, nil, nil), prometheus.GaugeValue, value}
}

func counter(name, help string, value func(s *occupancy.Stats) float64) metric {
	return metric{prometheus.NewDesc("occupancy_"+name, help, nil, nil), prometheus.CounterValue, value}
}

var metrics = []metric{
	gauge("rooms", "Rooms that exist: occupied, subscribed to, or reported by another node.",
		func(s *occupancy.Stats) float64 { return float64(s.Rooms) }),
	gauge("connections", "Connections in all rooms of the service: of this process and the linked nodes.",
		func(s *occupancy.Stats) float64 { return float64(s.Total.Connections) }),
	gauge("presence_members", "Presence members in all rooms of the service: of this process and the linked nodes.",
		func(s *occupancy.Stats) float64 { return float64(s.Total.PresenceMembers) }),
	gauge("users", "Users of each room, added up, if the engine counts users: a user in two rooms counts twice.",
		func(s *occupancy.Stats) float64 { return float64(s.Total.Users) }),
	gauge("local_connections", "Connections of this process in all rooms.",
		func(s *occupancy.Stats) float64 { return float64(s.Local.Connections) }),
	gauge("local_presence_members", "Presence members of this process in all rooms.",
		func(s *occupancy.Stats) float64 { return float64(s.Local.PresenceMembers) }),
	gauge("local_users", "Users of this process of each room, added up, if the engine counts users: a user in two rooms counts twice.",
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

var publishDesc = prometheus.NewDesc("occupancy_publish_duration_seconds",
	"Duration of the rounds in which the engine publishes changed rooms.", nil, nil)

var intervalDesc = prometheus.NewDesc("occupancy_interval_seconds",
	"Minimum time between two events of one room, as set by WithInterval.", nil, nil)

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range metrics {
		descs <- m.desc
	}
	descs <- refusedDesc
	descs <- publishDesc
	descs <- intervalDesc
	c.top.describe(descs)
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	s := c.engine.Stats()
	for _, m := range metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s))
	}
	for _, r := range refusals {
		out <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(r.count(&s.Refused)), r.label)
	}
	out <- prometheus.MustNewConstSummary(publishDesc, s.Rounds, s.Publishing.Seconds(), nil)
	out <- prometheus.MustNewConstMetric(intervalDesc, prometheus.GaugeValue, c.engine.Interval().Seconds())
	c.top.collect(out)
}
