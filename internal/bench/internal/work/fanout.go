package work

import (
	"fmt"
	"runtime"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

// fanOut is the time from a change until each of so many subscribers has the event in
// its channel. All of them read before the next one, off the clock.
func fanOut(subscribers int, settle time.Duration) Work {
	name := fmt.Sprintf("event to all/subscribers=%d", subscribers)
	w := Work{Name: name, Takes: tells, Cases: []Case{{Name: name, Unit: "ns"}}}
	w.Prepare = func(m peer.Maker) Task {
		p := m.Tells()
		subs := make([]peer.Subscription, subscribers)
		for i := range subs {
			subs[i] = p.Subscribe("room")
		}
		time.Sleep(settle)
		member := peer.NewConn(1)
		in := false
		pass := func(d time.Duration) []float64 {
			var spent time.Duration
			events := 0
			runtime.GC()
			for begun := time.Now(); time.Since(begun) < d || events == 0; events++ {
				all := p.Told() + uint64(subscribers)
				start := time.Now()
				if in {
					p.Leave("room", member)
				} else {
					p.Join("room", member)
				}
				for p.Told() < all {
					runtime.Gosched()
				}
				spent += time.Since(start)
				in = !in
				for _, s := range subs {
					s.Drain()
				}
			}
			return []float64{float64(spent.Nanoseconds()) / float64(events)}
		}
		return Task{Pass: pass, Close: p.Close}
	}
	return w
}
