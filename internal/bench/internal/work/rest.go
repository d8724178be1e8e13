package work

import (
	"fmt"
	"runtime"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

// rest is the processor time that a process takes in which nothing happens: rooms of
// one connection each, and where the peer has them subscribers, one to a room.
func rest(size Size) Work {
	name := fmt.Sprintf("at rest/rooms=%d", size.RestRooms)
	w := Work{Name: name, Takes: counts, Most: 3, Cases: []Case{{Name: name, Unit: "µs/s", Alone: true}}}
	w.Prepare = func(m peer.Maker) Task {
		p := m.New()
		names := roomNames(size.RestRooms)
		if t, ok := p.(peer.Teller); ok {
			for _, name := range names[:size.RestSubscribers] {
				t.Subscribe(name)
			}
		}
		fill(p, names)
		runtime.GC()
		time.Sleep(size.Settle)
		pass := func(time.Duration) []float64 {
			before, start := cpu(), time.Now()
			time.Sleep(size.Watch)
			return []float64{float64((cpu() - before).Microseconds()) / time.Since(start).Seconds()}
		}
		return Task{Pass: pass, Close: p.Close}
	}
	return w
}

// Calm waits until the process does nothing any more, for a second at most: what a
// peer puts off must not be done while another is measured.
func Calm() {
	for begun := time.Now(); time.Since(begun) < time.Second; {
		before := cpu()
		time.Sleep(5 * time.Millisecond)
		if cpu()-before < time.Millisecond/2 {
			return
		}
	}
}
