package core

import (
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/occupancy/occupancy"
)

// roomSum is the counts of one room.
type roomSum struct {
	name                 string
	shard                int
	changed              bool // the room is in aggregator.changed
	connections, members uint64
	parts                []*clientPart
	users                map[uint64]int // the number of clients with a user, by hash; nil if there are no users
	partial              int            // the number of clients that have not published all hashes of their users
	sorted               []uint64       // the hashes of the users, or nil if they are not sorted yet
}

// clientPart is the counts of a client in a room.
type clientPart struct {
	occupancy.Part
	room  *roomSum
	table *clientTable
	index int // in roomSum.parts
}

// countsWithout returns the sum of all parts but one, which can be nil.
func (r *roomSum) countsWithout(part *clientPart) roomCounts {
	connections, members := r.connections, r.members
	if part != nil {
		connections -= uint64(max(part.Occupancy.Connections, 0))
		members -= uint64(part.Occupancy.PresenceMembers)
	}
	return roomCounts(min(connections, largestCount)<<32 | min(members, largestCount))
}

// usersWithout returns the users of all parts but one, which can be nil: at most limit hashes, and
// the number of users. If a client has more users than it publishes, the number is estimated: the
// hashes are distributed evenly, and below a certain hash all of them are known (knownWithout).
func (r *roomSum) usersWithout(part *clientPart, limit int) (u userList) {
	if r.users == nil {
		return u
	}
	if r.sorted == nil {
		r.sorted = slices.Sorted(maps.Keys(r.users))
	}
	var own []uint64
	n := len(r.users)
	if part != nil {
		own = part.Users
		for _, hash := range own {
			n -= toInt(r.users[hash] == 1)
		}
	}
	known, partial := r.knownWithout(part)
	counted, last := 0, uint64(0)
	u.hashes = make([]uint64, 0, min(len(r.sorted), limit))
	for _, hash := range r.sorted {
		for len(own) > 0 && own[0] < hash {
			own = own[1:]
		}
		if len(own) > 0 && own[0] == hash && r.users[hash] == 1 {
			continue
		}
		if len(u.hashes) == limit && !partial || counted == MaxUsers || hash > known {
			break
		}
		counted, last = counted+1, hash
		if len(u.hashes) < limit {
			u.hashes = append(u.hashes, hash)
		}
	}
	if partial && counted > 1 {
		n = max(n, int(float64(counted-1)/(float64(last)/(1<<64))))
	}
	u.count = uint64(n)
	return u
}

// knownWithout returns the hash up to which all parts but one contain the hashes of all users, and
// whether hashes are missing above it.
func (r *roomSum) knownWithout(part *clientPart) (known uint64, partial bool) {
	known = math.MaxUint64
	if r.partial == 0 {
		return known, false
	}
	for _, other := range r.parts {
		if other != part && other.partial() {
			known, partial = min(known, other.Users[len(other.Users)-1]), true
		}
	}
	return known, partial
}

// partial reports whether the client has not published all hashes of its users.
func (part *clientPart) partial() bool {
	return len(part.Users) > 0 && part.Occupancy.Users > len(part.Users)
}

// clientTable is the counts of one client. It is a Table.
type clientTable struct {
	g    *aggregator
	peer *peer
	all  map[string]*clientPart
}

// parts returns the counts of a client, by room: one for each room in which it is interested.
func (p *peer) parts() map[string]*clientPart {
	if t, ok := p.table.accepted.(*clientTable); ok { // and not the kept counts of a Missing client
		return t.all
	}
	return nil
}

func (t *clientTable) Get(room string) occupancy.Part {
	if part := t.all[room]; part != nil {
		return part.Part
	}
	return occupancy.Part{}
}

func (t *clientTable) Set(parts ...occupancy.Part) error {
	for _, part := range parts {
		t.set(part)
	}
	return nil
}

func (t *clientTable) set(now occupancy.Part) {
	part := t.all[now.Room]
	switch {
	case part != nil:
		part.room.add(part, -1)
	case now.Occupancy == (occupancy.Occupancy{}):
		return
	default:
		part = &clientPart{room: t.g.room(now.Room), table: t}
		part.index = len(part.room.parts)
		part.room.parts = append(part.room.parts, part)
		t.all[part.room.name] = part
	}
	r := part.room
	if !r.changed {
		r.changed = true
		t.g.changed = append(t.g.changed, r)
	}
	if now.Occupancy == (occupancy.Occupancy{}) {
		last := len(r.parts) - 1
		r.parts[part.index], r.parts[last].index = r.parts[last], part.index
		r.parts[last] = nil
		r.parts = r.parts[:last]
		delete(t.all, r.name)
		t.g.removed = append(t.g.removed, part)
		return
	}
	now.Room = r.name
	part.Part = now
	r.add(part, 1)
}

// room returns a room, and adds it if necessary.
func (g *aggregator) room(name string) *roomSum {
	r := g.rooms[name]
	if r == nil {
		r = &roomSum{name: name, shard: shardOf(name)}
		g.rooms[name] = r
	}
	return r
}

// add adds the part to the sums, or removes it if sign is -1.
func (r *roomSum) add(part *clientPart, sign int) {
	r.connections += uint64(sign * max(part.Occupancy.Connections, 0))
	r.members += uint64(sign * part.Occupancy.PresenceMembers)
	r.partial += sign * toInt(part.partial())
	for _, hash := range part.Users {
		if r.users == nil {
			r.users = map[uint64]int{}
		}
		n := r.users[hash] + sign
		if r.users[hash] = n; n == 0 {
			delete(r.users, hash)
		}
		if n == 0 || n == 1 && sign > 0 {
			r.sorted = nil
		}
	}
	if len(r.users) == 0 {
		r.users, r.sorted = nil, nil
	}
}

func (t *clientTable) All() iter.Seq[occupancy.Part] {
	return func(yield func(occupancy.Part) bool) {
		for _, part := range t.all {
			if !yield(part.Part) {
				return
			}
		}
	}
}

// Close removes the counts of the client.
func (t *clientTable) Close() error {
	for name := range t.all {
		t.g.m.cfg.Yield()
		t.set(occupancy.Part{Room: name})
	}
	return nil
}
