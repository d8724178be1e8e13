package workload

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// procs returns the number of goroutines of a case with several.
func procs() int { return runtime.GOMAXPROCS(0) }

// batch is how many operations a goroutine runs before it checks whether time is up.
const batch = 16

// nsPerOp runs op in the given number of goroutines for about d. It returns the elapsed
// nanoseconds divided by the number of operations of all goroutines, as `go test -bench`
// does. last runs at the end of the measured time; it must wait for operations that are
// only queued.
//
// The measurement follows a warm-up of d/2, or warmUp if that is longer. In an engine that
// was idle the first change of a room is published immediately and costs more than the
// following ones. After the warm-up, work that an implementation has deferred falls into
// the measured time.
func nsPerOp(d, warmUp time.Duration, goroutines int, op func(goroutine, i int), last func()) float64 {
	runtime.GC() // collect the garbage of earlier passes
	next := make([]int, goroutines)
	run(max(d/2, warmUp), next, op)
	last()
	start := time.Now()
	ops := run(d, next, op)
	last()
	return float64(time.Since(start).Nanoseconds()) / float64(ops)
}

// run runs op for d in one goroutine for each element of next, which holds the number of
// the goroutine's next operation. It returns the number of operations.
func run(d time.Duration, next []int, op func(goroutine, i int)) int64 {
	var (
		stop  atomic.Bool
		total atomic.Int64
		wg    sync.WaitGroup
	)
	timer := time.AfterFunc(d, func() { stop.Store(true) })
	defer timer.Stop()
	for g, first := range next {
		wg.Go(func() {
			i := first
			for done := false; !done; done = stop.Load() { // at least once
				for range batch {
					op(g, i)
					i++
				}
			}
			next[g] = i
			total.Add(int64(i - first))
		})
	}
	wg.Wait()
	return total.Load()
}
