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

func TestGet_AsksEveryLivePeer(t *testing.T) {
	bubble(t, "and so knows what was not flushed yet", func(t *testing.T) {
		_, hosts := service(t, 3)
		hosts[0].join(t, "r", 1)
		soon()
		hosts[0].join(t, "r", 1)
		soon()
		require.Equal(t, occ(4, 0), hosts[1].Current("r"))
		begin := time.Now()
		o, err := hosts[1].Get(t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(5, 0), o)
		require.Zero(t, time.Since(begin))
	})
	bubble(t, "many at a time", func(t *testing.T) {
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
	bubble(t, "of whom there may be none", func(t *testing.T) {
		_, hosts := service(t, 1)
		o, err := hosts[0].Get(t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(1, 0), o)
	})
}

func TestGet_NamesWhoDidNotAnswer(t *testing.T) {
	// partial requires a PartialError and returns it.
	partial := func(t *testing.T, err error, missing ...string) *cluster.PartialError {
		t.Helper()
		var e *cluster.PartialError
		require.ErrorAs(t, err, &e)
		require.Equal(t, missing, e.Missing)
		return e
	}
	bubble(t, "after its deadline, with what was last heard of them", func(t *testing.T) {
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
	bubble(t, "or that of the caller", func(t *testing.T) {
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
	bubble(t, "and does not wait for those who are suspect", func(t *testing.T) {
		net, hosts := service(t, 5)
		net.Partition([]string{"a"})
		after(10 * time.Second) // held
		begin := time.Now()
		o, err := hosts[0].Get(t.Context(), "r")
		partial(t, err, "b", "c", "d", "e")
		require.Equal(t, occ(5, 0), o)
		require.Zero(t, time.Since(begin))
	})
	bubble(t, "or where it cannot ask", func(t *testing.T) {
		_, hosts := service(t, 2)
		hosts[0].bus.Disconnect()
		begin := time.Now()
		o, err := hosts[0].Get(t.Context(), "r")
		partial(t, err, "b")
		require.ErrorIs(t, err, clustertest.ErrDisconnected)
		require.Equal(t, occ(2, 0), o)
		require.Zero(t, time.Since(begin))
	})
	bubble(t, "or where it stands still itself", func(t *testing.T) {
		net, hosts := service(t, 2)
		asked := 0
		net.Tap(func(_ string, m cluster.Message) {
			if m.Subject.Kind == cluster.KindQuery {
				asked++
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
		require.Equal(t, 1, asked) // and not for those who have gone
	})
	bubble(t, "and waits no longer for one that leaves", func(t *testing.T) {
		h, p := watched(t)
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
	bubble(t, "while the node is closed", func(t *testing.T) {
		h, _ := watched(t)
		failed := make(chan error)
		go func() {
			_, err := h.Get(context.Background(), "r")
			failed <- err
		}()
		after(10 * time.Millisecond)
		must(t, h.node.Close())
		require.ErrorIs(t, <-failed, occupancy.ErrClosed)
		o, err := h.Get(t.Context(), "r") // no peers any more
		must(t, err)
		require.Equal(t, occupancy.Occupancy{}, o)
	})
}

func TestGet_SaysWhereNotAllMayBeKnown(t *testing.T) {
	unknown := func(t *testing.T, h *host, want occupancy.Occupancy) {
		t.Helper()
		o, err := h.Get(t.Context(), "r")
		var e *cluster.PartialError
		require.ErrorAs(t, err, &e)
		require.Empty(t, e.Missing)
		require.Equal(t, "cluster: there may be peers that this node does not know yet", err.Error())
		require.Equal(t, want, o)
	}
	bubble(t, "which is just after the start", func(t *testing.T) {
		net, _ := service(t, 2)
		c := start(t, net, "c")
		unknown(t, c, occ(0, 0))
		after(2 * beat)
		o, err := c.Get(t.Context(), "r")
		must(t, err)
		require.Equal(t, occ(2, 0), o)
	})
	bubble(t, "without a connection", func(t *testing.T) {
		_, hosts := service(t, 1)
		hosts[0].bus.Disconnect()
		soon()
		unknown(t, hosts[0], occ(1, 0))
	})
	bubble(t, "and with more peers than may be", func(t *testing.T) {
		net, hosts := service(t, 1, cluster.WithMaxPeers(1))
		p, q := newPuppet(t, net, "p"), newPuppet(t, net, "q")
		p.heartbeat(0, nil)
		q.heartbeat(0, nil)
		p.bye()
		unknown(t, hosts[0], occ(1, 0))
	})
}

func TestGet_BelievesOnlyWhoWasAsked(t *testing.T) {
	bubble(t, "and what can be", func(t *testing.T) {
		h, p := watched(t)
		p.digest(0, 1, parts{"r": occ(3, 0)})
		after(2 * beat)
		got := make(chan error)
		var o occupancy.Occupancy
		go func() {
			var err error
			o, err = h.Get(context.Background(), "r")
			got <- err
		}()
		q := heard[clusterpb.Query](p, cluster.KindQuery)
		require.Len(t, q, 1)
		require.Equal(t, []string{"r"}, q[0].Rooms)
		to := cluster.Subject{Kind: cluster.KindAnswer, Shard: shard(q[0].From)}
		right := func() *clusterpb.Answer {
			return &clusterpb.Answer{From: p.id, To: q[0].From, Id: q[0].Id, Connections: []uint32{8}, Members: []uint32{5}}
		}
		for _, spoil := range []func(*clusterpb.Answer){
			func(a *clusterpb.Answer) { a.From = []byte("somebody else...") },
			func(a *clusterpb.Answer) { a.To = []byte("somebody else...") },
			func(a *clusterpb.Answer) { a.Id++ },
			func(a *clusterpb.Answer) { a.Connections = []uint32{1, 2}; a.Members = a.Connections },
			func(a *clusterpb.Answer) { a.Connections, a.Members = nil, nil },
			func(a *clusterpb.Answer) { a.Members = nil },
			func(a *clusterpb.Answer) { a.Members[0] = 1 << 31 },
		} {
			a := right()
			spoil(a)
			p.say(to, a)
		}
		p.say(to, right())
		p.say(to, right()) // again
		must(t, <-got)
		require.Equal(t, occ(8, 5), o)
	})
}

var _ error = (*cluster.PartialError)(nil)

func TestPartialError_Unwraps(t *testing.T) {
	cause := errors.New("cause")
	require.ErrorIs(t, &cluster.PartialError{Missing: []string{"a"}, Err: cause}, cause)
}
