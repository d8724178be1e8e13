package bustest

import (
	"context"
	"testing"

	"github.com/occupancy/occupancy/cluster"
)

// PayloadSize is the size of the messages of the benchmarks.
const PayloadSize = 256

// BenchmarkPublishToReceive measures the time from Publish to the subscriber's channel, for
// one message at a time.
func BenchmarkPublishToReceive(b *testing.B, from, to cluster.Bus) {
	in := Subscribe(b, to, 64, Digests)
	payload := make([]byte, PayloadSize)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		check(b, from.Publish(ctx, Digests, payload))
		<-in
	}
}

// Window is the number of messages that are in transit in BenchmarkThroughput.
const Window = 1024

// BenchmarkThroughput measures the maximum rate of messages, if at most Window messages are in
// transit.
func BenchmarkThroughput(b *testing.B, from, to cluster.Bus) {
	in := Subscribe(b, to, 2*Window, Digests)
	payload := make([]byte, PayloadSize)
	ctx := context.Background()
	b.ReportAllocs()
	b.SetBytes(PayloadSize)
	inTransit := 0
	for b.Loop() {
		check(b, from.Publish(ctx, Digests, payload))
		if inTransit++; inTransit > Window {
			<-in
			inTransit--
		}
	}
}
