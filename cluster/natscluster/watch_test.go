package natscluster

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
)

// The NATS client can drop a status. The Bus then notices the reconnection at its next check.
func TestBus_ReportsReconnectionWithoutStatus(t *testing.T) {
	conn, err := nats.Connect(fakeServer(t, 0))
	require.NoError(t, err)
	defer conn.Close()
	b, err := newBus(nil)
	require.NoError(t, err)
	b.conn = conn
	require.True(t, b.check())
	require.Equal(t, cluster.Connected, <-b.Events())
	conn.Reconnects++ // by the NATS client
	require.True(t, b.check())
	require.Equal(t, cluster.Disconnected, <-b.Events())
	require.Equal(t, cluster.Connected, <-b.Events())
	require.True(t, b.check())
	require.Empty(t, b.Events())
}
