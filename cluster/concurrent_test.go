package cluster_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

// All methods are called concurrently while nodes start and stop. At the end, all counts
// are exact.
func TestNode_ConcurrentUse_CountsAreExactAtEnd(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		net.SetFaults(clustertest.Faults{Loss: 0.1, Reorder: 0.1, MinDelay: time.Millisecond, MaxDelay: 10 * time.Millisecond})
		var hosts []*host
		for _, name := range []string{"a", "b", "c"} {
			hosts = append(hosts, start(t, net, name, cluster.WithForget(beat)))
		}
		const rooms = 20
		var mu sync.Mutex
		truth := map[string]int{}
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 1))
				h, mine := hosts[i%3], map[string]int{}
				for range 400 {
					room := room(r.IntN(rooms))
					switch {
					case r.IntN(20) == 0:
						var partial *cluster.PartialError
						if _, err := h.Get(t.Context(), room); err != nil && !errors.As(err, &partial) && !errors.Is(err, occupancy.ErrClosed) {
							t.Errorf("Get: %v", err)
						}
					case r.IntN(20) == 0:
						h.node.Health()
					case mine[room] > 0 && r.IntN(2) == 0:
						if err := h.Leave(room); err != nil {
							t.Errorf("Leave: %v", err)
						}
						mine[room]--
					default:
						if err := h.Join(room); err != nil {
							t.Errorf("Join: %v", err)
						}
						mine[room]++
					}
					time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
				}
				mu.Lock()
				defer mu.Unlock()
				for room, n := range mine {
					truth[room] += n
				}
			})
		}
		// A fourth node starts and stops on one engine. Several goroutines close it.
		d := occupancy.New()
		defer d.Close()
		must(t, d.Join("d"))
		for i := range 10 {
			node, err := cluster.Start(t.Context(), d, net.Bus(room(i)), cluster.WithName("d"))
			must(t, err)
			time.Sleep(300 * time.Millisecond)
			for range 3 {
				wg.Go(func() { _ = node.Close() })
			}
			must(t, node.Close())
		}
		wg.Wait()
		net.SetFaults(clustertest.Faults{})
		after(lease + 4*beat) // if a Bye was lost, the lease expires
		truth["d"] = 0
		for _, h := range hosts {
			for room, n := range truth {
				require.Equal(t, occ(n, 0), h.Current(room), "%s", room)
			}
			require.False(t, h.node.Health().Degraded)
		}
	})
}
