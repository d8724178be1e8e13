package embed_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

func TestBus_ReportsFullChannel(t *testing.T) {
	checkGoroutines(t)
	b := startSeed(t, embed.WithClientListen("127.0.0.1:0"))
	from := connect(t, b.ClientURL())
	full, large := bustest.Subscribe(t, b, 1, bustest.Digests), bustest.Subscribe(t, b, 4096, bustest.Digests, bustest.Heartbeats)
	for n := range 100 {
		require.NoError(t, from.Publish(bustest.Context(t), bustest.Digests, fmt.Append(nil, n)))
	}
	require.NoError(t, from.Publish(bustest.Context(t), bustest.Heartbeats, nil))
	for m := range large {
		if m.Subject == bustest.Heartbeats {
			break
		}
	}
	bustest.AwaitEvent(t, b, cluster.Lossy)
	require.Len(t, full, 1)
}
