package core

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/occupancy/occupancy"
)

// MaxTop is the maximum number of rooms in the answer of an aggregator.
const MaxTop = 256

// Top is a call of a Client for the rooms with the most connections.
type Top struct {
	n       int
	done    func()             // called when no answer is outstanding
	waiting map[*peer]shardSet // the aggregators that have not answered
	rooms   largest
}

// RoomCounts is the counts of all nodes in a room.
type RoomCounts struct {
	Room string
	occupancy.Occupancy
}

// AskTop starts a call for the n rooms with the most connections, at most MaxTop. The function
// done is called when no answer is outstanding, possibly before AskTop returns. Only a Client can
// call AskTop.
func (m *Machine) AskTop(n int, done func()) *Top {
	t := &Top{n: min(n, MaxTop), done: done, waiting: map[*peer]shardSet{}}
	for shard, p := range m.client.sources {
		if p != nil {
			t.waiting[p] |= 1 << shard
		}
	}
	m.queries.lastID++
	m.queries.tops[m.queries.lastID] = t
	for p := range m.client.inUse() {
		q := queryMessage{from: m.cfg.ID, id: m.queries.lastID, top: uint64(max(t.n, 1)), shards: t.waiting[p]}
		m.send(Message{Kind: Query, Shard: p.id.Shard(), Payload: q.encode()})
	}
	if len(t.waiting) == 0 {
		done()
	}
	return t
}

// ResultTop ends a call and returns the rooms in descending order. If the result may be wrong, it
// also returns the names of the nodes that are missing, and an error. The parameter ended is the
// reason for which the caller has stopped waiting, or nil if all aggregators have answered or the
// node is closed.
func (m *Machine) ResultTop(t *Top, ended error, now time.Duration) (rooms []RoomCounts, missing []string, err error) {
	for id, other := range m.queries.tops {
		if other == t {
			delete(m.queries.tops, id)
		}
	}
	missing, err = m.MissingNodes(now)
	for p := range t.waiting {
		missing = append(missing, p.name)
	}
	slices.Sort(missing)
	if len(t.waiting) > 0 {
		err = cmp.Or(ended, err)
	}
	t.rooms.cut()
	return t.rooms[:min(t.n, len(t.rooms))], missing, err
}

// add adds the answer of an aggregator to the result.
func (t *Top) add(p *peer, a *answer) {
	if _, waits := t.waiting[p]; !waits || len(a.rooms) != len(a.parts) {
		return
	}
	delete(t.waiting, p)
	for i, room := range a.rooms {
		counts := RoomCounts{string(room), a.parts[i].occupancy()}
		counts.Users = int(a.users.next())
		t.rooms.add(counts)
	}
	if len(t.waiting) == 0 {
		t.done()
	}
}

// ranking is the rooms with the most connections of some shards.
type ranking struct {
	shards shardSet
	at     time.Duration // when it was computed
	rooms  largest
}

// top returns the rooms of the shards with the most connections. The ranking is computed at most
// once in a heartbeat interval, because all clients can ask.
func (g *aggregator) top(of shardSet, now time.Duration) largest {
	if g.ranking.shards != of || now >= g.ranking.at+g.m.cfg.Heartbeat {
		var rooms largest
		for _, r := range g.rooms {
			g.m.cfg.Yield()
			if of.has(r.shard) {
				rooms.add(RoomCounts{r.name, r.countsWithout(nil).occupancy()})
			}
		}
		rooms.cut()
		for i := range rooms {
			users := g.rooms[rooms[i].Room].usersWithout(nil, 0).count
			rooms[i].Users = int(min(users, uint64(rooms[i].PresenceMembers)))
		}
		g.ranking = ranking{of, now, rooms}
	}
	return g.ranking.rooms
}

// answerTop answers a query for the rooms with the most connections: with as many as fit in a
// message.
func (g *aggregator) answerTop(q *queryMessage, a *answer, now time.Duration) {
	size := 0
	for i, r := range g.top(q.shards, now) {
		if size += len(r.Room) + 20; uint64(i) == q.top || size > g.m.cfg.FlushSize {
			break
		}
		a.rooms = append(a.rooms, []byte(r.Room))
		a.parts = append(a.parts, toRoomCounts(r.Occupancy))
		a.users = protowire.AppendVarint(a.users, uint64(r.Users))
	}
}

// Largest returns the n rooms with the most connections, at most MaxTop.
func Largest(n int, all iter.Seq2[string, occupancy.Occupancy]) []RoomCounts {
	var top largest
	for room, counts := range all {
		top.add(RoomCounts{room, counts})
	}
	top.cut()
	return top[:min(n, len(top))]
}

// largest collects the rooms with the most connections. After cut, these are at most MaxTop rooms
// in descending order.
type largest []RoomCounts

func (l *largest) add(room RoomCounts) {
	if room.Connections == 0 {
		return
	}
	if *l = append(*l, room); len(*l) == 4*MaxTop {
		l.cut()
	}
}

func (l *largest) cut() {
	slices.SortFunc(*l, func(a, b RoomCounts) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Room, b.Room))
	})
	*l = (*l)[:min(len(*l), MaxTop)]
}
