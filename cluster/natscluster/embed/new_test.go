package embed_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

// hostConnection returns a connection with the default settings of the NATS client, by which
// it detects a silent server only after minutes.
func hostConnection(t testing.TB, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(url, append(opts, nats.MaxReconnects(-1))...)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	return conn
}

// newBus returns a Bus on a connection of the program.
func newBus(t testing.TB, url string) *natscluster.Bus {
	t.Helper()
	b, err := natscluster.New(hostConnection(t, url, nats.ReconnectWait(100*time.Millisecond)))
	require.NoError(t, err)
	return bustest.CloseAfter(t, b)
}

func TestNew_CloseKeepsConnection(t *testing.T) {
	checkGoroutines(t)
	s := startServer(t, nil)
	conn := hostConnection(t, s.ClientURL())
	before := s.NumSubscriptions()
	own, err := conn.SubscribeSync("chat.lobby")
	require.NoError(t, err)
	b, err := natscluster.New(conn)
	require.NoError(t, err)
	require.Same(t, conn, b.Conn())
	bustest.Receive(t, b, bustest.Subscribe(t, b, 64, bustest.Digests, bustest.Heartbeats), "counts")

	require.NoError(t, b.Close(bustest.Context(t)))
	require.ErrorIs(t, b.Publish(bustest.Context(t), bustest.Digests, nil), occupancy.ErrClosed)
	require.True(t, conn.IsConnected())
	require.NoError(t, conn.Publish("chat.lobby", []byte("hello")))
	m, err := own.NextMsg(bustest.Timeout)
	require.NoError(t, err)
	require.Equal(t, "hello", string(m.Data))
	bustest.Eventually(t, "only the program's subscription remains", func() bool { return s.NumSubscriptions() == before+1 })
}

func TestNew_KeepsHandlers(t *testing.T) {
	checkGoroutines(t)
	p := bustest.NewProxy(t, startServer(t, nil).Addr().String())
	calls := make(chan string, 100)
	log := new(bustest.Log)
	b, err := natscluster.New(hostConnection(t, p.Addr(),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { calls <- "disconnected" }),
		nats.ReconnectHandler(func(*nats.Conn) { calls <- "reconnected" }),
	), natscluster.WithLogger(log.Logger()))
	require.NoError(t, err)
	bustest.CloseAfter(t, b)
	bustest.AwaitEvent(t, b, cluster.Connected)
	p.Disconnect()
	bustest.AwaitEvent(t, b, cluster.Disconnected)
	require.Equal(t, "disconnected", <-calls)
	p.Restore()
	bustest.AwaitEvent(t, b, cluster.Connected)
	require.Equal(t, "reconnected", <-calls)
	require.Equal(t, 1, log.Count("disconnected from NATS"))
	require.Equal(t, 2, log.Count("connected to NATS"))
}

// The connection is closed and open again between two checks of the Bus.
func TestBus_ReportsShortDisconnection(t *testing.T) {
	checkGoroutines(t)
	b := newBus(t, startServer(t, nil).ClientURL())
	for range 10 {
		require.Equal(t, cluster.Connected, <-b.Events())
		require.NoError(t, b.Conn().ForceReconnect())
		require.Equal(t, cluster.Disconnected, <-b.Events())
	}
}

func TestNew_ReportsClosedConnection(t *testing.T) {
	checkGoroutines(t)
	log := new(bustest.Log)
	conn := hostConnection(t, startServer(t, nil).ClientURL())
	b, err := natscluster.New(conn, natscluster.WithLogger(log.Logger()))
	require.NoError(t, err)
	bustest.CloseAfter(t, b)
	in := bustest.Subscribe(t, b, 1, bustest.Digests)
	bustest.AwaitEvent(t, b, cluster.Connected)
	conn.Close()
	bustest.AwaitEvent(t, b, cluster.Disconnected)
	require.Error(t, b.Publish(bustest.Context(t), bustest.Digests, nil))
	require.Empty(t, in)
	bustest.Eventually(t, "logged", func() bool { return log.Contains("restart this node") })
}

func TestNew_RejectsOptionsOfConnect(t *testing.T) {
	conn := hostConnection(t, startServer(t, nil).ClientURL())
	_, err := natscluster.New(conn, natscluster.WithNATS(nats.Name("a")))
	require.ErrorContains(t, err, "WithNATS applies to Connect only")
	_, err = natscluster.New(conn, natscluster.WithPrefix("a.*"))
	require.ErrorContains(t, err, "WithPrefix")
	small := startServer(t, smallPayload)
	_, err = natscluster.New(hostConnection(t, small.ClientURL()))
	require.ErrorContains(t, err, "maximum payload")
}
