package rediscluster_test

import (
	"context"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster/internal/bustest"
)

// The time from Publish on one bus to the subscriber's channel of another bus, for one
// message at a time. The baseline uses only the Redis client.
func BenchmarkPublishToReceive(b *testing.B) {
	s := startRedis(b)
	payload := make([]byte, bustest.PayloadSize)
	b.Run("bus", func(b *testing.B) {
		bustest.BenchmarkPublishToReceive(b, connect(b, s.option()), connect(b, s.option()))
	})
	b.Run("baseline", func(b *testing.B) {
		client, err := rueidis.NewClient(s.option())
		require.NoError(b, err)
		defer client.Close()
		subscriber, release := client.Dedicate()
		defer release()
		in := make(chan rueidis.PubSubMessage, 4096)
		subscriber.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) { in <- m }})
		ctx := context.Background()
		require.NoError(b, subscriber.Do(ctx, subscriber.B().Subscribe().Channel("occupancy.v1.digest.0").Build()).Error())
		b.ReportAllocs()
		for b.Loop() {
			require.NoError(b, client.Do(ctx, client.B().Publish().Channel("occupancy.v1.digest.0").Message(string(payload)).Build()).Error())
			<-in
		}
	})
}

// The maximum rate of messages.
func BenchmarkThroughput(b *testing.B) {
	s := startRedis(b)
	bustest.BenchmarkThroughput(b, connect(b, s.option()), connect(b, s.option()))
}
