package natscluster_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

// The queue in the Bus is as short as can be, and the subscriber's is never full.
func TestBus_TellsWhatItsOwnQueueLost(t *testing.T) {
	leavesNothing(t)
	url := startServer(t, nil).ClientURL()
	from, to := connect(t, url), connect(t, url, natscluster.WithPending(1))
	event(t, to, cluster.Connected)
	in := subscribe(t, to, 1<<20, digests)
	eventually(t, "lost", func() bool {
		for range 1000 {
			require.NoError(t, from.Publish(context.Background(), digests, nil))
		}
		return to.Stats().Lost > 0
	})
	event(t, to, cluster.Lossy)
	require.Less(t, len(in), cap(in))
	until(t, from, in, "and it goes on")
}

func TestBus_CountsWhatFoundTheSubscriberFull(t *testing.T) {
	leavesNothing(t)
	b := embed(t, natscluster.WithClientListen("127.0.0.1:0"))
	from := connect(t, b.ClientURL())
	full, room := subscribe(t, b, 1, digests), subscribe(t, b, 4096, digests, hearts)
	const messages = 100
	for range messages {
		require.NoError(t, from.Publish(soon(t), digests, nil))
	}
	require.NoError(t, from.Publish(soon(t), hearts, nil))
	for m := range room {
		if m.Subject == hearts {
			break
		}
	}
	eventually(t, "counted", func() bool { return b.Stats().Lost == messages-1 })
	event(t, b, cluster.Lossy)
	require.Len(t, full, 1)
}
