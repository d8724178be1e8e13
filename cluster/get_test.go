package cluster_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

func TestGet_QueriesEveryLivePeer(t *testing.T) {
	bubble(t, "includes changes that were not flushed yet", func(t *testing.T) {
		_, hosts := service(t, 3)
		hosts[0].join(t, "r", 1)
		settle()
		hosts[0].join(t, "r", 1)
		settle()
		require.Equal(t, occ(4, 0), hosts[1].Current("r"))
		begin := time.Now()
		o, err := hosts[1].Get(t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(5, 0), o)
		require.Zero(t, time.Since(begin))
	})
	bubble(t, "concurrent calls", func(t *testing.T) {
		_, hosts := service(t, 4)
		for i := range 50 {
			hosts[i%4].join(t, room(i), 1+i)
		}
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() {
				o, err := hosts[i%3].Get(t.Context(), room(i%50))
				if err != nil || o != occ(1+i%50, 0) {
					t.Errorf("room %d: %+v, %v", i%50, o, err)
				}
			})
		}
		wg.Wait()
	})
	bubble(t, "100 calls for one room on one of 200 nodes", func(t *testing.T) {
		net, hosts := clustertest.NewNetwork(1), []*host{}
		for i := range 200 {
			h := start(t, net, room(i), cluster.WithHeartbeat(10*beat))
			h.join(t, "r", 1)
			hosts = append(hosts, h)
		}
		after(30 * beat)
		begin := time.Now()
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				o, err := hosts[0].Get(t.Context(), "r")
				if err != nil || o != occ(200, 0) {
					t.Errorf("%+v, %v", o, err)
				}
			})
		}
		wg.Wait()
		require.Less(t, time.Since(begin), 250*time.Millisecond)
		require.Zero(t, hosts[0].node.Health().Lossy)
		require.Empty(t, reasons(hosts[0]))
	})
	bubble(t, "no peers", func(t *testing.T) {
		_, hosts := service(t, 1)
		o, err := hosts[0].Get(t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(1, 0), o)
	})
}

