// Package occupancyprom exports the metrics of an [occupancy.Engine] to Prometheus:
//
//	prometheus.MustRegister(occupancyprom.NewCollector(engine))
//
// The collector reads the engine's Stats at each scrape and stores nothing in between. A
// scrape takes less than a millisecond, independent of the number of rooms.
//
//	occupancy_rooms                         rooms that exist
//	occupancy_connections                   in all rooms, of the whole service
//	occupancy_presence_members              in all rooms, of the whole service
//	occupancy_users                         in all rooms, of the whole service
//	occupancy_local_connections             in all rooms, of this process
//	occupancy_local_presence_members        in all rooms, of this process
//	occupancy_local_users                   in all rooms, of this process
//	occupancy_lingering_leases              connections that broke and remain counted
//	occupancy_subscriptions                 open subscriptions
//	occupancy_watchers                      open watchers
//	occupancy_arrivals_total                connections of this process that arrived
//	occupancy_departures_total              connections of this process that departed
//	occupancy_events_published_total        events of rooms with a subscriber or watcher
//	occupancy_events_delivered_total        events sent to subscribers
//	occupancy_events_folded_total           events that a newer event replaced before they were read
//	occupancy_hooks_refused_total{error}    calls of hooks that returned an error
//	occupancy_publish_duration_seconds      duration of publishing rounds: a summary with _sum and _count
//	occupancy_interval_seconds              the setting of WithInterval
//
// The hooks are the methods that a server calls when clients connect or disconnect, and
// enter or exit presence: Join, Leave, Enter, Exit and Connect. To fold an event means to
// replace it by a newer event of the same room.
//
// All linked nodes export the totals of the same service. So compute the maximum of
// occupancy_connections over the nodes, not the sum. The sum of occupancy_local_connections
// over the nodes is the same total. All totals may lag: see [occupancy.Stats].
//
// There are no series for single rooms, except for the rooms that [WithTopRooms] selects:
//
//	occupancy_room_connections{room}
//	occupancy_room_presence_members{room}
//	occupancy_room_users{room}
//
// The metrics of users are 0 unless the engine was created with [occupancy.WithUsers].
// occupancy_users adds up the users of each room, so a user in two rooms counts twice.
//
// If a process has several engines, register each collector with
// [prometheus.WrapRegistererWith] and a label that names the engine. The file
// dashboard.json in this directory is a Grafana dashboard of these metrics.
package occupancyprom
