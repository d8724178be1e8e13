package occupancy

import "time"

// Stats is what the engine holds and did, of all rooms together. The uint64 fields
// count since New. The fields are read one after another, and Connections and
// PresenceMembers lag, so together they are no snapshot.
type Stats struct {
	Rooms           int // that exist: somebody is in them, subscribes to them, or is there by a peer
	Connections     int // in all rooms, of this process and its peers
	PresenceMembers int // likewise
	Subscriptions   int
	Watchers        int

	Published uint64 // events decided on, of rooms that anybody listened to
	Delivered uint64 // events handed to a subscriber, snapshots among them
	Folded    uint64 // events replaced by a newer one before the subscriber read them

	Refused    Refused       // hooks that changed nothing
	Rounds     uint64        // how often the engine looked for what to tell and found a room that changed, or had cooled
	Publishing time.Duration // how long those rounds took together; one that takes an interval says the engine is behind

	MaxRooms int           // the setting of WithMaxRooms
	Interval time.Duration // the setting of WithInterval
}

// Stats reads the totals. It never walks the rooms and takes no lock, so that it may
// be called as often as one likes. Connections and PresenceMembers lag behind the
// hooks by the engine's interval at most.
func (e *Engine) Stats() Stats {
	p := e.pub
	return Stats{
		// A room may end before the step that began it is counted: see rooms.swap.
		Rooms:           int(max(0, e.rooms.exist.Load())),
		Connections:     int(p.connections.Load()),
		PresenceMembers: int(p.presenceMembers.Load()),
		Subscriptions:   int(p.subscriptions.Load()),
		Watchers:        int(p.watchers.Load()),
		Published:       p.published.Load(),
		Delivered:       p.delivered.Load(),
		Folded:          p.folded.Load(),
		Refused:         p.refused.read(),
		Rounds:          p.rounds.Load(),
		Publishing:      time.Duration(p.publishing.Load()),
		MaxRooms:        e.rooms.limit,
		Interval:        p.interval,
	}
}