func TestGet_PartialErrorNamesMissingPeers(t *testing.T) {
	// partial requires a PartialError and returns it.
	partial := func(t *testing.T, err error, missing ...string) *cluster.PartialError {
		t.Helper()
		var e *cluster.PartialError
		require.ErrorAs(t, err, &e)
		require.Equal(t, missing, e.Missing)
		return e
	}
	bubble(t, "after the timeout, with their last received counts", func(t *testing.T) {
		_, hosts := service(t, 4)
		hosts[2].crash()
		hosts[3].crash()
		hosts[1].join(t, "r", 1)
		begin := time.Now()
		o, err := hosts[0].Get(t.Context(), "r")
		require.Equal(t, 250*time.Millisecond, time.Since(begin))
		e := partial(t, err, "c", "d")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.EqualError(t, e, "cluster: counts of c, d are missing: context deadline exceeded")
		require.Equal(t, occ(5, 0), o)
	})
	bubble(t, "canceled by the caller", func(t *testing.T) {
		_, hosts := service(t, 2, cluster.WithGetTimeout(time.Minute))
		hosts[1].crash()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		begin := time.Now()
		_, err := hosts[0].Get(ctx, "r")
		partial(t, err, "b")
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, time.Second, time.Since(begin))
	})
	bubble(t, "does not wait for suspect peers", func(t *testing.T) {
		net, hosts := service(t, 5)
		net.Partition([]string{"a"})
		after(10 * time.Second) // the peers are Held
		begin := time.Now()
		o, err := hosts[0].Get(t.Context(), "r")
		partial(t, err, "b", "c", "d", "e")
		require.Equal(t, occ(5, 0), o)
		require.Zero(t, time.Since(begin))
	})
	bubble(t, "bus disconnected", func(t *testing.T) {
		_, hosts := service(t, 2)
		hosts[0].bus.Disconnect()
		begin := time.Now()
		o, err := hosts[0].Get(t.Context(), "r")
		partial(t, err, "b")
		require.ErrorIs(t, err, clustertest.ErrDisconnected)
		require.Equal(t, occ(2, 0), o)
		require.Zero(t, time.Since(begin))
	})
	bubble(t, "paused node", func(t *testing.T) {
		net, hosts := service(t, 2)
		queries := 0
		net.Tap(func(_ string, m cluster.Message) {
			if m.Subject.Kind == cluster.KindQuery {
				queries++
			}
		})
		resume := hosts[0].bus.Stall()
		after(2 * time.Second)
		for range 3 {
			_, err := hosts[0].Get(t.Context(), "r")
			partial(t, err, "b")
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		resume()
		after(3 * time.Second)
		o, err := hosts[0].Get(t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(2, 0), o)
		require.Equal(t, 1, queries) // calls that have returned cause no query
	})
	bubble(t, "does not wait for a peer that leaves", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"r": occ(3, 0)})
		after(2 * beat)
		time.AfterFunc(100*time.Millisecond, func() {
			_ = p.bus.Publish(context.Background(), cluster.Subject{Kind: cluster.KindBye}, append([]byte{10, 16}, p.id...))
		})
		begin := time.Now()
		o, err := h.Get(t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(0, 0), o)
		require.Equal(t, 100*time.Millisecond, time.Since(begin))
	})
	bubble(t, "node closed during the call", func(t *testing.T) {
		h, _ := startWithPuppet(t)
		failed := make(chan error)
		go func() {
			_, err := h.Get(context.Background(), "r")
			failed <- err
		}()
		after(10 * time.Millisecond)
		must(t, h.node.Close())
		require.ErrorIs(t, <-failed, occupancy.ErrClosed)
		_, err := h.Get(t.Context(), "r")
		require.ErrorIs(t, err, occupancy.ErrClosed)
	})
}

func TestGet_PartialErrorIfPeersMayBeUnknown(t *testing.T) {
	unknown := func(t *testing.T, h *host, want occupancy.Occupancy) {
		t.Helper()
		o, err := h.Get(t.Context(), "r")
		var e *cluster.PartialError
		require.ErrorAs(t, err, &e)
		require.Empty(t, e.Missing)
		require.Equal(t, "cluster: this node may not know all peers yet", err.Error())
		require.Equal(t, want, o)
	}
	bubble(t, "just after the start", func(t *testing.T) {
		net, _ := service(t, 2)
		c := start(t, net, "c")
		unknown(t, c, occ(0, 0))
		after(2 * beat)
		o, err := c.Get(t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(2, 0), o)
	})
	bubble(t, "bus disconnected", func(t *testing.T) {
		_, hosts := service(t, 1)
		hosts[0].bus.Disconnect()
		settle()
		unknown(t, hosts[0], occ(1, 0))
	})
	bubble(t, "more than WithMaxPeers", func(t *testing.T) {
		net, hosts := service(t, 1, cluster.WithMaxPeers(1))
		p, q := newPuppet(t, net, "p"), newPuppet(t, net, "q")
		p.heartbeat(0, nil)
		q.heartbeat(0, nil)
		p.bye()
		unknown(t, hosts[0], occ(1, 0))
	})
}

