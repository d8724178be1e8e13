// Package occupancyprom is a Prometheus collector for an [occupancy.Engine]:
//
//	prometheus.MustRegister(occupancyprom.NewCollector(engine))
//
// It reads the engine's Stats when it is scraped and keeps nothing between. A scrape
// takes microseconds, however many rooms there are, and the engine pays nothing for it.
//
//	occupancy_rooms                         rooms that exist
//	occupancy_connections                   in all rooms
//	occupancy_presence_members              in all rooms
//	occupancy_subscriptions                 to rooms
//	occupancy_watchers                      of all rooms
//	occupancy_rooms_limit                   the setting; 0 is none
//	occupancy_interval_seconds              the setting
//	occupancy_events_published_total        decided on
//	occupancy_events_delivered_total        handed to a subscriber
//	occupancy_events_folded_total           replaced before they were read
//	occupancy_hooks_refused_total{error}    by what was wrong
//	occupancy_publish_duration_seconds      summary: _sum and _count, of the publisher's rounds
//
// There are no series by room, unless [WithTopRooms] asks for a few:
//
//	occupancy_room_connections{room}
//	occupancy_room_presence_members{room}
//
// For several engines in a process, register each collector through
// [prometheus.WrapRegistererWith] with a label of its own. dashboard.json, beside this
// file, is a Grafana dashboard for all of this.
package occupancyprom
