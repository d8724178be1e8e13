package occupancyprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/occupancy/occupancy"
)

// Collector is a [prometheus.Collector] of one engine. Make it with [NewCollector].
type Collector struct {
	engine *occupancy.Engine
	top    topRooms
}

// Option is a setting of [NewCollector].
type Option func(*Collector)

// NewCollector makes a collector of e, to be registered. It works after the engine
// was closed too.
func NewCollector(e *occupancy.Engine, opts ...Option) *Collector {
	c := &Collector{engine: e}
	for _, o := range opts {
		o(c)
	}
	return c
}

// metric is one figure out of Stats.
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
	gauge("rooms", "Rooms that exist: somebody is in them, subscribes to them or is there by a peer.",
		func(s *occupancy.Stats) float64 { return float64(s.Rooms) }),
	gauge("connections", "Connections in all rooms, of this process and its peers.",
		func(s *occupancy.Stats) float64 { return float64(s.Total.Connections) }),
	gauge("presence_members", "Presence members in all rooms, of this process and its peers.",
		func(s *occupancy.Stats) float64 { return float64(s.Total.PresenceMembers) }),
	gauge("subscriptions", "Subscriptions to single rooms.",
		func(s *occupancy.Stats) float64 { return float64(s.Subscriptions) }),
	gauge("watchers", "Watchers of all rooms.",
		func(s *occupancy.Stats) float64 { return float64(s.Watchers) }),
	counter("events_published_total", "Events decided on, of rooms that anybody listened to.",
		func(s *occupancy.Stats) float64 { return float64(s.Published) }),
	counter("events_delivered_total", "Events handed to a subscriber, snapshots among them.",
		func(s *occupancy.Stats) float64 { return float64(s.Delivered) }),
	counter("events_folded_total", "Events replaced by a newer one before the subscriber read them.",
		func(s *occupancy.Stats) float64 { return float64(s.Folded) }),
}

var refusedDesc = prometheus.NewDesc("occupancy_hooks_refused_total",
	"Hooks that were refused and changed nothing, by the error they returned.", []string{"error"}, nil)

// refusals are all errors that a hook may return, so that each series is there, at 0,
// before the first.
var refusals = []struct {
	label string
	count func(r *occupancy.Refused) uint64
}{
	{"closed", func(r *occupancy.Refused) uint64 { return r.Closed }},
	{"invalid_room", func(r *occupancy.Refused) uint64 { return r.InvalidRoom }},
	{"invalid_client_id", func(r *occupancy.Refused) uint64 { return r.InvalidClientID }},
	{"too_many_rooms", func(r *occupancy.Refused) uint64 { return r.TooManyRooms }},
	{"not_joined", func(r *occupancy.Refused) uint64 { return r.NotJoined }},
	{"not_entered", func(r *occupancy.Refused) uint64 { return r.NotEntered }},
	{"count", func(r *occupancy.Refused) uint64 { return r.Count }},
}

var publishDesc = prometheus.NewDesc("occupancy_publish_duration_seconds",
	"How long the publisher took to tell what changed, a round at a time.", nil, nil)

// Describe is for the registry.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range metrics {
		descs <- m.desc
	}
	descs <- refusedDesc
	descs <- publishDesc
	c.top.describe(descs)
}

// Collect is for the registry.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	s := c.engine.Stats()
	for _, m := range metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s))
	}
	for _, r := range refusals {
		out <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(r.count(&s.Refused)), r.label)
	}
	out <- prometheus.MustNewConstSummary(publishDesc, s.Rounds, s.Publishing.Seconds(), nil)
	c.top.collect(out)
}
