package natscluster_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

// The Bus shares one processor with all else, and there is more to read at once than
// its queue has room for.
func TestBus_LosesNothingThatTheSubscriberHasRoomFor(t *testing.T) {
	leavesNothing(t)
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
			// With answers to pings, since those of the server wait until all is read.
			message := fmt.Sprintf("MSG o.v1.digest.0 1 %d\r\n%s\r\nPONG\r\n", test.bytes, strings.Repeat("x", test.bytes))
			p.Say(strings.Repeat(message, test.messages))
			eventually(t, "all are there, or some are lost", func() bool {
				return len(in) == test.messages || b.Stats().Lost > 0
			})
			require.Zero(t, b.Stats().Lost)
			for range test.messages {
				require.Len(t, (<-in).Payload, test.bytes)
			}
		})
	}
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
