package natscluster_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

func TestBus_CloseWhilePublishing(t *testing.T) {
	leavesNothing(t)
	url := startServer(t, nil).ClientURL()
	for name, another := range map[string]func() *natscluster.Bus{
		"connected": func() *natscluster.Bus { return connect(t, url) },
		"embedded":  func() *natscluster.Bus { return embed(t, natscluster.WithClusterListen("127.0.0.1:0")) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				b := another()
				in := subscribe(t, b, 1, digests)
				var busy, wg sync.WaitGroup
				for range 4 {
					busy.Add(1)
					wg.Go(func() {
						for n := 0; ; n++ {
							err := b.Publish(context.Background(), digests, []byte("until the end"))
							if n == 100 {
								busy.Done()
							}
							if errors.Is(err, natscluster.ErrClosed) && n > 100 {
								return
							}
							_, _, _ = b.MaxPayload(), b.Stats(), b.ClusterAddr()
							if sub, err := b.Subscribe(context.Background(), []cluster.Subject{hearts}, make(chan cluster.Message, 1)); err == nil {
								_ = sub.Close()
							}
						}
					})
				}
				busy.Wait()
				for range 3 {
					wg.Go(func() {
						if err := b.Close(context.Background()); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				require.NoError(t, b.Close(context.Background()))
				require.ErrorIs(t, b.Publish(soon(t), digests, nil), natscluster.ErrClosed)
				require.Empty(t, b.Stats().Server)
				require.LessOrEqual(t, len(in), 1)
			}
		})
	}
}

func TestBus_CloseWaitsForWhatWasPublished(t *testing.T) {
	leavesNothing(t)
	s := startServer(t, nil)
	p := newProxy(t, s.ClientURL())
	b, in := connect(t, p.URL()), subscribe(t, connect(t, s.ClientURL()), 1, digests)
	p.Hold()
	require.NoError(t, b.Publish(soon(t), digests, []byte("held up")))
	closed := make(chan error, 1)
	go func() { closed <- b.Close(soon(t)) }()
	select {
	case err := <-closed:
		t.Fatalf("Close does not wait: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	p.Release()
	require.NoError(t, <-closed)
	select {
	case m := <-in:
		require.Equal(t, "held up", string(m.Payload))
	case <-soon(t).Done():
		t.Error("it was lost")
	}
}

func TestBus_CloseEndsWithItsContext(t *testing.T) {
	leavesNothing(t)
	p := newProxy(t, startServer(t, nil).ClientURL())
	b, err := natscluster.Connect(soon(t), p.URL())
	require.NoError(t, err)
	subscribe(t, b, 1, digests)
	p.Hold()
	require.NoError(t, b.Publish(soon(t), digests, []byte("held up")))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, b.Close(ctx), context.Canceled)
	require.NoError(t, b.Close(soon(t)), "it is closed")
}

func TestBus_CloseWhileDisconnected(t *testing.T) {
	leavesNothing(t)
	s := startServer(t, nil)
	p := newProxy(t, s.ClientURL())
	for range 5 {
		b := connect(t, p.URL())
		event(t, b, cluster.Connected)
		in := subscribe(t, b, 1, digests)
		p.Cut()
		event(t, b, cluster.Disconnected)
		require.NoError(t, b.Close(context.Background()))
		require.Empty(t, in)
		_, open := <-b.Events()
		require.False(t, open)
		p.Mend()
	}
	// A connection that the NATS client gave up, and that can't be made again.
	b := connect(t, p.URL())
	event(t, b, cluster.Connected)
	p.Say("-ERR 'Something Unheard Of'\r\n")
	p.Cut()
	event(t, b, cluster.Disconnected)
	require.NoError(t, b.Close(context.Background()))
}

func TestBus_ManyAreCheap(t *testing.T) {
	leavesNothing(t)
	url := startServer(t, nil).ClientURL()
	buses := make([]*natscluster.Bus, 100)
	inboxes := make([]<-chan cluster.Message, len(buses))
	for i := range buses {
		buses[i] = connect(t, url)
		inboxes[i] = subscribe(t, buses[i], 4096, digests, hearts)
	}
	require.NoError(t, buses[0].Publish(soon(t), digests, []byte("to all")))
	for _, in := range inboxes[1:] {
		select {
		case m := <-in:
			require.Equal(t, "to all", string(m.Payload))
		case <-soon(t).Done():
			t.Fatal("not to all")
		}
	}
	require.Empty(t, inboxes[0], "not to itself")
}

func TestBus_CloseIsTheEndOfItsConnections(t *testing.T) {
	leavesNothing(t)
	s := startServer(t, nil)
	url := s.ClientURL()
	for range 50 {
		// Of several servers the NATS client tries the next at once.
		b := connect(t, url+","+strings.Replace(url, "127.0.0.1", "localhost", 1))
		subscribe(t, b, 1, digests)
		subscribe(t, b, 1, hearts)
		require.NoError(t, b.Close(context.Background()))
		require.Empty(t, b.Stats().Server)
		require.Zero(t, b.Stats().Reconnects)
	}
	v, err := s.Varz(nil)
	require.NoError(t, err)
	require.Equal(t, uint64(50), v.TotalConnections)
}
