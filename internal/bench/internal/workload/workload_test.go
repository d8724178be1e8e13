package workload

import (
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

func TestAll_RunWithEverySupportedImplementation(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range All(Small) {
		for _, c := range w.Cases {
			require.False(t, seen[c.Name], "two cases are named %s", c.Name)
			seen[c.Name] = true
			require.NotEmpty(t, c.Unit)
		}
		for _, s := range impl.All {
			if !w.Supports(s) {
				continue
			}
			t.Run(w.Name+"/"+s.Name, func(t *testing.T) {
				runner := w.Prepare(s)
				defer runner.Close()
				for range 2 {
					figures := runner.Pass(time.Millisecond)
					require.Len(t, figures, len(w.Cases))
					for i, f := range figures {
						require.Positive(t, f, w.Cases[i].Name)
					}
				}
			})
		}
	}
}

// The next pass must measure rooms with the same counts.
func TestVisitRooms_PassRestoresCounts(t *testing.T) {
	w := visitRooms("visits", isCounter, func(c impl.Counter) [][]string {
		names := roomNames(3)
		fill(c, names)
		t.Cleanup(func() {
			for _, name := range names {
				require.Equal(t, 1, c.Count(name))
			}
			c.Close()
		})
		var orders [][]string
		for range procs() {
			orders = append(orders, shuffled(names))
		}
		return orders
	}, 0)
	for _, s := range impl.All {
		if w.Supports(s) {
			w.Prepare(s).Pass(time.Millisecond)
		}
	}
}

func TestJoinLeaveChurn_GoroutinesShareNoRoom(t *testing.T) {
	c := &roomOwners{owners: map[string]*impl.Conn{}}
	joinLeaveChurn(10, 0).Prepare(impl.Spec{NewCounter: func() impl.Counter { return c }}).Pass(time.Millisecond)
	require.NotEmpty(t, c.owners)
	require.False(t, c.shared)
}

// roomOwners is a Counter that records whether two connections ever joined the same room.
type roomOwners struct {
	mu     sync.Mutex
	owners map[string]*impl.Conn
	shared bool
}

func (o *roomOwners) Join(room string, c *impl.Conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if other := o.owners[room]; other != nil && other != c {
		o.shared = true
	}
	o.owners[room] = c
}

func (o *roomOwners) Leave(string, *impl.Conn) {}
func (o *roomOwners) Count(string) int         { return 0 }
func (o *roomOwners) Close()                   {}

func TestNsPerOp_ZeroDuration(t *testing.T) {
	ops := 0
	ns := nsPerOp(0, 0, 1, func(_, i int) {
		require.Equal(t, ops, i, "warm-up and measurement number the operations consecutively")
		ops++
	}, func() {})
	require.GreaterOrEqual(t, ops, batch)
	require.False(t, math.IsInf(ns, 0))
	require.Positive(t, ns)
}

func TestPercentile(t *testing.T) {
	values := make([]float64, 1_000)
	for i := range values {
		values[i] = float64(i + 1)
	}
	require.Equal(t, []float64{500, 990, 999}, []float64{percentile(values, 0.5), percentile(values, 0.99), percentile(values, 0.999)})
	require.Equal(t, 7.0, percentile([]float64{7}, 0.999))
	require.Equal(t, 1.0, percentile([]float64{1, 2}, 0.5))
}
