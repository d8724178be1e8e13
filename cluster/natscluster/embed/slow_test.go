package embed_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

// The Bus has only one processor, and one read can return more messages than the capacity
// of the queue.
func TestBus_LosesNoMessage_IfChannelHasCapacity(t *testing.T) {
	checkGoroutines(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := startServer(t, nil)
	for name, test := range map[string]struct{ messages, bytes int }{
		"small messages": {200_000, 0},
		"large messages": {100, 256 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, s.ClientURL())
			b := connect(t, p.URL(), natscluster.WithPrefix("o"))
			in := subscribe(t, b, test.messages, digests)
			// The server answers pings after all messages. Inject answers, so that the client
			// does not close the connection.
			message := fmt.Sprintf("MSG o.v1.digest.0 1 %d\r\n%s\r\nPONG\r\n", test.bytes, strings.Repeat("x", test.bytes))
			p.Inject(strings.Repeat(message, test.messages))
			eventually(t, "all are received, or some are lost", func() bool {
				return len(in) == test.messages || b.Stats().Lost > 0
			})
			require.Zero(t, b.Stats().Lost)
			for range test.messages {
				require.Len(t, (<-in).Payload, test.bytes)
			}
		})
	}
}

func TestBus_CountsMessagesLost_IfSubscriberIsFull(t *testing.T) {
	checkGoroutines(t)
	b := startSeed(t, embed.WithClientListen("127.0.0.1:0"))
	from := connect(t, b.ClientURL())
	full, large := subscribe(t, b, 1, digests), subscribe(t, b, 4096, digests, heartbeats)
	const messages = 100
	for range messages {
		require.NoError(t, from.Publish(timeoutContext(t), digests, nil))
	}
	require.NoError(t, from.Publish(timeoutContext(t), heartbeats, nil))
	for m := range large {
		if m.Subject == heartbeats {
			break
		}
	}
	eventually(t, "all lost messages are counted", func() bool { return b.Stats().Lost == messages-1 })
	awaitEvent(t, b, cluster.Lossy)
	require.Len(t, full, 1)
}
