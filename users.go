package occupancy

import (
	"hash/maphash"
	"maps"
	"math/bits"
	"strings"
	"sync"
)

// userTable counts the presence members of each client in each room. The number of users of a
// room is the number of its clients in the table. A step of the room's word that enters or
// exits clients is taken while their shards are locked, so that the word and the table always
// agree: a client is counted as a user exactly while it has a member.
type userTable struct {
	seed   maphash.Seed
	shards [userShards]userShard
}

const userShards = 64 // a set of shards is a mask of 64 bits

type userShard struct {
	mu      sync.Mutex
	members map[roomClient]uint32 // the number of members of each client, at least 1
	most    int                   // see shrink
	index   *userIndex            // contains the clients of this shard; nil if there is no index
	_       [32]byte              // keeps two shards out of one cache line
}

// roomClient identifies a client in a room.
type roomClient struct {
	room *cell
	id   string
}

func newUserTable() *userTable {
	t := &userTable{seed: maphash.MakeSeed()}
	for i := range t.shards {
		t.shards[i].members = map[roomClient]uint32{}
	}
	return t
}

func (t *userTable) shardOf(id string) int { return int(maphash.String(t.seed, id) % userShards) }

// lockedUsers are the shards that a step has locked.
type lockedUsers struct {
	table, indexed uint64 // sets of shards
	index          *userIndex
}

// lock locks the shards of the clients, always in the same order.
func (t *userTable) lock(ids []string) (l lockedUsers) {
	for _, id := range ids {
		l.table |= 1 << t.shardOf(id)
	}
	for rest := l.table; rest != 0; rest &= rest - 1 {
		s := &t.shards[bits.TrailingZeros64(rest)]
		s.mu.Lock()
		if s.index != nil {
			l.index = s.index
		}
	}
	if l.index != nil {
		l.indexed = l.index.lock(ids)
	}
	return l
}

func (t *userTable) unlock(l lockedUsers) {
	if l.index != nil {
		l.index.unlock(l.indexed)
	}
	for set := l.table; set != 0; set &= set - 1 {
		t.shards[bits.TrailingZeros64(set)].mu.Unlock()
	}
}

// setIndex adds the clients of all rooms to an index, and keeps the index up to date from then on.
// A nil index stops the updates of the previous one. setIndex locks one shard at a time.
func (t *userTable) setIndex(x *userIndex) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		if x != nil {
			for k := range s.members {
				set := x.lock([]string{k.id})
				x.enter(k.room, k.id)
				x.unlock(set)
			}
		}
		s.index = x
		s.mu.Unlock()
	}
}

// The following require that the shards of the clients are locked. The IDs are distinct.

// entering returns what is added to the counts of c when the clients enter.
func (t *userTable) entering(c *cell, ids []string) (n counts) {
	for _, id := range ids {
		n.members++
		s := &t.shards[t.shardOf(id)]
		if s.members[roomClient{c, id}] == 0 && !s.index.isElsewhere(c, id, 0) {
			n.users++
		}
	}
	return n
}

// exiting returns what is subtracted from the counts of c when the clients exit. The table
// ignores clients that are not members.
func (t *userTable) exiting(c *cell, ids []string) (n counts) {
	for _, id := range ids {
		s := &t.shards[t.shardOf(id)]
		switch s.members[roomClient{c, id}] {
		case 0:
		case 1:
			n.members++
			if !s.index.isElsewhere(c, id, 1) {
				n.users++
			}
		default:
			n.members++
		}
	}
	return n
}

// enter adds a member for each client. The table keeps the IDs.
func (t *userTable) enter(c *cell, ids []string) {
	for _, id := range ids {
		s := &t.shards[t.shardOf(id)]
		n := s.members[roomClient{c, id}]
		if n == 0 {
			s.index.enter(c, id)
		}
		s.members[roomClient{c, id}] = n + 1
		s.most = max(s.most, len(s.members))
	}
}

// exit removes a member of each client that has one.
func (t *userTable) exit(c *cell, ids []string) {
	for _, id := range ids {
		s := &t.shards[t.shardOf(id)]
		switch n := s.members[roomClient{c, id}]; n {
		case 0:
		case 1:
			s.index.exit(c, id)
			delete(s.members, roomClient{c, id})
			shrink(&s.members, &s.most, 16)
		default:
			// Clone the ID: an assignment to a map stores the new key, too, and the ID may be a
			// slice of a large message.
			s.members[roomClient{c, strings.Clone(id)}] = n - 1
		}
	}
}

// shrink replaces the map *m by a copy if most of its entries were deleted, because a map never
// releases memory. *most is the largest length since the map was made. A map that never had
// more than 8*small entries is not replaced. The copy is not made by maps.Clone, which may keep
// as much memory as the map has.
func shrink[K comparable, V any](m *map[K]V, most *int, small int) {
	if *most = max(*most, len(*m)); *most > 8*max(len(*m), small) {
		clone := make(map[K]V, len(*m))
		maps.Copy(clone, *m)
		*m, *most = clone, len(clone)
	}
}

// clear removes all clients. finish calls it when the words of all rooms are retired.
func (t *userTable) clear() {
	if t == nil {
		return
	}
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.members = map[roomClient]uint32{}
		s.mu.Unlock()
	}
}
