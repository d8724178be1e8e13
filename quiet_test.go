package occupancy_test

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

// awoken is how often a goroutine of this program began to run, about: the runtime
// counts one in eight.
func awoken() uint64 {
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

func TestPromise7_NothingRunsWhileNothingChanges(t *testing.T) {
	// lives are what an engine may have behind it when it falls quiet.
	lives := map[string]func(t *testing.T, e *occupancy.Engine){
		"never used": func(*testing.T, *occupancy.Engine) {},
		"full of rooms": func(t *testing.T, e *occupancy.Engine) {
			for i := range 1000 {
				must(t, e.Join(fmt.Sprint(i)))
			}
		},
		"listened to": func(t *testing.T, e *occupancy.Engine) {
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
				must(t, e.Remote("node").Set(fmt.Sprint(i), occ(1, 1)), e.Join(fmt.Sprint(i)))
			}
		},
		"empty again": func(t *testing.T, e *occupancy.Engine) {
			node := e.Remote("node")
			for i := range 1000 {
				room := fmt.Sprint(i)
				s := subscribe(t, e, room)
				must(t, e.Join(room), node.Set(room, occ(1, 1)), e.Leave(room))
				s.Unsubscribe()
				e.Watch().Close()
			}
			node.Close()
		},
		"busy till now": func(t *testing.T, e *occupancy.Engine) {
			s := subscribe(t, e, "r")
			for range 1000 {
				must(t, e.Join("r"))
				time.Sleep(interval / 9)
			}
			waiting(t, s)
		},
	}
	for life, live := range lives {
		bubble(t, life, func(t *testing.T) {
			e := start(t)
			live(t, e)
			time.Sleep(2 * interval)
			synctest.Wait()
			stats := e.Stats()
			runtime.GC() // so that none is due
			runs, allocs := awoken(), mallocs()
			time.Sleep(24 * time.Hour) // 864,000 intervals
			synctest.Wait()
			require.Less(t, mallocs()-allocs, uint64(500)) // a few are the test's and the runtime's own
			require.Less(t, awoken()-runs, uint64(5000))
			require.Equal(t, stats, e.Stats())
		})
	}
}

// goroutines is how many there are in this bubble. The runtime's own number has
// those of other tests, and of their ends.
func goroutines(t *testing.T) int {
	synctest.Wait()
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	own := regexp.MustCompile(`synctest bubble \d+\]`).Find(stacks) // this one is listed first
	require.NotEmpty(t, own)
	return bytes.Count(stacks, own)
}

func TestPromise7_OneGoroutineHoweverMuchThereIs(t *testing.T) {
	bubble(t, "and none after Close", func(t *testing.T) {
		before := goroutines(t)
		e := occupancy.New()
		require.Equal(t, before+1, goroutines(t))
		for i := range 50 {
			room := fmt.Sprint(i)
			subscribe(t, e, room)
			e.Watch()
			must(t, e.Join(room), e.Remote(room).Set(room, occ(1, 1)))
			_, err := e.Connect(room)
			must(t, err)
		}
		time.Sleep(interval / 2)
		require.Equal(t, before+1, goroutines(t))
		must(t, e.Close())
		require.Equal(t, before, goroutines(t))
	})
}
