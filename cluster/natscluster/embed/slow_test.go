package embed_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

func TestBus_ReportsFullChannel(t *testing.T) {
	checkGoroutines(t)
	b := startSeed(t, embed.WithClientListen("127.0.0.1:0"))
	from := connect(t, b.ClientURL())
	full, large := subscribe(t, b, 1, digests), subscribe(t, b, 4096, digests, heartbeats)
	for n := range 100 {
		require.NoError(t, from.Publish(timeoutContext(t), digests, fmt.Append(nil, n)))
	}
	require.NoError(t, from.Publish(timeoutContext(t), heartbeats, nil))
	for m := range large {
		if m.Subject == heartbeats {
			break
		}
	}
	awaitEvent(t, b, cluster.Lossy)
	require.Len(t, full, 1)
}
