package core

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/occupancy/occupancy"
)

const (
	maxQueryRooms = 256 // the maximum number of rooms in a query
	maxQueries    = 4   // the maximum number of queries that wait for answers
)

// The reasons for an incomplete result of Get.
var (
	errSuspect       = errors.New("no heartbeat has arrived within the lease")
	errOverMaxCount  = errors.New("the answer exceeds the limit of WithMaxCount")
	errUnknownPeers  = errors.New("this node may not know all peers yet")
	errDegraded      = errors.New("the counts of an aggregator may be incomplete")
	errNoAggregator  = errors.New("no aggregator has the counts of all nodes")
	errExpectedNodes = errors.New("fewer nodes are known than WithExpectedNodes requires")
)

// queries are the calls of Get that wait for the peers' answers. Calls for one room that
// wait at the same time share one query. A call does not share a query that was sent
// before, because the answers may be older than the call.
type queries struct {
	size    int     // the maximum size of the rooms in a query, in bytes
	waiting []*Call // calls that are not part of a query yet
	active  map[uint64]*query
	tops    map[uint64]*Top
	lastID  uint64
}

// Call is a call of Get.
type Call struct {
	room      string
	done      func() // called when no answer is outstanding
	query     *query // nil until the room is part of a query
	roomIndex int    // the index of the room in the query
}

// query is a query to all peers, for the rooms of one or more calls.
type query struct {
	id          uint64
	rooms       [][]byte
	calls       []*Call
	pending     int // the number of calls without a result
	peers       []*peer
	answers     [][]roomCounts // by peer; nil for a peer that has not answered
	users       []uint64       // by room, from an aggregator; nil if it has not answered
	waiting     []bool         // by peer: whether the calls wait for its answer; initially true for Live peers that can answer
	outstanding int            // the number of peers whose answers the calls wait for
	err         error          // the error of publishing the query
}

// next returns a query for the next waiting calls, or nil. The peers that can answer a call
// depend on its room; the calls of a query have the same peers.
func (s *queries) next(queried func(room string) []*peer) *query {
	if len(s.waiting) == 0 || len(s.active) >= maxQueries {
		return nil
	}
	s.lastID++
	q := newQuery(s.lastID, queried(s.waiting[0].room))
	index, size := map[string]int{}, 0
	s.waiting = slices.DeleteFunc(s.waiting, func(call *Call) bool {
		if !slices.Equal(queried(call.room), q.peers) {
			return false
		}
		i, ok := index[call.room]
		if !ok {
			i = len(q.rooms)
			if i == maxQueryRooms || i > 0 && size+len(call.room) > s.size {
				return false
			}
			index[call.room] = i
			size += len(call.room) + 3 // the tag and the length
			q.rooms = append(q.rooms, []byte(call.room))
		}
		q.add(call, i)
		return true
	})
	if q.outstanding > 0 {
		s.active[q.id] = q
	}
	return q
}

// add adds a call for the room with this index.
func (q *query) add(call *Call, roomIndex int) {
	call.query, call.roomIndex = q, roomIndex
	q.calls = append(q.calls, call)
	q.pending++
	if q.outstanding == 0 {
		call.done()
	}
}

// newQuery returns a query to the peers, without calls.
func newQuery(id uint64, peers []*peer) *query {
	q := &query{
		id:      id,
		peers:   slices.Clone(peers),
		answers: make([][]roomCounts, len(peers)),
		waiting: make([]bool, len(peers)),
	}
	for i, p := range q.peers {
		q.waiting[i] = p.state == Live && !p.unsupported && !p.dropped
		q.outstanding += toInt(q.waiting[i])
	}
	return q
}

// message returns the message that contains the query.
func (q *query) message(from Incarnation, shard uint32) Message {
	m := queryMessage{from: from, id: q.id, rooms: q.rooms}
	return Message{Kind: Query, Shard: shard, Payload: m.encode(), query: q}
}

// answer stores a peer's answer.
func (s *queries) answer(a *answer) {
	q := s.active[a.id]
	if q == nil || len(a.parts) != len(q.rooms) {
		return
	}
	if i := slices.IndexFunc(q.peers, func(p *peer) bool { return p.id == a.from }); i >= 0 {
		for q.peers[i].feed != nil && len(q.users) < len(q.rooms) {
			q.users = append(q.users, a.users.next())
		}
		s.resolve(q, i, a.parts)
	}
}

