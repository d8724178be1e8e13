package cluster

import "github.com/occupancy/occupancy"

// Shares returns the counts of a room by the name of the node whose process counts them, as
// last received: those of this process, and those of each peer whose counts are part of the
// totals. The map also contains the nodes without connections to the room. Nodes with the
// same name share an entry. The users of two nodes cannot be added up, because a user can
// be on both. With [WithSharding], the node receives sums only: they have the name "other nodes".
// After Close, the map contains only this node.
func (n *Node) Shares(room string) map[string]occupancy.Occupancy {
	n.mu.Lock()
	defer n.mu.Unlock()
	shares := map[string]occupancy.Occupancy{n.Name: n.Local(room)}
	n.core.Shares(room, func(peer string, counts occupancy.Occupancy) {
		sum := shares[peer]
		sum.Connections += counts.Connections
		sum.PresenceMembers += counts.PresenceMembers
		sum.Users += counts.Users
		shares[peer] = sum
	})
	return shares
}
