//go:build unix

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

// traffic describes the time between two samples: the received bytes and messages, and the
// number of errors.
type traffic struct {
	// The following are rates per second: the mean of all nodes, and the maximum of the bytes.
	bytes, maxBytes, messages float64

	// The following are sums of all nodes.
	gaps, resyncs, lossy, unsent, mismatches, pauses, dropped uint64
}

func between(before, after []sample) (t traffic) {
	count := float64(len(before))
	for i, b := range before {
		a := after[i]
		seconds := a.at.Sub(b.at).Seconds()
		bytes := float64(a.BytesIn-b.BytesIn) / seconds
		t.bytes += bytes / count
		t.maxBytes = max(t.maxBytes, bytes)
		t.messages += float64(a.MessagesIn-b.MessagesIn) / seconds / count
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
