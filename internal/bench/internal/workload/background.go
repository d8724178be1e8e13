package workload

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// load describes the work of background goroutines, one for each processor. Each goroutine
// repeats two steps: it joins and leaves a number of rooms, and then pauses.
type load struct {
	name  string
	burst int // rooms joined and left before each pause; 0: no background goroutines
	pause time.Duration
}

var (
	noLoad = load{name: "idle"}
	// fixedLoad is the same work for every implementation. Every implementation can do much
	// more work than this.
	fixedLoad = load{name: "fixed load", burst: 50, pause: time.Millisecond}
	// fullLoad is as much work as the implementation can do.
	fullLoad = load{name: "full load", burst: 1_000}
)

// start starts the background goroutines. stop stops them and returns the nanoseconds for
// a Join and a Leave, computed as in nsPerOp.
func (l load) start(c impl.Counter, rooms []string) (stop func() (nsPerOp float64)) {
	var (
		stopped atomic.Bool
		total   atomic.Int64
		wg      sync.WaitGroup
	)
	start := time.Now()
	if l.burst > 0 {
		for g := range procs() {
			wg.Go(func() {
				conn := impl.NewConn(1<<30 + g)
				order := shuffled(rooms)
				for i := 0; !stopped.Load(); {
					for range l.burst {
						room := order[i%len(order)]
						c.Join(room, conn)
						c.Leave(room, conn)
						i++
					}
					total.Add(int64(l.burst))
					if l.pause > 0 {
						time.Sleep(l.pause)
					}
				}
			})
		}
	}
	return func() float64 {
		stopped.Store(true)
		wg.Wait()
		return float64(time.Since(start).Nanoseconds()) / float64(max(1, total.Load()))
	}
}
