package cluster

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/occupancy/occupancy"
)

// linkPeers implements [occupancy.Peers] for a Node.
type linkPeers Node

// getCall is a call of Get that waits for answers. Node.mu protects query, roomIndex and
// returned.
type getCall struct {
	room      string
	done      chan struct{} // closed when no answer is outstanding
	query     *query        // nil until the room is part of a query
	roomIndex int           // the index of the room in the query
	returned  bool
}

// query is a query to all peers, for the rooms of one or more calls of Get. Node.mu
// protects it.
type query struct {
	id          uint64
	calls       []*getCall
	pending     int // the number of calls that have not returned
	peers       []*peer
	answers     [][]roomCounts // by peer; nil for a peer that has not answered
	waiting     []bool         // by peer: whether the calls wait for its answer; initially true for Live peers
	outstanding int            // the number of peers whose answers the calls wait for
	err         error          // the error of Publish
}

// maxQueryRooms is the maximum number of rooms in a query.
const maxQueryRooms = 16

// Reasons of a PartialError.
var (
	errSuspect      = errors.New("no heartbeat has arrived within the lease")
	errOverMaxCount = errors.New("the answer exceeds the limit of WithMaxCount")
	errUnknownPeers = errors.New("this node may not know all peers yet")
)

// Get queries the peers for their current counts of the room and returns the sum.
func (lp *linkPeers) Get(ctx context.Context, room string) (occupancy.Occupancy, error) {
	n := (*Node)(lp)
	ctx, cancel := context.WithTimeout(ctx, n.getTimeout)
	defer cancel()
	call := &getCall{room: room, done: make(chan struct{})}
	select {
	case n.gets <- call:
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
	select {
	case <-call.done:
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
	return n.result(call, ctx.Err())
}

// sendQuery publishes a query for this call and for the other waiting calls.
func (n *Node) sendQuery(first *getCall) {
	calls := []*getCall{first}
	for more := true; more && len(calls) < maxQueryRooms; {
		select {
		case call := <-n.gets:
			calls = append(calls, call)
		default:
			more = false
		}
	}
	n.mu.Lock()
	calls = slices.DeleteFunc(calls, func(call *getCall) bool { return call.returned })
	n.lastQueryID++
	q := n.newQuery(n.lastQueryID, calls)
	wait := q.outstanding > 0 && len(calls) > 0
	if wait {
		n.queries[q.id] = q
	}
	n.mu.Unlock()
	if !wait {
		return
	}
	m := queryMessage{from: n.id, id: q.id}
	for _, call := range calls {
		m.rooms = append(m.rooms, []byte(call.room))
	}
	n.buf = m.append(n.buf[:0])
	if err := n.publish(n.ctx, Subject{KindQuery, 0}, n.buf); err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		q.err = err
		for i := range q.peers {
			q.resolve(i, nil)
		}
	}
}

// newQuery returns a query to all current peers. The caller holds mu.
func (n *Node) newQuery(id uint64, calls []*getCall) *query {
	q := &query{
		id:      id,
		calls:   calls,
		pending: len(calls),
		peers:   slices.Clone(n.peers),
		answers: make([][]roomCounts, len(n.peers)),
		waiting: make([]bool, len(n.peers)),
	}
	for i, p := range q.peers {
		q.waiting[i] = p.state == Live
		q.outstanding += toInt(q.waiting[i])
	}
	for i, call := range calls {
		call.query, call.roomIndex = q, i
		if q.outstanding == 0 {
			close(call.done)
		}
	}
	return q
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
			close(call.done)
		}
	}
}

// result returns the sum of the peers' counts. The parameter ctxErr is the error of Get's
// context. The returned error is errClosed or a PartialError.
func (n *Node) result(call *getCall, ctxErr error) (occupancy.Occupancy, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil { // checked while mu is locked, because shutdown removes the peers
		return occupancy.Occupancy{}, errClosed
	}
	call.returned = true
	q := call.query
	if q == nil {
		q = n.newQuery(0, []*getCall{call}) // no query has been published
	}
	if q.pending--; q.pending == 0 {
		delete(n.queries, q.id)
	}
	var connections, members uint64
	var missing []string
	var invalid error
	for i, p := range q.peers {
		var part roomCounts
		answered := q.answers[i] != nil
		if answered && !p.valid(q.answers[i][call.roomIndex]) {
			answered, invalid = false, errOverMaxCount
		}
		switch {
		case answered:
			part = q.answers[i][call.roomIndex]
		case !p.dropped:
			part = p.part(call.room)
			missing = append(missing, p.name)
		}
		connections += part.connections()
		members += part.members()
	}
	sum := occupancy.Occupancy{
		Connections:     int(min(connections, largestCount)),
		PresenceMembers: int(min(members, largestCount)),
	}
	switch {
	case missing != nil:
		slices.Sort(missing)
		return sum, &PartialError{Missing: missing, Err: cmp.Or(q.err, ctxErr, invalid, errSuspect)}
	case !n.connected || n.now() < n.freshAt:
		return sum, &PartialError{Err: errUnknownPeers}
	}
	return sum, nil
}

// handleQuery answers another node's query.
func (n *Node) handleQuery(q *queryMessage) {
	a := answer{from: n.id, to: q.from, id: q.id}
	for _, room := range q.rooms {
		a.parts = append(a.parts, toRoomCounts(n.eng.Local(string(room))))
	}
	n.outbox = append(n.outbox, outgoing{to: Subject{KindAnswer, q.from.shard()}, payload: a.append(nil)})
}

// handleAnswer stores a peer's answer to a query of this node.
func (n *Node) handleAnswer(a *answer) {
	q := n.queries[a.id]
	if a.to != n.id || q == nil || len(a.parts) != len(q.calls) {
		return
	}
	if i := slices.IndexFunc(q.peers, func(p *peer) bool { return p.id == a.from }); i >= 0 {
		q.resolve(i, a.parts)
	}
}
