// Package occupancyprom exports metrics of an [occupancy.Engine], an [occupancyhttp.Handler],
// a node of package cluster and a [trending.Board] to Prometheus:
//
//	prometheus.MustRegister(
//		occupancyprom.NewCollector(engine),
//		occupancyprom.NewHTTPCollector(handler),
//		occupancyprom.NewClusterCollector(node.Health),
//		occupancyprom.NewTrendingCollector(board),
//	)
//
// The collectors read the numbers at each scrape and store nothing in between. A scrape
// takes less than a millisecond, independent of the number of rooms.
//
// The page docs/operating.md explains which metrics to watch. This directory contains alert
// rules (alerts.yml) and a Grafana dashboard (dashboard.json).
//
// # One process and the whole service
//
// Every linked node exports the totals of the service. Their names begin with
// occupancy_service. Use their maximum: their sum counts everything once for each node. All
// other metrics are those of one process. Add them up, for example for an autoscaler, which
// needs the average number of connections of a process:
//
//	max(occupancy_service_connections)    connections of the service
//	sum(occupancy_connections)            the same
//	avg(occupancy_connections)            connections for each process
//
// # Metrics of NewCollector
//
//	occupancy_service_rooms                 rooms that exist
//	occupancy_service_connections           connections in all rooms, of the whole service
//	occupancy_service_presence_members      presence members in all rooms, of the whole service
//	occupancy_service_users                 users in all rooms, of the whole service
//	occupancy_connections                   connections in all rooms, of this process
//	occupancy_presence_members              presence members in all rooms, of this process
//	occupancy_users                         users in all rooms, of this process
//	occupancy_lingering_leases              connections that broke and remain counted
//	occupancy_subscriptions                 open subscriptions
//	occupancy_watchers                      open watchers
//	occupancy_arrivals_total                connections of this process that arrived
//	occupancy_departures_total              connections of this process that departed
//	occupancy_events_published_total        events of rooms with a subscriber or watcher
//	occupancy_events_delivered_total        events sent to subscribers
//	occupancy_events_folded_total           events that a newer event replaced before they were read
//	occupancy_event_delay_seconds           delays of the events, a histogram: see [occupancy.Delays]
//	occupancy_hooks_refused_total{error}    calls of hooks that returned an error
//	occupancy_publish_duration_seconds      duration of publishing rounds: a summary with _sum and _count
//	occupancy_interval_seconds              the setting of WithInterval
//
// The hooks are the methods that a server calls when clients connect or disconnect, and
// enter or exit presence: Join, Leave, Enter, Exit and Connect. To fold an event means to
// replace it by a newer event of the same room. The totals may lag: see [occupancy.Stats].
//
// The metrics of users are 0 unless the engine was created with [occupancy.WithUsers]. They
// add up the users of each room, so a user in two rooms counts twice.
//
// There are no series for single rooms, except for the rooms that [WithTopRooms] selects.
// They have the counts of the whole service:
//
//	occupancy_room_connections{room}
//	occupancy_room_presence_members{room}
//	occupancy_room_users{room}
//
// # Metrics of NewHTTPCollector
//
//	occupancy_http_streams                         open streams
//	occupancy_http_rooms                           rooms of the open streams
//	occupancy_http_streams_opened_total            streams opened
//	occupancy_http_streams_refused_total{code}     requests for a stream that were refused
//	occupancy_http_streams_too_slow_total          streams closed because the client did not read
//
// # Metrics of NewClusterCollector
//
//	occupancy_cluster_connected                    1 if the bus is connected
//	occupancy_cluster_degraded                     1 if the counts of other nodes may be incomplete
//	occupancy_cluster_reasons{reason}              reasons for degraded, see [cluster.Reason]
//	occupancy_cluster_nodes                        nodes that are counted, including this one
//	occupancy_cluster_sharded                      1 if the node exchanges counts through aggregators
//	occupancy_cluster_rooms                        rooms that this node has published
//	occupancy_cluster_waiting_rooms                rooms whose changes wait to be published
//	occupancy_cluster_peers{state}                 peers: live, suspect, held or missing
//	occupancy_cluster_peers_behind                 peers with a change that has not arrived
//	occupancy_cluster_peers_over_limit             peers with more rooms than WithMaxRooms allows
//	occupancy_cluster_refused_rooms                rooms of peers that a limit has refused
//	occupancy_cluster_bus_delay_seconds            time that a heartbeat of this node needs to return
//	occupancy_cluster_heartbeat_age_seconds        time since the oldest last heartbeat of a peer
//	occupancy_cluster_messages_received_total
//	occupancy_cluster_messages_sent_total
//	occupancy_cluster_received_bytes_total
//	occupancy_cluster_sent_bytes_total
//	occupancy_cluster_unsent_messages_total        messages for which the bus returned an error
//	occupancy_cluster_malformed_messages_total     invalid messages, or of an unsupported version
//	occupancy_cluster_duplicate_digests_total      digests that were not needed
//	occupancy_cluster_gaps_total                   missing digests
//	occupancy_cluster_mismatches_total             heartbeats that did not match the received counts
//	occupancy_cluster_resyncs_total                sync requests to peers
//	occupancy_cluster_served_resyncs_total         sync requests of peers
//	occupancy_cluster_lossy_total                  times that the bus reported lost messages
//	occupancy_cluster_pauses_total                 pauses of this node
//	occupancy_cluster_dropped_peers_total          peers that were dropped without a Bye
//	occupancy_cluster_rejected_peers_total         messages of nodes that WithMaxPeers rejected
//
// # Metrics of NewTrendingCollector
//
//	occupancy_trending_changes_total         changes of rooms that the board has applied
//	occupancy_trending_busy_seconds_total    time spent on applying changes and publishing lists
//
// If a process has several engines, register each collector with
// [prometheus.WrapRegistererWith] and a label that names the engine.
package occupancyprom
