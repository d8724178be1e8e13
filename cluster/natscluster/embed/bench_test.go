package embed_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
)

// The time from Publish on one bus to the subscriber's channel of another bus, for one
// message at a time, through a server in a separate process. The baseline uses only the
// NATS client.
func BenchmarkPublishToReceive(b *testing.B) {
	url, _ := startProcess(b)
	payload := make([]byte, bustest.PayloadSize)
	b.Run("bus", func(b *testing.B) { bustest.BenchmarkPublishToReceive(b, connect(b, url), connect(b, url)) })
	b.Run("baseline", func(b *testing.B) {
		from, in := natsClients(b, url, 4096)
		b.ReportAllocs()
		for b.Loop() {
			require.NoError(b, from.Publish("occupancy.v1.digest.0", payload))
			<-in
		}
	})
}

// The maximum rate of messages. The baseline uses only the NATS client.
func BenchmarkThroughput(b *testing.B) {
	url, _ := startProcess(b)
	payload := make([]byte, bustest.PayloadSize)
	b.Run("bus", func(b *testing.B) { bustest.BenchmarkThroughput(b, connect(b, url), connect(b, url)) })
	b.Run("baseline", func(b *testing.B) {
		from, in := natsClients(b, url, 2*bustest.Window)
		b.ReportAllocs()
		b.SetBytes(int64(len(payload)))
		inTransit := 0
		for b.Loop() {
			require.NoError(b, from.Publish("occupancy.v1.digest.0", payload))
			if inTransit++; inTransit > bustest.Window {
				<-in
				inTransit--
			}
		}
	})
}

// natsClients returns a publisher and the channel of a subscriber that use only the NATS
// client.
func natsClients(b *testing.B, url string, size int) (*nats.Conn, <-chan *nats.Msg) {
	from, err := nats.Connect(url, nats.NoEcho())
	require.NoError(b, err)
	b.Cleanup(from.Close)
	to, err := nats.Connect(url, nats.NoEcho())
	require.NoError(b, err)
	b.Cleanup(to.Close)
	in := make(chan *nats.Msg, size)
	_, err = to.ChanSubscribe("occupancy.v1.digest.0", in)
	require.NoError(b, err)
	require.NoError(b, to.Flush())
	return from, in
}

// The time to connect, to subscribe like a node, and to close.
func BenchmarkConnectSubscribeClose(b *testing.B) {
	url, _ := startProcess(b)
	subjects := make([]cluster.Subject, 7)
	for i := range subjects {
		subjects[i].Kind = cluster.KindDigest + cluster.Kind(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		bus := connect(b, url)
		bustest.Subscribe(b, bus, 64, subjects...)
		require.NoError(b, bus.Close(context.Background()))
	}
}
