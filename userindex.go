package occupancy

import (
	"math/bits"
	"slices"
	"sync"
)

// userIndex has the users of this process and of the other nodes by the hashes of their client IDs,
// so that a user on several nodes counts once. Only a linked engine WithUsers has an index: see
// WithUserHash.
//
// Each user of a room is counted in one of two places: in the word of the room, or in
// extra.parts. It is the place in which the user was counted first, and the user remains
// there until neither this process nor another node has the user. So a hook that enters or
// exits a user who is also on another node does not change the number of users, and every
// other hook changes the word only: a reader of the word and of extra.remote does not count a
// user twice, unless between its two reads the user exits everywhere and then another node reports
// the user again. extra.elsewhere is the difference between the users of this process and the users
// that the word counts.
//
// There is one exception: if the user is counted in extra.parts, and only this process
// still has the user, Remote.Set moves the user to the word. It holds publisher.mu, so no
// event contains the counts between the two steps.
type userIndex struct {
	hash    func(clientID string) uint64
	remotes map[*Remote]struct{} // of the link; publisher.mu protects it
	shards  [userShards]indexShard
	changes userChanges
}

type indexShard struct {
	mu    sync.Mutex // taken after the locks of userTable
	users map[roomUser]userRef
	most  int // see shrink
	_     [40]byte
}

// roomUser identifies a user in a room, by the hash of the client ID.
type roomUser struct {
	room *cell
	hash uint64
}

// userRef says which nodes have a user.
type userRef struct {
	nodes   uint32 // the number of other nodes that report the user
	clients uint16 // the clients of this process: 1, or more if several IDs have the same hash
	inParts bool   // the user is counted in extra.parts, and not in the word
}

func newUserIndex(hash func(string) uint64, remotes map[*Remote]struct{}) *userIndex {
	x := &userIndex{hash: hash, remotes: remotes, changes: userChanges{rooms: map[string]*roomChanges{}}}
	for i := range x.shards {
		x.shards[i].users = map[roomUser]userRef{}
	}
	return x
}

func (x *userIndex) shard(hash uint64) *indexShard { return &x.shards[hash%userShards] }

// lock locks the shards of the clients, always in the same order, and returns the set of these
// shards.
func (x *userIndex) lock(ids []string) (set uint64) {
	for _, id := range ids {
		set |= 1 << (x.hash(id) % userShards)
	}
	for rest := set; rest != 0; rest &= rest - 1 {
		x.shards[bits.TrailingZeros64(rest)].mu.Lock()
	}
	return set
}

func (x *userIndex) unlock(set uint64) {
	for ; set != 0; set &= set - 1 {
		x.shards[bits.TrailingZeros64(set)].mu.Unlock()
	}
}

// The following require that the shard of the client is locked. A nil index knows no other nodes.

// isElsewhere reports whether another node has the user, and this process has at most the given
// number of clients with its hash.
func (x *userIndex) isElsewhere(c *cell, id string, clients uint16) bool {
	if x == nil {
		return false
	}
	h := x.hash(id)
	ref := x.shard(h).users[roomUser{c, h}]
	return ref.nodes > 0 && ref.clients <= clients
}

// enter adds a client of this process that was not in the room.
func (x *userIndex) enter(c *cell, id string) {
	if x == nil {
		return
	}
	h := x.hash(id)
	s, u := x.shard(h), roomUser{c, h}
	ref := s.users[u]
	if ref.clients++; ref.clients == 1 {
		if ref.nodes > 0 {
			c.extra.Load().elsewhere.Add(1)
		}
		x.changes.toggle(c.name, h, true)
	}
	s.put(u, ref)
}

// exit removes a client that has left the room.
func (x *userIndex) exit(c *cell, id string) {
	if x == nil {
		return
	}
	h := x.hash(id)
	s, u := x.shard(h), roomUser{c, h}
	ref := s.users[u]
	if ref.clients--; ref.clients == 0 {
		if ref.nodes > 0 {
			c.extra.Load().elsewhere.Add(-1)
		}
		x.changes.toggle(c.name, h, false)
	}
	s.put(u, ref)
}

func (s *indexShard) put(u roomUser, ref userRef) {
	if ref.clients > 0 || ref.nodes > 0 {
		s.users[u] = ref
		s.most = max(s.most, len(s.users))
		return
	}
	delete(s.users, u)
	shrink(&s.users, &s.most, 16)
}

// replace replaces the users that a node reports in c. Both lists are sorted. It returns the
// change of the number of users in extra.parts, and the users in extra.parts that no other node
// reports any more. The caller changes extra.parts, and then calls finishReplace with these users. replace
// appends the users that the node newly reports, and that this process also has, to common. The
// caller holds publisher.mu.
func (x *userIndex) replace(c *cell, old, now []uint64, common []roomUser) (parts int, left []uint64, _ []roomUser) {
	diffUsers(old, now, func(h uint64, added bool) {
		s, u := x.shard(h), roomUser{c, h}
		s.mu.Lock()
		defer s.mu.Unlock()
		ref := s.users[u]
		switch {
		case added:
			if ref.nodes == 0 && ref.clients == 0 {
				ref.inParts = true
				parts++
			}
			if ref.nodes++; ref.clients > 0 {
				common = append(common, u)
			}
		case ref.nodes == 1 && ref.inParts:
			parts--
			left = append(left, h)
			return
		default:
			if ref.nodes--; ref.nodes == 0 && ref.clients == 0 {
				c.addUsers(-1)
				c.extra.Load().elsewhere.Add(1)
			}
		}
		s.put(u, ref)
	})
	return parts, left, common
}