func TestGet_IgnoresInvalidAnswers(t *testing.T) {
	bubble(t, "wrong sender, receiver, query or counts", func(t *testing.T) {
		h, p := startWithPuppet(t)
		p.digest(0, 1, parts{"r": occ(3, 0)})
		after(2 * beat)
		got := make(chan error)
		var o occupancy.Occupancy
		go func() {
			var err error
			o, err = h.Get(context.Background(), "r")
			got <- err
		}()
		q := received[clusterpb.Query](p, cluster.KindQuery)
		require.Len(t, q, 1)
		require.Equal(t, []string{"r"}, q[0].Rooms)
		to := cluster.Subject{Kind: cluster.KindAnswer, Shard: shard(q[0].From)}
		right := func() *clusterpb.Answer {
			return &clusterpb.Answer{From: p.id, To: q[0].From, Id: q[0].Id, Connections: []uint32{8}, Members: []uint32{5}}
		}
		for _, spoil := range []func(*clusterpb.Answer){
			func(a *clusterpb.Answer) { a.From = []byte("another node....") },
			func(a *clusterpb.Answer) { a.To = []byte("another node....") },
			func(a *clusterpb.Answer) { a.Id++ },
			func(a *clusterpb.Answer) { a.Connections = []uint32{1, 2}; a.Members = a.Connections },
			func(a *clusterpb.Answer) { a.Connections, a.Members = nil, nil },
			func(a *clusterpb.Answer) { a.Members = nil },
			func(a *clusterpb.Answer) { a.Members[0] = 1 << 31 },
		} {
			a := right()
			spoil(a)
			p.send(to, a)
		}
		p.send(to, right())
		p.send(to, right()) // a duplicate
		must(t, <-got)
		require.Equal(t, occ(8, 5), o)
	})
}

var _ error = (*cluster.PartialError)(nil)

func TestPartialError_Unwraps(t *testing.T) {
	cause := errors.New("cause")
	require.ErrorIs(t, &cluster.PartialError{Missing: []string{"a"}, Err: cause}, cause)
}

func TestGet_WhileStartSubscribes_ReturnsPartialError(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		eng := occupancy.New()
		defer eng.Close()
		must(t, eng.Join("r"))
		started := make(chan *cluster.Node)
		go func() {
			node, err := cluster.Start(t.Context(), eng, slowSub{clustertest.NewNetwork(1).Bus("a")})
			if err != nil {
				t.Error(err)
			}
			started <- node
		}()
		after(time.Second)
		o, err := eng.Get(t.Context(), "r")
		var partial *cluster.PartialError
		require.ErrorAs(t, err, &partial)
		require.Empty(t, partial.Missing)
		require.Equal(t, occ(1, 0), o)
		must(t, (<-started).Close())
	})
}

func TestGet_EnforcesMaxCount(t *testing.T) {
	const most = 1000
	// get returns the result of Get if the peer answers with this number of connections. If
	// the number is 0, the peer does not answer.
	get := func(t *testing.T, h *host, p *puppet, answer uint32) (o occupancy.Occupancy, err error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			o, err = h.Get(t.Context(), "r")
		}()
		q := received[clusterpb.Query](p, cluster.KindQuery)
		require.Len(t, q, 1)
		if answer > 0 {
			p.send(cluster.Subject{Kind: cluster.KindAnswer, Shard: shard(q[0].From)}, &clusterpb.Answer{
				From: p.id, To: q[0].From, Id: q[0].Id, Connections: []uint32{answer}, Members: []uint32{0},
			})
		}
		<-done
		return o, err
	}
	bubble(t, "answer", func(t *testing.T) {
		h, p := startWithPuppet(t, cluster.WithMaxCount(most))
		p.digest(0, 1, parts{"r": occ(3, 0)})
		after(2 * beat)
		o, err := get(t, h, p, most)
		must(t, err)
		require.Equal(t, occ(most, 0), o)
		o, err = get(t, h, p, most+1)
		require.EqualError(t, err, "cluster: counts of "+p.name+" are missing: the answer exceeds the limit of WithMaxCount")
		require.Equal(t, occ(3, 0), o)
	})
	bubble(t, "last received counts", func(t *testing.T) {
		h, p := startWithPuppet(t, cluster.WithMaxCount(most))
		p.digest(0, 1, parts{"r": occ(most+1, 0)})
		require.Equal(t, occ(0, 0), h.Current("r"))
		o, err := get(t, h, p, 0)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, occ(0, 0), o)
	})
}
