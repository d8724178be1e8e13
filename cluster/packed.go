package cluster

import "github.com/occupancy/occupancy"

// packed is the occupancy of a room in one word: connections in the upper half, members
// in the lower. Neither has its highest bit, which leaves two for a peer's table.
type packed uint64

const maxCount = 1<<31 - 1 // of each that a room holds

func pack(o occupancy.Occupancy) packed {
	return packed(o.Connections)<<32 | packed(o.PresenceMembers)
}

func (p packed) connections() uint64 { return uint64(p>>32) & maxCount }
func (p packed) members() uint64     { return uint64(p) & maxCount }

func (p packed) unpack() occupancy.Occupancy {
	return occupancy.Occupancy{Connections: int(p.connections()), PresenceMembers: int(p.members())}
}

// hashOf is one room's part of the hash in a heartbeat; cluster.proto says how it is made,
// for every node must make it the same. An empty room has none.
func hashOf[T string | []byte](room T, p packed) uint64 {
	if p == 0 {
		return 0
	}
	x := uint64(0xcbf29ce484222325)
	for i := range len(room) {
		x = (x ^ uint64(room[i])) * 0x100000001b3
	}
	return mix(x ^ mix(uint64(p)))
}

func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
