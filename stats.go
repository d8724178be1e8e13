package occupancy

import "time"

// Stats are totals over all rooms, and what the engine has done. The uint64 fields
// count since New. The fields are read one after another, so together they are not a
// snapshot, and the totals may lag behind the hooks by an interval.
type Stats struct {
	Rooms int       // that exist: occupied, subscribed to, or reported by another node
	Total Occupancy // of all rooms, of this process and the linked nodes
	Local Occupancy // of all rooms, of this process

	Subscriptions int // open
	Watchers      int // open

	// Connections of this process that arrived and departed: the net change of a room
	// each time the room was published.
	Arrivals   uint64
	Departures uint64

	Published uint64 // events of rooms with a subscriber or watcher
	Delivered uint64 // events handed to a subscriber, including first ones
	Folded    uint64 // events that a newer one replaced before the subscriber read them

	Refused    Refused       // hooks that returned an error and changed nothing
	Rounds     uint64        // how often the engine looked for rooms to publish and had some to visit
	Publishing time.Duration // the time these rounds took in all: an average of an interval means that the engine is overloaded
}

// Stats returns the totals. It never walks the rooms, takes no lock and does not
// allocate, so it may be called often. It works after Close.
func (e *Engine) Stats() Stats {
	p := e.pub
	return Stats{
		Rooms:         e.rooms.exist(),
		Total:         p.total.read(),
		Local:         p.local.read(),
		Subscriptions: int(p.subscriptions.Load()),
		Watchers:      int(p.watchers.Load()),
		Arrivals:      p.arrivals.Load(),
		Departures:    p.departures.Load(),
		Published:     p.published.Load(),
		Delivered:     p.delivered.Load(),
		Folded:        p.folded.Load(),
		Refused:       p.refused.read(),
		Rounds:        p.rounds.Load(),
		Publishing:    time.Duration(p.publishing.Load()),
	}
}
