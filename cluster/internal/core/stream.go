package core

import "time"

const (
	syncInterval = time.Second // the minimum time between two sync requests to one peer
	maxSyncs     = 8           // the maximum number of replies that this node waits for
	maxDoublings = 3           // without progress, syncInterval is doubled up to this number of times
)

// stream is the progress of receiving the changes of one peer.
type stream struct {
	applied       uint64        // all changes up to this seq are applied
	published     uint64        // the peer has published changes up to this seq
	needsSnapshot bool          // the received counts are wrong: only a snapshot is applied
	snapshotEnd   uint64        // the seq at which the current snapshot is complete, or 0 without a snapshot
	until         uint64        // before all changes up to this seq are applied, a reply is incomplete: apply no digest that was encoded earlier
	syncSent      time.Duration // when the last sync request was sent, or the last digest of a reply has arrived
	requested     bool          // a sync request was sent, and changes are still missing
	attempts      int           // the number of sync requests since the last progress
}

// verdict is the decision about a received digest.
type verdict uint8

const (
	apply     verdict = iota
	duplicate         // the digest is not needed
	gap               // an earlier digest is missing
)

// behind reports whether the peer has published a change that was not received yet.
func (s *stream) behind() bool {
	return max(s.published, s.until) > s.applied || s.needsSnapshot || s.snapshotEnd != 0
}

// receive decides about a digest. The first digest of a newer snapshot is always applied:
// the peer has removed tombstones, so only a complete snapshot shows which rooms are empty.
func (s *stream) receive(d span) verdict {
	s.published = max(s.published, d.seq)
	switch {
	case s.needsSnapshot && d.reset: // the requested snapshot
	case s.needsSnapshot || d.seq <= s.applied && (!d.reset || d.snapshotEnd <= max(s.applied, s.snapshotEnd)):
		return duplicate
	case !d.reset && d.snapshotEnd != 0 && d.snapshotEnd != s.snapshotEnd:
		return duplicate // a part of another snapshot, which does not contain empty rooms
	case s.applied < s.until && d.until < s.until:
		return duplicate // it was encoded earlier: its changes can be relative to changes that the reply omits
	case d.base > s.applied:
		return gap
	}
	return apply
}

// apply records that a digest is applied, and reports whether it completes a snapshot.
func (s *stream) apply(d span, now time.Duration) (complete bool) {
	if d.reset {
		s.snapshotEnd, s.needsSnapshot, s.until = d.snapshotEnd, false, 0
	}
	s.applied, s.attempts, s.until = d.seq, 0, max(s.until, d.until)
	if complete = (d.reset || s.snapshotEnd != 0) && s.applied >= s.snapshotEnd; complete {
		s.snapshotEnd = 0
	}
	if s.behind() {
		s.syncSent = max(s.syncSent, now) // the peer is sending the rest: wait before the next request
	} else {
		s.requested = false
	}
	return complete
}

// heartbeat compares the seq of the peer's heartbeat with the received changes. It reports
// whether all changes are received, so that the hash must be the same.
func (s *stream) heartbeat(seq uint64) (current bool) {
	s.published = seq
	if seq < max(s.applied, s.snapshotEnd, s.until) {
		// A received digest was forged, or the digest has overtaken the heartbeat.
		s.needsSnapshot = true
	}
	return seq == s.applied && !s.needsSnapshot
}

// awaiting reports whether a reply to a sync request is arriving, or was requested within
// syncInterval.
func (s *stream) awaiting(now time.Duration) bool {
	return s.requested && now < s.syncSent+syncInterval
}

// nextSync returns when the next sync request can be sent. After each request without
// progress, the time between two requests is doubled, up to 8 s, and once more if the peer
// is overloaded. The parameter jitter shortens the doubled time by up to a quarter, so that
// many nodes do not repeat their requests at the same time. The parameter roundTrip is the
// time that a reply needs at least.
func (s *stream) nextSync(overloaded bool, jitter uint8, roundTrip time.Duration) time.Duration {
	wait := syncInterval
	if doublings := min(s.attempts+toInt(overloaded), maxDoublings); doublings > 0 {
		wait = wait << doublings * (1024 - time.Duration(jitter)) / 1024
	}
	return s.syncSent + wait + roundTrip
}

// request records that a sync request is sent, and returns its seq.
func (s *stream) request(now time.Duration) (since uint64) {
	s.syncSent, s.requested = now, true
	s.attempts++
	if s.needsSnapshot {
		return 0
	}
	return s.applied
}
