package embed_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

func TestBus_CloseWhilePublishing(t *testing.T) {
	checkGoroutines(t)
	url := startServer(t, nil).ClientURL()
	t.Run("connected", func(t *testing.T) {
		for range 10 {
			closeWhilePublishing(t, connect(t, url))
		}
	})
	t.Run("embedded", func(t *testing.T) {
		for range 10 {
			b := startSeed(t, embed.WithClusterListen("127.0.0.1:0"))
			closeWhilePublishing(t, b)
			require.Equal(t, 0, b.Routes())
			require.NotEmpty(t, b.ClusterAddr())
		}
	})
}

func closeWhilePublishing(t *testing.T, b cluster.Bus) {
	in := bustest.Subscribe(t, b, 1, bustest.Digests)
	var publishing, wg sync.WaitGroup
	for range 4 {
		publishing.Add(1)
		wg.Go(func() {
			for n := 0; ; n++ {
				err := b.Publish(context.Background(), bustest.Digests, []byte("until closed"))
				if n == 100 {
					publishing.Done()
				}
				if errors.Is(err, occupancy.ErrClosed) && n > 100 {
					return
				}
				_ = b.MaxPayload()
				if sub, err := b.Subscribe(context.Background(), []cluster.Subject{bustest.Heartbeats}, make(chan cluster.Message, 1)); err == nil {
					_ = sub.Close()
				}
			}
		})
	}
	publishing.Wait()
	for range 3 {
		wg.Go(func() {
			if err := b.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, b.Close(context.Background()))
	require.ErrorIs(t, b.Publish(bustest.Context(t), bustest.Digests, nil), occupancy.ErrClosed)
	_, err := b.Subscribe(bustest.Context(t), []cluster.Subject{bustest.Digests}, make(chan cluster.Message, 1))
	require.ErrorIs(t, err, occupancy.ErrClosed)
	require.LessOrEqual(t, len(in), 1)
}

func TestBus_CloseSendsWhatWasPublished(t *testing.T) {
	checkGoroutines(t)
	s := startServer(t, nil)
	p := bustest.NewProxy(t, s.Addr().String())
	b, in := connect(t, p.Addr()), bustest.Subscribe(t, connect(t, s.ClientURL()), 1, bustest.Digests)
	p.Pause()
	require.NoError(t, b.Publish(bustest.Context(t), bustest.Digests, []byte("delayed")))
	closed := make(chan error, 1)
	go func() { closed <- b.Close(bustest.Context(t)) }()
	select {
	case err := <-closed:
		t.Fatalf("Close returned before the server had the message: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	p.Resume()
	require.NoError(t, <-closed)
	select {
	case m := <-in:
		require.Equal(t, "delayed", string(m.Payload))
	case <-bustest.Context(t).Done():
		t.Error("the message was lost")
	}
}

func TestBus_CloseReturnsWhenContextEnds(t *testing.T) {
	checkGoroutines(t)
	p := bustest.NewProxy(t, startServer(t, nil).Addr().String())
	b, err := natscluster.Connect(bustest.Context(t), p.Addr())
	require.NoError(t, err)
	bustest.Subscribe(t, b, 1, bustest.Digests)
	p.Pause()
	require.NoError(t, b.Publish(bustest.Context(t), bustest.Digests, []byte("delayed")))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, b.Close(ctx), context.Canceled)
	require.NoError(t, b.Close(bustest.Context(t)), "it is closed")
}

func TestBus_CloseWhileDisconnected(t *testing.T) {
	checkGoroutines(t)
	s := startServer(t, nil)
	p := bustest.NewProxy(t, s.Addr().String())
	for range 5 {
		b := connect(t, p.Addr())
		bustest.AwaitEvent(t, b, cluster.Connected)
		in := bustest.Subscribe(t, b, 1, bustest.Digests)
		p.Disconnect()
		bustest.AwaitEvent(t, b, cluster.Disconnected)
		require.NoError(t, b.Close(context.Background()))
		require.Empty(t, in)
		_, open := <-b.Events()
		require.False(t, open)
		p.Restore()
	}
}

// After an unknown error, the NATS client closes its connection and does not reconnect.
func TestBus_RemainsDisconnected_IfConnectionIsClosed(t *testing.T) {
	checkGoroutines(t)
	s, log := startServer(t, nil), new(bustest.Log)
	p := bustest.NewProxy(t, s.Addr().String())
	b := connect(t, p.Addr(), natscluster.WithLogger(log.Logger()))
	bustest.AwaitEvent(t, b, cluster.Connected)
	p.Inject("-ERR 'Unknown Error'\r\n")
	bustest.AwaitEvent(t, b, cluster.Disconnected)
	bustest.Eventually(t, "logged", func() bool { return log.Contains("level=ERROR") && log.Contains("restart this node") })
	require.ErrorIs(t, b.Publish(bustest.Context(t), bustest.Digests, nil), natscluster.ErrDisconnected)
	require.NoError(t, b.Close(bustest.Context(t)))
}

func TestBus_HundredConnections(t *testing.T) {
	checkGoroutines(t)
	url := startServer(t, nil).ClientURL()
	buses := make([]*natscluster.Bus, 100)
	inboxes := make([]<-chan cluster.Message, len(buses))
	for i := range buses {
		buses[i] = connect(t, url)
		inboxes[i] = bustest.Subscribe(t, buses[i], 4096, bustest.Digests, bustest.Heartbeats)
	}
	require.NoError(t, buses[0].Publish(bustest.Context(t), bustest.Digests, []byte("to all")))
	for i, in := range inboxes {
		select {
		case m := <-in:
			require.Equal(t, "to all", string(m.Payload))
		case <-bustest.Context(t).Done():
			t.Fatalf("bus %d received nothing", i)
		}
	}
}

func TestBus_CloseDoesNotReconnect(t *testing.T) {
	checkGoroutines(t)
	s := startServer(t, nil)
	url := s.ClientURL()
	for range 50 {
		// If there are several servers, the NATS client reconnects to the next server at once.
		b := connect(t, url+","+strings.Replace(url, "127.0.0.1", "localhost", 1))
		bustest.Subscribe(t, b, 1, bustest.Digests)
		bustest.Subscribe(t, b, 1, bustest.Heartbeats)
		require.NoError(t, b.Close(context.Background()))
		require.True(t, b.Conn().IsClosed())
		require.Zero(t, b.Conn().Stats().Reconnects)
	}
	v, err := s.Varz(nil)
	require.NoError(t, err)
	require.Equal(t, uint64(50), v.TotalConnections)
}
