package core

import "github.com/occupancy/occupancy"

// othersName is the name of the table with the counts of all other nodes.
const othersName = "other nodes"

// Shares calls f with the counts of a room of each peer whose counts are part of the totals.
func (m *Machine) Shares(room string, f func(peer string, counts occupancy.Occupancy)) {
	if m.client != nil {
		f(othersName, m.client.others.Get(room).Occupancy)
		return
	}
	for _, p := range m.members.peers {
		if p.state != Missing {
			f(p.name, p.table.accepted.Get(room).Occupancy)
		}
	}
}
