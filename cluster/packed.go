package cluster

import "github.com/occupancy/occupancy"

// packed is the occupancy of a room in one word: connections in the upper half, members
// in the lower.
type packed uint64

const maxRoomCount = 1<<31 - 1 // the largest count of a room

func pack(o occupancy.Occupancy) packed {
	return packed(o.Connections)<<32 | packed(o.PresenceMembers)
}

func (p packed) connections() uint64 { return uint64(p>>32) & maxRoomCount }
func (p packed) members() uint64     { return uint64(p) & maxRoomCount }

func (p packed) unpack() occupancy.Occupancy {
	return occupancy.Occupancy{Connections: int(p.connections()), PresenceMembers: int(p.members())}
}

// hashOf returns the room's part of the hash in a heartbeat, as cluster.proto defines it.
// An empty room has none.
func hashOf(room string, p packed) uint64 { return hashNamed(hashName(room), p) }

// hashChange returns by how much the hash changes when the room's counts do.
func hashChange(room string, before, now packed) uint64 {
	name := hashName(room)
	return hashNamed(name, now) - hashNamed(name, before)
}

func hashNamed(name uint64, p packed) uint64 {
	if p == 0 {
		return 0
	}
	return mix(name ^ mix(uint64(p)))
}

// hashName returns the FNV-1a hash of the name.
func hashName[T string | []byte](room T) uint64 {
	x := uint64(0xcbf29ce484222325)
	for i := range len(room) {
		x = (x ^ uint64(room[i])) * 0x100000001b3
	}
	return x
}

// mix is defined in cluster.proto.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
