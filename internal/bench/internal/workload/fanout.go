package workload

import (
	"fmt"
	"runtime"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// fanOut measures the time from a change until the channels of all subscribers contain the
// event. The subscribers read the event before the next change, outside the measured time.
func fanOut(subscribers int, settle time.Duration) Workload {
	name := fmt.Sprintf("fan-out/subscribers=%d", subscribers)
	w := Workload{Name: name, Supports: isNotifier, Cases: []Case{{Name: name, Unit: "ns"}}}
	w.Prepare = func(s impl.Spec) Runner {
		n := s.NewNotifier()
		subscriptions := make([]impl.Subscription, subscribers)
		for i := range subscriptions {
			subscriptions[i] = n.Subscribe("room")
		}
		time.Sleep(settle)
		member := impl.NewConn(1)
		joined := false
		pass := func(d time.Duration) []float64 {
			var elapsed time.Duration
			events := 0
			runtime.GC()
			for passStart := time.Now(); time.Since(passStart) < d || events == 0; events++ {
				target := n.Delivered() + uint64(subscribers)
				start := time.Now()
				if joined {
					n.Leave("room", member)
				} else {
					n.Join("room", member)
				}
				for n.Delivered() < target {
					runtime.Gosched()
				}
				elapsed += time.Since(start)
				joined = !joined
				for _, s := range subscriptions {
					s.Drain()
				}
			}
			return []float64{float64(elapsed.Nanoseconds()) / float64(events)}
		}
		return Runner{Pass: pass, Close: n.Close}
	}
	return w
}
