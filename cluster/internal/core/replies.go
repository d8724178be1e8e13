package core

import (
	"slices"
	"time"
)

// replies answers the sync requests of the peers, one digest after another. A reply can
// contain a million rooms, and many peers can send requests at the same time. After each
// digest, the node handles other events for as long as publishing the digest took.
type replies struct {
	queue  []request
	cursor *cursor       // the progress of the reply to the first request; nil before it begins
	last   bool          // the last encoded digest is the last one of the reply
	next   time.Duration // when the next digest is due
	began  time.Duration // when the last digest was encoded
	writer digestWriter
}

// request is a sync request, with the feed that has the requested changes.
type request struct {
	syncRequest
	feed *feed
}

// add queues a request. It replaces a queued request of the same peer. If the request of
// this peer is being answered, the new request is dropped; the peer will repeat it.
func (r *replies) add(req request) {
	i := slices.IndexFunc(r.queue, func(other request) bool { return other.from == req.from })
	switch {
	case i < 0:
		r.queue = append(r.queue, req)
	case i > 0 || r.cursor == nil:
		r.queue[i] = req
	}
}

// remove removes the request of a peer.
func (r *replies) remove(id Incarnation) {
	switch i := slices.IndexFunc(r.queue, func(req request) bool { return req.from == id }); {
	case i == 0:
		r.end()
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
func (r *replies) encode(limit int, now time.Duration) (to Incarnation, payload []byte) {
	req := r.queue[0]
	l := req.feed.ledger
	if req.since == l.seq && req.since != 0 && r.cursor == nil {
		r.end()
		return req.from, nil
	}
	if r.cursor == nil {
		c := l.begin(req.since)
		r.cursor, r.writer.to, r.writer.limit, l.pinned = &c, req.feed.writer.to, limit, true
	}
	r.began, r.next = now, Never
	payload, r.last = l.next(r.cursor, &r.writer)
	return req.from, payload
}

// sent reports that a digest was published or was lost. It returns true if it was the last
// digest of the reply.
func (r *replies) sent(lost bool, now, maxPause time.Duration) (ended bool) {
	r.next = now + min(now-r.began, maxPause)
	if r.cursor == nil || !r.last && !lost {
		return false
	}
	r.end()
	return true
}

// end removes the first request.
func (r *replies) end() {
	r.queue[0].feed.pinned = false
	r.queue = slices.Delete(r.queue, 0, 1)
	r.cursor = nil
}
