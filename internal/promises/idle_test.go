package promises_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"runtime"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// wakeUps returns approximately how often a goroutine of this program began to run: the
// runtime counts one in eight.
func wakeUps() uint64 {
	s := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(s)
	var n uint64
	for _, c := range s[0].Value.Float64Histogram().Counts {
		n += c
	}
	return n * 8
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

func TestIdle_NoWakeUpAndNoAllocation(t *testing.T) {
	// histories are what the engine did before it became idle.
	histories := map[string]func(t *testing.T, e *occupancy.Engine){
		"never used": func(*testing.T, *occupancy.Engine) {},
		"many rooms": func(t *testing.T, e *occupancy.Engine) {
			for i := range 1000 {
				must(t, e.Join(fmt.Sprint(i)))
			}
		},
		"subscribers and watchers": func(t *testing.T, e *occupancy.Engine) {
			for i := range 100 {
				subscribe(t, e, fmt.Sprint(i))
				s := subscribe(t, e, fmt.Sprint(i))
				record(s)
				w := watch(t, e)
				go func() {
					for {
						if _, err := w.Next(context.Background()); err != nil {
							return
						}
					}
				}()
				watch(t, e)
				must(t, remote(t, e, "node").Set(part(fmt.Sprint(i), occ(1, 1))), e.Join(fmt.Sprint(i)))
			}
		},
		"emptied": func(t *testing.T, e *occupancy.Engine) {
			node := remote(t, e, "node")
			for i := range 1000 {
				room := fmt.Sprint(i)
				s := subscribe(t, e, room)
				must(t, e.Join(room), node.Set(part(room, occ(1, 1))), e.Leave(room))
				s.Unsubscribe()
				must(t, watch(t, e).Close())
			}
			node.Close()
		},
		"leases that linger": func(t *testing.T, e *occupancy.Engine) {
			for i := range 1000 {
				connectAs(t, e, fmt.Sprint(i%10), fmt.Sprint(i)).Linger(25*time.Hour + time.Duration(i))
			}
		},
		"just busy": func(t *testing.T, e *occupancy.Engine) {
			s := subscribe(t, e, "r")
			for range 1000 {
				must(t, e.Join("r"))
				time.Sleep(interval / 9)
			}
			receive(t, s)
		},
	}
	for name, history := range histories {
		bubble(t, name, func(t *testing.T) {
			e := newEngine(t)
			history(t, e)
			time.Sleep(2 * interval)
			synctest.Wait()
			stats := e.Stats()
			runtime.GC() // so that none runs meanwhile
			runs, allocs := wakeUps(), mallocs()
			time.Sleep(24 * time.Hour) // 864,000 intervals
			synctest.Wait()
			require.Less(t, mallocs()-allocs, uint64(500)) // the test and the runtime allocate a little
			require.Less(t, wakeUps()-runs, uint64(5000))
			require.Equal(t, stats, e.Stats())
		})
	}
}

// goroutines returns the number of goroutines in this bubble. The runtime's number
// includes those of other tests.
func goroutines(t *testing.T) int {
	synctest.Wait()
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	own := regexp.MustCompile(`synctest bubble \d+\]`).Find(stacks) // this goroutine is listed first
	require.NotEmpty(t, own)
	return bytes.Count(stacks, own)
}

func TestIdle_OneGoroutinePerEngine(t *testing.T) {
	bubble(t, "whatever is open, and none after Close", func(t *testing.T) {
		before := goroutines(t)
		e := occupancy.New()
		require.Equal(t, before+1, goroutines(t))
		for i := range 50 {
			room := fmt.Sprint(i)
			subscribe(t, e, room)
			watch(t, e)
			must(t, e.Join(room), remote(t, e, room).Set(part(room, occ(1, 1))))
			_, err := e.Connect(room)
			must(t, err)
		}
		time.Sleep(interval / 2)
		require.Equal(t, before+1, goroutines(t))
		must(t, e.Close())
		require.Equal(t, before, goroutines(t))
	})
}
