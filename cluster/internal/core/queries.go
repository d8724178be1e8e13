package core

import (
	"cmp"
	"errors"
	"slices"

	"github.com/occupancy/occupancy"
)

// maxQueryRooms is the maximum number of rooms in a query.
const maxQueryRooms = 16

// The reasons for an incomplete result of Get.
var (
	errSuspect      = errors.New("no heartbeat has arrived within the lease")
	errOverMaxCount = errors.New("the answer exceeds the limit of WithMaxCount")
	errUnknownPeers = errors.New("this node may not know all peers yet")

	errExpectedNodes = errors.New("fewer nodes are known than WithExpectedNodes requires")
)

// queries are the calls of Get that wait for the peers' answers.
type queries struct {
	waiting []*Call // calls that are not part of a query yet
	active  map[uint64]*query
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
	calls       []*Call
	pending     int // the number of calls without a result
	peers       []*peer
	answers     [][]roomCounts // by peer; nil for a peer that has not answered
	waiting     []bool         // by peer: whether the calls wait for its answer; initially true for Live peers that can answer
	outstanding int            // the number of peers whose answers the calls wait for
	err         error          // the error of publishing the query
}

// next returns a query for the next waiting calls, or nil.
func (s *queries) next(peers []*peer) *query {
	n := min(len(s.waiting), maxQueryRooms)
	if n == 0 {
		return nil
	}
	s.lastID++
	q := newQuery(s.lastID, slices.Clone(s.waiting[:n]), peers)
	s.waiting = slices.Delete(s.waiting, 0, n)
	if q.outstanding > 0 {
		s.active[q.id] = q
	}
	return q
}

// newQuery returns a query to the peers.
func newQuery(id uint64, calls []*Call, peers []*peer) *query {
	q := &query{
		id:      id,
		calls:   calls,
		pending: len(calls),
		peers:   slices.Clone(peers),
		answers: make([][]roomCounts, len(peers)),
		waiting: make([]bool, len(peers)),
	}
	for i, p := range q.peers {
		q.waiting[i] = p.state == Live && !p.unsupported
		q.outstanding += toInt(q.waiting[i])
	}
	for i, call := range calls {
		call.query, call.roomIndex = q, i
		if q.outstanding == 0 {
			call.done()
		}
	}
	return q
}

// message returns the message that contains the query.
func (q *query) message(from Incarnation) Message {
	m := queryMessage{from: from, id: q.id}
	for _, call := range q.calls {
		m.rooms = append(m.rooms, []byte(call.room))
	}
	return Message{Kind: Query, Payload: m.append(nil), query: q}
}

// answer stores a peer's answer.
func (s *queries) answer(a *answer) {
	q := s.active[a.id]
	if q == nil || len(a.parts) != len(q.calls) {
		return
	}
	if i := slices.IndexFunc(q.peers, func(p *peer) bool { return p.id == a.from }); i >= 0 {
		q.resolve(i, a.parts)
	}
}

// remove stops waiting for a peer that was dropped.
func (s *queries) remove(p *peer) {
	for _, q := range s.active {
		if i := slices.Index(q.peers, p); i >= 0 {
			q.resolve(i, nil)
		}
	}
}

// resolve stores the answer of the peer with index i, and stops waiting for it. A nil
// answer means that the peer will not answer.
func (q *query) resolve(i int, answer []roomCounts) {
	if answer != nil {
		q.answers[i] = answer
	}
	if !q.waiting[i] {
		return
	}
	q.waiting[i] = false
	if q.outstanding--; q.outstanding == 0 {
		for _, call := range q.calls {
			call.done()
		}
	}
}

// fail stops waiting for all peers, because publishing the query has failed.
func (q *query) fail(err error) {
	q.err = err
	for i := range q.peers {
		q.resolve(i, nil)
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
		q = newQuery(0, []*Call{call}, peers)
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
		case !p.dropped:
			if p.state != Missing {
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
	if missing != nil {
		slices.Sort(missing)
		err = cmp.Or(q.err, ended, invalid, errSuspect)
	}
	return sum, missing, err
}
