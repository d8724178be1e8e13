package core

import "time"

// echo measures the delay of the bus: a node receives its own heartbeats.
type echo struct {
	sent  []sentBeat    // the heartbeats that have not returned, in the order of sending
	delay time.Duration // of the last heartbeat that has returned
}

// sentBeat is a heartbeat of this node.
type sentBeat struct {
	number uint64
	at     time.Duration
}

// maxSentBeats is the maximum number of heartbeats whose times are kept.
const maxSentBeats = 128

// add records a heartbeat that was published.
func (e *echo) add(number uint64, at time.Duration) {
	if len(e.sent) < maxSentBeats {
		e.sent = append(e.sent, sentBeat{number, at})
	}
}

// returned records that a heartbeat has returned. Earlier heartbeats are lost or late.
func (e *echo) returned(number uint64, now time.Duration) {
	for len(e.sent) > 0 && e.sent[0].number <= number {
		if e.sent[0].number == number {
			e.delay = now - e.sent[0].at
		}
		e.sent = e.sent[1:]
	}
}

// waiting returns the time since the first heartbeat that has not returned, or 0.
func (e *echo) waiting(now time.Duration) time.Duration {
	if len(e.sent) == 0 {
		return 0
	}
	return now - e.sent[0].at
}

// reset forgets the heartbeats that have not returned, because the bus has lost them.
func (e *echo) reset() { e.sent = nil }