// finishReplace removes the users that replace has returned, after the caller has removed them from
// extra.parts. Until then, a hook that enters one of them does not count the user again. If this
// process has the user now, the user is counted in the word: in one step with the index, so that
// a hook that exits the user subtracts what was added.
func (x *userIndex) finishReplace(c *cell, left []uint64) {
	for _, h := range left {
		s, u := x.shard(h), roomUser{c, h}
		s.mu.Lock()
		ref := s.users[u]
		if ref.nodes, ref.inParts = 0, false; ref.clients > 0 {
			c.addUsers(1)
			c.extra.Load().elsewhere.Add(-1)
		}
		s.put(u, ref)
		s.mu.Unlock()
	}
}

// diffUsers calls f for each hash that is in one of two sorted lists only.
func diffUsers(old, now []uint64, f func(hash uint64, added bool)) {
	if len(old) == len(now) && (len(old) == 0 || &old[0] == &now[0]) {
		return
	}
	for len(old) > 0 || len(now) > 0 {
		switch {
		case len(old) == 0 || len(now) > 0 && now[0] < old[0]:
			f(now[0], true)
			now = now[1:]
		case len(now) == 0 || old[0] < now[0]:
			f(old[0], false)
			old = old[1:]
		default:
			old, now = old[1:], now[1:]
		}
	}
}

// unindexed returns the counts of a part of another node without the users that the index counts.
func (x *userIndex) unindexed(part counts, users []uint64) counts {
	if x != nil && len(users) > 0 {
		part.users = 0
	}
	return part
}

// sampled returns 1 if a part contains only some of the hashes of its users, and otherwise 0.
func (x *userIndex) sampled(part counts, users []uint64) uint16 {
	if x != nil && len(users) > 0 && int(part.users) > len(users) {
		return 1
	}
	return 0
}

// clear removes all users. finish calls it when the words of all rooms are retired.
func (x *userIndex) clear() {
	if x == nil {
		return
	}
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		s.users = map[roomUser]userRef{}
		s.mu.Unlock()
	}
	x.changes.stop()
}

// maxEstimate limits the work of estimate, which is called with publisher.mu locked. It is the
// expected number of hashes that estimate reads.
const maxEstimate = 8192

// estimate returns how many users of c only other nodes have, if some of these nodes report only the
// smallest hashes of their users. It counts the users whose hashes are below a limit, because all
// nodes report these. Hashes are evenly distributed, so it divides this number by the share of the
// hashes that are below the limit. The number of users of a single node is known, so only the share of the
// users who are also clients of this process is estimated.
func (x *userIndex) estimate(c *cell) uint32 {
	limit, below, nodes, total := ^uint64(0), 0, 0, 0.0
	for r := range x.remotes {
		if users := r.users[c]; len(users) > 0 && int(r.part(c).users) > len(users) {
			limit = min(limit, users[len(users)-1])
		}
		if n := r.part(c).users; n > 0 {
			nodes++
			total = float64(n)
		}
	}
	find := func(users []uint64) int { n, _ := slices.BinarySearch(users, limit); return n }
	for r := range x.remotes {
		below += find(r.users[c])
	}
	if below > maxEstimate {
		limit = uint64(float64(limit) * maxEstimate / float64(below))
	}
	users, read := 0.0, 0
	for r := range x.remotes {
		list := r.users[c]
		list = list[:find(list)]
		read += len(list)
		for _, h := range list {
			s := x.shard(h)
			s.mu.Lock()
			ref := s.users[roomUser{c, h}]
			s.mu.Unlock()
			if ref.clients == 0 {
				users += 1 / float64(max(1, ref.nodes))
			}
		}
	}
	if nodes == 1 && read > 0 {
		return uint32(total*users/float64(read) + 0.5)
	}
	return uint32(min(users*(1<<64)/max(1, float64(limit)), maxCount))
}

// userChanges are the users who have entered and exited this process's part of each room since
// the last call of Link.UserChanges for the room.
type userChanges struct {
	mu    sync.Mutex              // taken last; protects the following
	rooms map[string]*roomChanges // nil if nobody reads it
}

type roomChanges struct {
	entered  map[uint64]bool // by hash; false if the user has exited
	notified bool            // the watchers of the link have been notified
}

// toggle records that a user has entered or exited this process's part of a room.
func (x *userChanges) toggle(room string, hash uint64, entered bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.rooms == nil {
		return
	}
	c := x.rooms[room]
	if c == nil {
		c = &roomChanges{entered: map[uint64]bool{}}
		x.rooms[room] = c
	}
	c.notified = false
	if _, undone := c.entered[hash]; !undone {
		c.entered[hash] = entered
		return
	}
	if delete(c.entered, hash); len(c.entered) == 0 {
		delete(x.rooms, room)
	}
}

// mustNotify reports whether users of the room have changed since the last call that
// returned true.
func (x *userChanges) mustNotify(room string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := x.rooms[room]
	if c == nil || c.notified {
		return false
	}
	c.notified = true
	return true
}

// take is Link.UserChanges.
func (x *userChanges) take(room string) (entered, exited []uint64) {
	x.mu.Lock()
	c := x.rooms[room]
	delete(x.rooms, room)
	x.mu.Unlock()
	if c == nil {
		return nil, nil
	}
	for hash, in := range c.entered {
		if in {
			entered = append(entered, hash)
		} else {
			exited = append(exited, hash)
		}
	}
	slices.Sort(entered)
	slices.Sort(exited)
	return entered, exited
}

// stop drops the changes and stops recording them, because nothing reads them any more.
func (x *userChanges) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rooms = nil
}
