//go:build linux

package main

import (
	"time"

	"github.com/occupancy/occupancy/cluster"
)

// sample contains the counters of one node and the time at which they were read. On a busy
// machine, it can take seconds to read the counters of all nodes.
type sample struct {
	cluster.Health
	at time.Time
}

func (all nodes) sample() []sample {
	var samples []sample
	for _, n := range all {
		samples = append(samples, sample{n.Health(), time.Now()})
	}
	return samples
}

// traffic describes the time between two samples: the bytes of payloads, the messages, and the
// number of errors.
type traffic struct {
	// The following are rates per second: the mean of all nodes, and the maximum of the received bytes.
	bytes, maxBytes, messages float64 // received
	bytesOut, messagesOut     float64

	// The following are sums of all nodes.
	gaps, resyncs, lossy, unsent, mismatches, pauses, dropped uint64
}

func between(before, after []sample) (t traffic) {
	count := float64(len(before))
	for i, b := range before {
		a := after[i]
		rate := func(before, after uint64) float64 { return float64(after-before) / a.at.Sub(b.at).Seconds() }
		bytes := rate(b.BytesIn, a.BytesIn)
		t.bytes += bytes / count
		t.maxBytes = max(t.maxBytes, bytes)
		t.messages += rate(b.MessagesIn, a.MessagesIn) / count
		t.bytesOut += rate(b.BytesOut, a.BytesOut) / count
		t.messagesOut += rate(b.MessagesOut, a.MessagesOut) / count
		t.gaps += a.Gaps - b.Gaps
		t.resyncs += a.Resyncs - b.Resyncs
		t.lossy += a.Lossy - b.Lossy
		t.unsent += a.Unsent - b.Unsent
		t.mismatches += a.Mismatches - b.Mismatches
		t.pauses += a.Pauses - b.Pauses
		t.dropped += a.Dropped - b.Dropped
	}
	return t
}
