package workload

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// procs returns the number of processors. The workloads run at most one goroutine for each
// processor, except busyWorkers.
func procs() int { return runtime.GOMAXPROCS(0) }

// batch is the number of operations that a goroutine runs between two checks of whether to
// stop.
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
	run := func(d time.Duration) (ops int64) {
		stop := start(next, op)
		time.Sleep(d)
		defer waitForQueue()
		return stop()
	}
	run(max(d/2, warmUp))
	begin := time.Now()
	ops := run(d)
	return float64(time.Since(begin).Nanoseconds()) / float64(ops)
}

// start repeats op in several goroutines. next contains the number of the next operation of
// each goroutine. stop stops the goroutines and returns the number of operations.
func start(next []int, op func(goroutine, i int)) (stop func() int64) {
	var (
		stopped atomic.Bool
		total   atomic.Int64
		wg      sync.WaitGroup
	)
	for g, first := range next {
		wg.Go(func() {
			i := first
			for done := false; !done; done = stopped.Load() { // at least once
				for range batch {
					op(g, i)
					i++
				}
			}
			next[g] = i
			total.Add(int64(i - first))
		})
	}
	return func() int64 {
		stopped.Store(true)
		wg.Wait()
		return total.Load()
	}
}

// WaitUntilIdle blocks until the process uses no CPU time, but at most for a second. So
// deferred work of this process does not slow down the next process.
func WaitUntilIdle() {
	for begin := time.Now(); time.Since(begin) < time.Second; {
		before := cpu()
		time.Sleep(5 * time.Millisecond)
		if cpu()-before < time.Millisecond/2 {
			return
		}
	}
}
