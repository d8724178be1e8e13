package workload

import (
	"fmt"
	"runtime"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// idleCPU measures the CPU time of a process in which nothing changes. Each room has one
// connection. If the implementation sends events, some of the rooms have a subscriber.
func idleCPU(size Size) Workload {
	name := fmt.Sprintf("idle CPU/rooms=%d", size.IdleRooms)
	w := Workload{Name: name, Supports: isCounter, MaxPasses: 3, Cases: []Case{{Name: name, Unit: "µs/s", NoRatio: true}}}
	w.Prepare = func(s impl.Spec) Runner {
		c := s.NewCounter()
		names := roomNames(size.IdleRooms)
		if n, ok := c.(impl.Notifier); ok {
			for _, name := range names[:size.IdleSubscribers] {
				n.Subscribe(name)
			}
		}
		fill(c, names)
		runtime.GC()
		time.Sleep(size.Settle)
		pass := func(time.Duration) []float64 {
			before, start := cpu(), time.Now()
			time.Sleep(size.Idle)
			return []float64{float64((cpu() - before).Microseconds()) / time.Since(start).Seconds()}
		}
		return Runner{Pass: pass, Close: c.Close}
	}
	return w
}

// WaitUntilIdle blocks until the process uses no CPU time, but at most for a second. So
// deferred work of this process does not slow down the next process.
func WaitUntilIdle() {
	for start := time.Now(); time.Since(start) < time.Second; {
		before := cpu()
		time.Sleep(5 * time.Millisecond)
		if cpu()-before < time.Millisecond/2 {
			return
		}
	}
}
