//go:build unix

package main

import (
	"time"

	"github.com/occupancy/occupancy/cluster"
)

// sample is a node's counters, and when they were read: where the cores are busy it may
// take seconds to read those of all nodes.
type sample struct {
	cluster.Health
	lost uint64
	at   time.Time
}

func (f fleet) sample() []sample {
	var all []sample
	for _, m := range f {
		all = append(all, sample{m.node.Health(), m.bus.Stats().Lost, time.Now()})
	}
	return all
}

// traffic is what came to the nodes between two samples, and what went wrong meanwhile.
type traffic struct {
	bytes, most, messages float64 // a second, into a node: the mean, the most of any, the mean

	gaps, resyncs, lossy, unsent, lost, mismatches, doubts, dropped uint64
}

func between(before, after []sample) (t traffic) {
	nodes := float64(len(before))
	for i, was := range before {
		now := after[i]
		seconds := now.at.Sub(was.at).Seconds()
		in := float64(now.BytesIn-was.BytesIn) / seconds
		t.bytes += in / nodes
		t.most = max(t.most, in)
		t.messages += float64(now.MessagesIn-was.MessagesIn) / seconds / nodes
		t.gaps += now.Gaps - was.Gaps
		t.resyncs += now.Resyncs - was.Resyncs
		t.lossy += now.Lossy - was.Lossy
		t.unsent += now.Unsent - was.Unsent
		t.lost += now.lost - was.lost
		t.mismatches += now.Mismatches - was.Mismatches
		t.doubts += now.Doubts - was.Doubts
		t.dropped += now.Dropped - was.Dropped
	}
	return t
}
