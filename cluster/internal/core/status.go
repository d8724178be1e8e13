package core

import "time"

// Nodes returns the number of nodes that are counted, including this one: see Health.Nodes.
func (m *Machine) Nodes() int {
	if m.client != nil {
		return m.client.nodes()
	}
	return m.members.known() - toInt(m.aggregator != nil) // an aggregator has no counts
}

// fewNodes reports whether nodes are missing. The node in this process always exists, also while an
// aggregator does not know it yet.
func (m *Machine) fewNodes() bool { return max(m.Nodes(), 1) < m.cfg.ExpectedNodes }

// Connected reports whether the bus is connected.
func (m *Machine) Connected() bool { return m.connected }

// Rooms returns the number of published rooms that are not empty.
func (m *Machine) Rooms() int { return m.live() }

// Peers returns the states of the peers, in the order of their first messages.
func (m *Machine) Peers(now time.Duration) []PeerStatus {
	all, names := make([]PeerStatus, len(m.members.peers)), m.members.liveNames()
	for i, p := range m.members.peers {
		all[i] = PeerStatus{
			ID:             p.id,
			Name:           p.name,
			State:          p.state,
			Rooms:          p.table.rooms,
			Behind:         p.stream.behind(),
			Refused:        len(p.table.refused),
			OverLimit:      p.table.overLimit,
			Estimated:      len(p.table.estimated),
			OtherSecret:    p.otherSecret,
			Degraded:       p.flags&flagDegraded != 0,
			Backlog:        p.flags&flagBacklog != 0,
			IgnoresRooms:   p.maxRooms > 0 && uint64(m.feedTo(p).live()) > p.maxRooms,
			SameName:       m.members.sameName(p, names),
			Unsupported:    p.unsupported,
			SinceHeartbeat: now - p.beatAt,
		}
	}
	return all
}
