//go:build linux

package main

import (
	"time"

	"github.com/occupancy/occupancy/cluster"
)

// sample contains the counters of a node or an aggregator, and the time at which they were read. On a busy
// machine, it can take seconds to read the counters of all nodes.
type sample struct {
	cluster.Health
	at time.Time
}

// source is a node or an aggregator.
type source interface{ Health() cluster.Health }

func takeSamples(sources []source) []sample {
	var samples []sample
	for _, n := range sources {
		samples = append(samples, sample{n.Health(), time.Now()})
	}
	return samples
}

// traffic describes the time between two samples: the bytes of payloads, the messages, and the
// number of errors.
type traffic struct {
	// The following are rates per second: the mean of all sources, and the maximum of the received bytes.
	bytes, maxBytes, messages float64 // received
	bytesOut, messagesOut     float64

	// The following are sums of all sources.
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

// add adds the traffic of other sources, which have the given number for each of these sources.
func (t traffic) add(other traffic, ratio float64) traffic {
	t.bytes += ratio * other.bytes
	t.messages += ratio * other.messages
	t.bytesOut += ratio * other.bytesOut
	t.messagesOut += ratio * other.messagesOut
	t.gaps += other.gaps
	t.resyncs += other.resyncs
	t.lossy += other.lossy
	t.unsent += other.unsent
	t.mismatches += other.mismatches
	t.pauses += other.pauses
	t.dropped += other.dropped
	return t
}
