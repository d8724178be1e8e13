package workload

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// procs returns the number of processors. The join+leave workloads run at most one goroutine
// for each processor.
func procs() int { return runtime.GOMAXPROCS(0) }

// batch is the number of operations that a goroutine runs between two checks of the time.
const batch = 16

// nsPerOp runs op in the given number of goroutines for about d. It returns the elapsed
// nanoseconds divided by the number of operations of all goroutines, as `go test -bench`
// does. waitForQueue runs at the end of the measured time, and must wait until all queued
// operations are done.
//
// A warm-up precedes the measurement. It takes d/2 or warmUp, whichever is longer. In an
// idle engine, the first change of a room is published immediately, and takes longer than
// the following changes. The measured time then includes the work that the implementation
// deferred in the warm-up.
func nsPerOp(d, warmUp time.Duration, goroutines int, op func(goroutine, i int), waitForQueue func()) float64 {
	runtime.GC() // collect the garbage of earlier passes
	next := make([]int, goroutines)
	run(max(d/2, warmUp), next, op)
	waitForQueue()
	start := time.Now()
	ops := run(d, next, op)
	waitForQueue()
	return float64(time.Since(start).Nanoseconds()) / float64(ops)
}

// run runs op for d in several goroutines, and returns the number of operations. next
// contains the number of the next operation of each goroutine.
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
