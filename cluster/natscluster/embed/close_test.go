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
	in := subscribe(t, b, 1, digests)
	var publishing, wg sync.WaitGroup
	for range 4 {
		publishing.Add(1)
		wg.Go(func() {
			for n := 0; ; n++ {
				err := b.Publish(context.Background(), digests, []byte("until closed"))
				if n == 100 {
					publishing.Done()
				}
				if errors.Is(err, occupancy.ErrClosed) && n > 100 {
					return
				}
				_ = b.MaxPayload()
				if sub, err := b.Subscribe(context.Background(), []cluster.Subject{heartbeats}, make(chan cluster.Message, 1)); err == nil {
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
	require.ErrorIs(t, b.Publish(timeoutContext(t), digests, nil), occupancy.ErrClosed)
	_, err := b.Subscribe(timeoutContext(t), []cluster.Subject{digests}, make(chan cluster.Message, 1))
	require.ErrorIs(t, err, occupancy.ErrClosed)
	require.LessOrEqual(t, len(in), 1)
}

func TestBus_CloseSendsWhatWasPublished(t *testing.T) {
	checkGoroutines(t)
	s := startServer(t, nil)
	p := newProxy(t, s.ClientURL())
	b, in := connect(t, p.URL()), subscribe(t, connect(t, s.ClientURL()), 1, digests)
	p.Pause()
	require.NoError(t, b.Publish(timeoutContext(t), digests, []byte("delayed")))
	closed := make(chan error, 1)
	go func() { closed <- b.Close(timeoutContext(t)) }()
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
	case <-timeoutContext(t).Done():
		t.Error("the message was lost")
	}
}

func TestBus_CloseReturnsWhenContextEnds(t *testing.T) {
	checkGoroutines(t)
	p := newProxy(t, startServer(t, nil).ClientURL())
	b, err := natscluster.Connect(timeoutContext(t), p.URL())
	require.NoError(t, err)
	subscribe(t, b, 1, digests)
	p.Pause()
	require.NoError(t, b.Publish(timeoutContext(t), digests, []byte("delayed")))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, b.Close(ctx), context.Canceled)
	require.NoError(t, b.Close(timeoutContext(t)), "it is closed")
}

func TestBus_CloseWhileDisconnected(t *testing.T) {
	checkGoroutines(t)
	s := startServer(t, nil)
	p := newProxy(t, s.ClientURL())
	for range 5 {
		b := connect(t, p.URL())
		awaitEvent(t, b, cluster.Connected)
		in := subscribe(t, b, 1, digests)
		p.Disconnect()
		awaitEvent(t, b, cluster.Disconnected)
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
	s, log := startServer(t, nil), new(logBuffer)
	p := newProxy(t, s.ClientURL())
	b := connect(t, p.URL(), log.option())
	awaitEvent(t, b, cluster.Connected)
	p.Inject("-ERR 'Unknown Error'\r\n")
	awaitEvent(t, b, cluster.Disconnected)
	eventually(t, "logged", func() bool { return log.contains("level=ERROR") && log.contains("restart this node") })
	require.ErrorIs(t, b.Publish(timeoutContext(t), digests, nil), natscluster.ErrDisconnected)
	require.NoError(t, b.Close(timeoutContext(t)))
}

func TestBus_HundredConnections(t *testing.T) {
	checkGoroutines(t)
	url := startServer(t, nil).ClientURL()
	buses := make([]*natscluster.Bus, 100)
	inboxes := make([]<-chan cluster.Message, len(buses))
	for i := range buses {
		buses[i] = connect(t, url)
		inboxes[i] = subscribe(t, buses[i], 4096, digests, heartbeats)
	}
	require.NoError(t, buses[0].Publish(timeoutContext(t), digests, []byte("to all")))
	for i, in := range inboxes {
		select {
		case m := <-in:
			require.Equal(t, "to all", string(m.Payload))
		case <-timeoutContext(t).Done():
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
		subscribe(t, b, 1, digests)
		subscribe(t, b, 1, heartbeats)
		require.NoError(t, b.Close(context.Background()))
		require.True(t, b.Conn().IsClosed())
		require.Zero(t, b.Conn().Stats().Reconnects)
	}
	v, err := s.Varz(nil)
	require.NoError(t, err)
	require.Equal(t, uint64(50), v.TotalConnections)
}
