// Package occupancyotel exports the metrics of an [occupancy.Engine] to OpenTelemetry:
//
//	registration, err := occupancyotel.Register(otel.GetMeterProvider(), engine)
//
// All instruments are observable: the SDK reads the engine's Stats at each collection. The
// package stores nothing in between and adds nothing to the hooks.
//
//	occupancy.connections                up-down counter  connections in all rooms, of this process
//	occupancy.presence_members           up-down counter  presence members in all rooms, of this process
//	occupancy.users                      up-down counter  users in all rooms, of this process
//	occupancy.service.rooms              gauge            rooms that exist
//	occupancy.service.connections        gauge            connections in all rooms, of the whole service
//	occupancy.service.presence_members   gauge            presence members in all rooms, of the whole service
//	occupancy.service.users              gauge            users in all rooms, of the whole service
//	occupancy.lingering_leases           up-down counter  connections that broke and remain counted
//	occupancy.subscriptions              up-down counter  open subscriptions
//	occupancy.watchers                   up-down counter  open watchers
//	occupancy.arrivals                   counter          connections of this process that arrived
//	occupancy.departures                 counter          connections of this process that departed
//	occupancy.events.published           counter          events of rooms with a subscriber or watcher
//	occupancy.events.delivered           counter          events sent to subscribers
//	occupancy.events.folded              counter          events that a newer event replaced before they were read
//	occupancy.events.delay.bucket        counter          events by delay: see below
//	occupancy.events.delay.sum           counter          the sum of these delays, in seconds
//	occupancy.hooks.refused              counter          calls of hooks that returned an error, by error.type
//	occupancy.publish.rounds             counter          publishing rounds
//	occupancy.publish.duration           counter          their duration, in seconds
//	occupancy.interval                   gauge            the setting of WithInterval, in seconds
//
// The up-down counters and counters are those of one process, and backends add up the
// processes. Every linked node exports the same totals of the service, which must not be
// added up. Therefore they are gauges: use their maximum.
//
// OpenTelemetry has no observable histogram. So the delays of events, see
// [occupancy.Delays], are a counter of each bucket, like the buckets of a Prometheus
// histogram: the attribute le is the greatest delay in seconds, and each bucket includes
// the smaller ones.
//
// The page docs/operating.md explains which metrics to watch.
package occupancyotel
