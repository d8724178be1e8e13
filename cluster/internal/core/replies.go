package core

import (
	"slices"
	"time"
)

// replies answers the sync requests of the peers, one digest after another. A reply can
// contain a million rooms, and many peers can send requests at the same time. After each
// digest, the node handles other events for as long as publishing the digest took.
type replies struct {
	queue  []syncRequest
	cursor *cursor       // the progress of the reply to the first request; nil before it begins
	last   bool          // the last encoded digest is the last one of the reply
	next   time.Duration // when the next digest is due
	began  time.Duration // when the last digest was encoded
	writer digestWriter
}

// add queues a request. It replaces a queued request of the same peer. If the request of
// this peer is being answered, the new request is dropped; the peer will repeat it.
func (r *replies) add(request syncRequest) {
	i := slices.IndexFunc(r.queue, func(other syncRequest) bool { return other.from == request.from })
	switch {
	case i < 0:
		r.queue = append(r.queue, request)
	case i > 0 || r.cursor == nil:
		r.queue[i] = request
	}
}

// remove removes the request of a peer.
func (r *replies) remove(l *ledger, id Incarnation) {
	switch i := slices.IndexFunc(r.queue, func(request syncRequest) bool { return request.from == id }); {
	case i == 0:
		r.end(l)
	case i > 0:
		r.queue = slices.Delete(r.queue, i, i+1)
	}
}

// dueAt returns when the next digest is due.
func (r *replies) dueAt() time.Duration {
	if len(r.queue) == 0 {
		return Never
	}
	return r.next
}

// encode returns the next digest of the reply to the first request, and its receiver. It
// returns nil if this request asks for no changes. No other digest is due until sent is
// called.
func (r *replies) encode(l *ledger, limit int, now time.Duration) (to Incarnation, payload []byte) {
	request := r.queue[0]
	if request.since == l.seq && request.since != 0 && r.cursor == nil {
		r.end(l)
		return request.from, nil
	}
	if r.cursor == nil {
		c := l.begin(request.since)
		r.cursor, r.writer.limit, l.pinned = &c, limit, true
	}
	r.began, r.next = now, Never
	payload, r.last = l.next(r.cursor, &r.writer)
	return request.from, payload
}

// sent reports that a digest was published or was lost. It returns true if it was the last
// digest of the reply.
func (r *replies) sent(l *ledger, lost bool, now, maxPause time.Duration) (ended bool) {
	r.next = now + min(now-r.began, maxPause)
	if r.cursor == nil || !r.last && !lost {
		return false
	}
	r.end(l)
	return true
}

// end removes the first request.
func (r *replies) end(l *ledger) {
	r.queue = slices.Delete(r.queue, 0, 1)
	r.cursor, l.pinned = nil, false
}
