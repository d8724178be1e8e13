package cluster

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/occupancy/occupancy"
)

// peers is a Node as the engine sees it.
type peers Node

// ask is one Get on its way. Node.mu protects what changes.
type ask struct {
	room  string
	done  chan struct{} // closed when nobody is waited for any more
	query *query        // that it was sent in; nil: not yet
	index int           // of the room there
	over  bool          // Get has returned
}

// query is a question to all peers: of several Gets, where they come together.
// Node.mu protects it.
type query struct {
	id    uint64
	asks  []*ask
	open  int // how many of them have not returned
	peers []*peer
	parts [][]packed // what each of them answered
	waits []bool     // which of them are waited for: those that were Live
	left  int        // how many that are
	err   error      // why the question could not be sent
}

// maxQuery is how many rooms are asked for at a time.
const maxQuery = 16

// Why a peer is Missing that was not waited for, or that answered.
var (
	errSuspect = errors.New("not heard of for a lease")
	errClaim   = errors.New("more than WithMaxCount")

	errUnknown = errors.New("there may be peers that are not heard of yet") // why the answer may be partial though none is Missing
)

// Get asks every live peer for its part of the room.
func (ps *peers) Get(ctx context.Context, room string) (occupancy.Occupancy, error) {
	n := (*Node)(ps)
	ctx, cancel := context.WithTimeout(ctx, n.wait)
	defer cancel()
	a := &ask{room: room, done: make(chan struct{})}
	select {
	case n.asks <- a:
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
	select {
	case <-a.done:
	case <-ctx.Done():
	case <-n.ctx.Done():
	}
	return n.collect(a, ctx.Err())
}

// ask sends the question, together with others that wait.
func (n *Node) ask(first *ask) {
	asks := []*ask{first}
	for more := true; more && len(asks) < maxQuery; {
		select {
		case a := <-n.asks:
			asks = append(asks, a)
		default:
			more = false
		}
	}
	n.mu.Lock()
	asks = slices.DeleteFunc(asks, func(a *ask) bool { return a.over })
	n.queried++
	q := n.question(n.queried, asks)
	waits := q.left > 0 && len(asks) > 0
	if waits {
		n.queries[q.id] = q
	}
	n.mu.Unlock()
	if !waits {
		return
	}
	m := queryMessage{from: n.id, id: q.id}
	for _, a := range asks {
		m.rooms = append(m.rooms, []byte(a.room))
	}
	n.buf = m.append(n.buf[:0])
	if err := n.publish(n.ctx, Subject{KindQuery, 0}, n.buf); err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		q.err = err
		for i := range q.peers {
			q.settle(i, nil)
		}
	}
}

// question is a query to all peers there are.
func (n *Node) question(id uint64, asks []*ask) *query {
	q := &query{
		id:    id,
		asks:  asks,
		open:  len(asks),
		peers: slices.Clone(n.peers),
		parts: make([][]packed, len(n.peers)),
		waits: make([]bool, len(n.peers)),
	}
	for i, p := range q.peers {
		q.waits[i] = p.state == Live
		q.left += count(q.waits[i])
	}
	for i, a := range asks {
		a.query, a.index = q, i
		if q.left == 0 {
			close(a.done)
		}
	}
	return q
}

// settle notes the answer of a peer, or with nil that none is waited for.
func (q *query) settle(i int, parts []packed) {
	if parts != nil {
		q.parts[i] = parts
	}
	if !q.waits[i] {
		return
	}
	q.waits[i] = false
	if q.left--; q.left == 0 {
		for _, a := range q.asks {
			close(a.done)
		}
	}
}

// collect is what there is of an answer. The error, if any, is a PartialError, or
// ErrClosed.
func (n *Node) collect(a *ask, err error) (occupancy.Occupancy, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil { // looked at under mu, under which the peers go
		return occupancy.Occupancy{}, errClosed
	}
	a.over = true
	q := a.query
	if q == nil {
		q = n.question(0, []*ask{a}) // it could not be sent
	}
	if q.open--; q.open == 0 {
		delete(n.queries, q.id)
	}
	var connections, members uint64
	var missing []string
	var claim error
	for i, p := range q.peers {
		var part packed
		answered := q.parts[i] != nil
		if answered && !p.valid(q.parts[i][a.index]) {
			answered, claim = false, errClaim
		}
		switch {
		case answered:
			part = q.parts[i][a.index]
		case !p.gone:
			part = p.part(a.room)
			missing = append(missing, p.name)
		}
		connections += part.connections()
		members += part.members()
	}
	sum := occupancy.Occupancy{
		Connections:     int(min(connections, maxCount)),
		PresenceMembers: int(min(members, maxCount)),
	}
	switch {
	case missing != nil:
		slices.Sort(missing)
		return sum, &PartialError{Missing: missing, Err: cmp.Or(q.err, err, claim, errSuspect)}
	case !n.connected || n.now() < n.settled:
		return sum, &PartialError{Err: errUnknown}
	}
	return sum, nil
}

// answer answers another node's query.
func (n *Node) answer(q *queryMessage) {
	a := answer{from: n.id, to: q.from, id: q.id}
	for _, room := range q.rooms {
		a.parts = append(a.parts, pack(n.eng.Local(string(room))))
	}
	n.outbox = append(n.outbox, outgoing{to: Subject{KindAnswer, q.from.shard()}, payload: a.append(nil)})
}

// answered takes a peer's answer.
func (n *Node) answered(a *answer) {
	q := n.queries[a.id]
	if a.to != n.id || q == nil || len(a.parts) != len(q.asks) {
		return
	}
	if i := slices.IndexFunc(q.peers, func(p *peer) bool { return p.id == a.from }); i >= 0 {
		q.settle(i, a.parts)
	}
}
