package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func small(mode string) config {
	return config{
		mode: mode, nodes: 24, aggregators: 3, rooms: 500, connections: 1500, changes: 600, probes: 60, zipf: 0.9,
		flush: 200 * time.Millisecond, delay: time.Millisecond, skew: 10 * time.Millisecond, duration: 3 * time.Second,
	}
}

func TestRun_EveryNodeIsExact(t *testing.T) {
	for _, mode := range []string{"aggregators", "mesh"} {
		for _, users := range []bool{false, true} {
			c := small(mode)
			c.users = users
			r, err := run(c)
			require.NoError(t, err)
			nodes := 24
			if mode == "aggregators" {
				nodes++ // the observer
			}
			require.Equal(t, nodes, r.exact)
			require.Greater(t, len(r.latencies), 60*3)
			require.Less(t, percentile(r.latencies, 100), 250*time.Millisecond)

			// The computed figures are those of mode mesh.
			mesh := r.computeMesh()
			require.InEpsilon(t, 24*6, mesh.messages, 0.02)
			if u := r.usage[plain]; mode == "mesh" {
				require.InEpsilon(t, float64(u.sum.messages)/24/3, mesh.messages, 0.02)
				require.InEpsilon(t, float64(u.sum.bytes)/24/3, mesh.bytes, 0.06)
			}
		}
	}
}

func TestWrong_ReportsEveryDifference(t *testing.T) {
	for _, mode := range []string{"aggregators", "mesh"} {
		l := newLoad(newSim(small(mode)))
		for _, n := range l.nodes {
			n.start()
		}
		l.advance(5 * time.Second)
		for _, n := range l.nodes {
			if n.role == aggregator {
				continue
			}
			require.NoError(t, l.wrong(n))
			parts := n.tables[0].parts
			for room, part := range parts {
				delete(parts, room)
				require.Error(t, l.wrong(n))
				parts["unknown"] = part
				require.Error(t, l.wrong(n))
				parts[room] = part
				require.Error(t, l.wrong(n))
				delete(parts, "unknown")
				require.NoError(t, l.wrong(n))
				part.Occupancy.Connections++
				parts[room] = part
				require.Error(t, l.wrong(n))
				break
			}
		}
	}
}
