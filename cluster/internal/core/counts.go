package core

import "github.com/occupancy/occupancy"

// roomCounts is the occupancy of a room in one word. The upper half is the number of
// connections, and the lower half is the number of members.
type roomCounts uint64

// largestCount is the largest number of connections, or of members, in one room.
const largestCount = 1<<31 - 1

// interestOnly is a room without counts in which a node is interested. In an Occupancy, the
// number of its connections is -1. In a Digest, it is 1 << 31.
const interestOnly roomCounts = 1 << 63

func toRoomCounts(o occupancy.Occupancy) roomCounts {
	if o.Connections < 0 {
		return interestOnly
	}
	return roomCounts(o.Connections)<<32 | roomCounts(o.PresenceMembers)
}

func (p roomCounts) connections() uint64 { return uint64(p>>32) & largestCount }
func (p roomCounts) members() uint64     { return uint64(p) & largestCount }

func (p roomCounts) occupancy() occupancy.Occupancy {
	if p == interestOnly {
		return occupancy.Occupancy{Connections: -1}
	}
	return occupancy.Occupancy{Connections: int(p.connections()), PresenceMembers: int(p.members())}
}

// hashRoom returns the hash of a room with its counts and published users, as cluster.proto
// defines it. The hash of an empty room is 0.
func hashRoom(room string, counts roomCounts, users []uint64) uint64 {
	return hashCounts(hashName(room), counts, users)
}

// hashCounts returns the same hash as hashRoom, for the room whose name has the hash
// nameHash.
func hashCounts(nameHash uint64, counts roomCounts, users []uint64) uint64 {
	if counts == 0 {
		return 0
	}
	x := mix(nameHash ^ mix(uint64(counts)))
	for _, h := range users {
		x += mix(nameHash ^ h)
	}
	return x
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
