package work

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// procs is how many goroutines a case with more than one has.
func procs() int { return runtime.GOMAXPROCS(0) }

// batch is how often op runs between two looks at the clock's flag.
const batch = 16

// perOp runs op in so many goroutines for about d, and is the nanoseconds for one:
// the time that passed by the number of ops of all goroutines, as `go test -bench`
// has it. last runs at the end, on the clock: it waits for what op only queued. For
// half of d or warm before, off the clock, a peer can get into its stride: after quiet
// the first changes of a room may cost more than those that follow, and what a peer
// puts off is to be paid on the clock like all else.
func perOp(d, warm time.Duration, goroutines int, op func(goroutine, i int), last func()) float64 {
	runtime.GC() // what the peer left behind before is not this pass's
	next := make([]int, goroutines)
	run(max(d/2, warm), next, op)
	last()
	start := time.Now()
	ops := run(d, next, op)
	last()
	return float64(time.Since(start).Nanoseconds()) / float64(ops)
}

// run goes on with each goroutine's next op, and is how many there were.
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
			for done := false; !done; done = stop.Load() { // once at least
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
