package core

import "github.com/occupancy/occupancy"

// Shares calls f with the counts of a room of each peer whose counts are part of the totals.
func (m *Machine) Shares(room string, f func(peer string, counts occupancy.Occupancy)) {
	for _, p := range m.members.peers {
		if p.state != Missing {
			f(p.name, p.table.accepted.Get(room).Occupancy)
		}
	}
}