// remove stops waiting for a peer that was dropped.
func (s *queries) remove(p *peer) {
	for _, q := range s.active {
		if i := slices.Index(q.peers, p); i >= 0 {
			s.resolve(q, i, nil)
		}
	}
}

// resolve stores the answer of the peer with index i, and stops waiting for it. A nil
// answer means that the peer will not answer.
func (s *queries) resolve(q *query, i int, answer []roomCounts) {
	if answer != nil {
		q.answers[i] = answer
	}
	if !q.waiting[i] {
		return
	}
	q.waiting[i] = false
	if q.outstanding--; q.outstanding == 0 {
		delete(s.active, q.id)
		for _, call := range q.calls {
			call.done()
		}
	}
}

// fail stops waiting for all peers, because publishing the query has failed.
func (s *queries) fail(q *query, err error) {
	q.err = err
	for i := range q.peers {
		s.resolve(q, i, nil)
	}
}

// finish ends the call and returns the sum of the peers' counts, the names of the peers
// that did not answer, and the reason if there are such peers. The parameter ended is the
// reason for which the caller has stopped waiting, or nil.
func (s *queries) finish(call *Call, peers []*peer, ended error) (sum occupancy.Occupancy, missing []string, err error) {
	q := call.query
	if q == nil {
		s.waiting = slices.DeleteFunc(s.waiting, func(other *Call) bool { return other == call })
		call.done = func() {}
		q = newQuery(0, peers)
		q.add(call, 0)
	}
	if q.pending--; q.pending == 0 {
		delete(s.active, q.id)
	}
	var connections, members uint64
	var invalid error
	for i, p := range q.peers {
		var part roomCounts
		answered := q.answers[i] != nil
		if answered && !p.table.valid(q.answers[i][call.roomIndex]) {
			answered, invalid = false, errOverMaxCount
		}
		switch {
		case answered:
			part = q.answers[i][call.roomIndex]
		case !p.dropped || p.feed != nil:
			// The counts of a lost aggregator are those of other nodes, which are not lost.
			if p.state != Missing || p.feed != nil {
				part = p.table.last(call.room)
			}
			missing = append(missing, p.name)
		}
		connections += part.connections()
		members += part.members()
	}
	sum = occupancy.Occupancy{
		Connections:     int(min(connections, largestCount)),
		PresenceMembers: int(min(members, largestCount)),
	}
	if q.users != nil {
		sum.Users = int(min(q.users[call.roomIndex], members))
	}
	if missing != nil {
		slices.Sort(missing)
		err = cmp.Or(q.err, ended, invalid, errSuspect)
	}
	return sum, missing, err
}

// Ask starts a call of Get for a room. The function done is called when no answer is
// outstanding, possibly before Ask returns.
func (m *Machine) Ask(room string, done func()) *Call {
	call := &Call{room: room, done: done}
	m.queries.waiting = append(m.queries.waiting, call)
	return call
}

// Result ends a call and returns the sum of the peers' counts. If the sum may be wrong,
// it also returns the names of the peers that did not answer, and an error. The parameter
// ended is the reason for which the caller has stopped waiting, or nil.
func (m *Machine) Result(call *Call, ended error, now time.Duration) (occupancy.Occupancy, []string, error) {
	sum, missing, err := m.queries.finish(call, m.queried(call.room), ended)
	if err == nil {
		missing, err = m.MissingNodes(now)
	}
	return sum, missing, err
}

// MissingNodes returns the names of the nodes whose counts are not part of the totals, and an error if
// there are any or if there may be others.
func (m *Machine) MissingNodes(now time.Duration) (names []string, err error) {
	for _, p := range m.members.peers {
		if m.client == nil && p.state == Missing {
			names = append(names, p.name)
		}
	}
	degraded := false
	for p := range m.client.inUse() {
		names = append(names, p.missing...)
		degraded = degraded || p.flags&flagDegraded != 0
	}
	slices.Sort(names)
	names = slices.Compact(names)
	switch {
	case len(names) > 0:
		err = errSuspect
	case !m.client.complete():
		err = errNoAggregator
	case degraded:
		err = errDegraded
	case !m.connected || now < m.freshAt:
		err = errUnknownPeers
	case m.fewNodes():
		err = errExpectedNodes
	}
	return names, err
}

// queried returns the peers whose answers together are the counts of a room.
func (m *Machine) queried(room string) []*peer {
	if m.client != nil {
		return m.client.queried(room)
	}
	return m.members.peers
}
