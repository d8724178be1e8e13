package core

import (
	"encoding/binary"
	"slices"

	"github.com/occupancy/occupancy"
)

// MaxUsers is the maximum number of users of a room that a node publishes: the users with
// the smallest hashes.
const MaxUsers = 4096

// Change is a change of this process's counts and users in a room. Entered and Exited are the
// hashes of the users who have entered and exited since the last Change of the room, in
// ascending order.
type Change struct {
	occupancy.RoomEvent
	Entered, Exited []uint64

	// Interested reports that this process has subscribers of the room. If the room has no
	// counts, a node with aggregators still receives the counts of the other nodes.
	Interested bool
}

// userUpdate contains the users of a room in a digest, or their changes. It refers to the
// payload, in which each hash has eight bytes.
type userUpdate struct {
	whole          bool   // added contains all published users
	count          uint64 // the number of users, if not all of them are published; otherwise 0
	added, removed []byte
}

// apply returns the users after the update, at most limit. The list old is not changed.
func (u userUpdate) apply(old []uint64, limit int) []uint64 {
	if !u.whole && len(u.added) == 0 && len(u.removed) == 0 {
		return old
	}
	if u.whole {
		old = nil
	}
	now := mergeUsers(old, decodeHashes(u.added), decodeHashes(u.removed))
	return now[:min(len(now), limit)]
}

func decodeHashes(b []byte) (all []uint64) {
	for ; len(b) >= 8; b = b[8:] {
		all = append(all, binary.LittleEndian.Uint64(b))
	}
	slices.Sort(all) // a correct sender has sorted them
	return all
}

func appendHashes(b []byte, all []uint64) []byte {
	for _, h := range all {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return b
}

// mergeUsers returns a new list: the users in old or added, but not in removed. All lists are
// sorted.
func mergeUsers(old, added, removed []uint64) []uint64 {
	now := make([]uint64, 0, len(old)+len(added))
	for len(old) > 0 || len(added) > 0 {
		var h uint64
		if len(added) == 0 || len(old) > 0 && old[0] <= added[0] {
			h, old = old[0], old[1:]
		} else {
			h, added = added[0], added[1:]
		}
		for len(removed) > 0 && removed[0] < h {
			removed = removed[1:]
		}
		if (len(removed) == 0 || removed[0] != h) && (len(now) == 0 || now[len(now)-1] != h) {
			now = append(now, h)
		}
	}
	return now
}

// diffUsers returns the users in only one of two sorted lists.
func diffUsers(old, now []uint64) (added, removed []uint64) {
	for len(old) > 0 || len(now) > 0 {
		switch {
		case len(old) == 0 || len(now) > 0 && now[0] < old[0]:
			added, now = append(added, now[0]), now[1:]
		case len(now) == 0 || old[0] < now[0]:
			removed, old = append(removed, old[0]), old[1:]
		default:
			old, now = old[1:], now[1:]
		}
	}
	return added, removed
}

// userList is the users of a room.
type userList struct {
	hashes []uint64 // sorted
	count  uint64   // the number of users, if hashes contains the smallest hashes only; otherwise 0
}

// publish returns what a node with these counts and users publishes: at most limit hashes. A
// room without members has no users, even if a user entered after the counts were read.
func publish(counts roomCounts, users userList, limit int) userList {
	n := min(max(uint64(len(users.hashes)), users.count), counts.members())
	p := userList{hashes: users.hashes[:min(len(users.hashes), limit)]}
	switch {
	case n == 0:
		return userList{}
	case n > uint64(len(p.hashes)):
		p.count = n
	}
	return p
}
