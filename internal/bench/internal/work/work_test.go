package work

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

func TestEveryWorkTakesItsPeers(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range All(Small) {
		for _, c := range w.Cases {
			require.False(t, seen[c.Name], "two cases are named %s", c.Name)
			seen[c.Name] = true
			require.NotEmpty(t, c.Unit)
		}
		for _, m := range peer.All {
			if !w.Takes(m) {
				continue
			}
			t.Run(w.Name+"/"+m.Name, func(t *testing.T) {
				task := w.Prepare(m)
				defer task.Close()
				for range 2 {
					figures := task.Pass(time.Millisecond)
					require.Len(t, figures, len(w.Cases))
					for i, f := range figures {
						if !w.Cases[i].Alone { // else it may be nothing
							require.Positive(t, f, w.Cases[i].Name)
						}
					}
				}
			})
		}
	}
}

// A pass must leave the counts as they were, or the next measures something else.
func TestAPassLeavesTheCountsAsTheyWere(t *testing.T) {
	w := visits("visits", []int{1, procs()}, 0, func(p peer.Peer) [][]string {
		names := roomNames(3)
		fill(p, names)
		t.Cleanup(func() {
			for _, name := range names {
				require.Equal(t, 1, p.Count(name))
			}
			p.Close()
		})
		var orders [][]string
		for range procs() {
			orders = append(orders, shuffled(names))
		}
		return orders
	})
	for _, m := range peer.All {
		if w.Takes(m) {
			w.Prepare(m).Pass(time.Millisecond)
		}
	}
}

func TestChurnGivesEachGoroutineRoomsOfItsOwn(t *testing.T) {
	owners := &owners{of: map[string]*peer.Conn{}}
	churn(10, 0).Prepare(peer.Maker{New: func() peer.Peer { return owners }}).Pass(time.Millisecond)
	require.NotEmpty(t, owners.of)
	require.False(t, owners.shared)
}

// owners is a peer that notices if two connections ever join the same room.
type owners struct {
	mu     sync.Mutex
	of     map[string]*peer.Conn
	shared bool
}

func (o *owners) Join(room string, c *peer.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if other := o.of[room]; other != nil && other != c {
		o.shared = true
	}
	o.of[room] = c
}

func (o *owners) Leave(string, *peer.Conn) {}
func (o *owners) Count(string) int         { return 0 }
func (o *owners) Close()                   {}

func TestAPassThatIsOverAtOnceHasAFigure(t *testing.T) {
	ops := 0
	each := perOp(0, 0, 1, func(_, i int) {
		require.Equal(t, ops, i, "each op once, the untimed ones too")
		ops++
	}, func() {})
	require.GreaterOrEqual(t, ops, batch)
	require.False(t, math.IsInf(each, 0))
	require.Positive(t, each)
}

func TestQuantile(t *testing.T) {
	values := make([]float64, 1_000)
	for i := range values {
		values[i] = float64(i + 1)
	}
	require.Equal(t, []float64{500, 990, 999}, []float64{quantile(values, 0.5), quantile(values, 0.99), quantile(values, 0.999)})
	require.Equal(t, 7.0, quantile([]float64{7}, 0.999))
	require.Equal(t, 1.0, quantile([]float64{1, 2}, 0.5))
}
