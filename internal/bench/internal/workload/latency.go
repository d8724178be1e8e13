package workload

import (
	"math"
	"slices"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// latency measures the time from a change of a room until the subscriber of the room has
// read the event, while background goroutines join and leave other rooms. The rooms change
// in turn, so each room is idle for longer than the engine's interval before it changes.
func latency(samples int, load load, settle time.Duration) Workload {
	name := "event latency/" + load.name
	w := Workload{Name: name, Supports: isCounterNotifier}
	for _, p := range percentiles {
		w.Cases = append(w.Cases, Case{Name: name + "/" + p.name, Unit: "ns"})
	}
	if load.pause == 0 && load.burst > 0 {
		w.MaxPasses = 3
	}
	if load.burst > 0 {
		w.Cases = append(w.Cases, Case{Name: name + "/join+leave", Unit: "ns"})
	}
	w.Prepare = func(s impl.Spec) Runner {
		var n impl.Notifier
		if s.Name == impl.Engine {
			n = s.NewCounter().(impl.Notifier) // with the default interval
		} else {
			n = s.NewNotifier()
		}
		rooms := roomNames(2 * samples)
		measured, busy := rooms[:samples], rooms[samples:]
		subscriptions := make([]impl.Subscription, samples)
		for i, room := range measured {
			subscriptions[i] = n.Subscribe(room)
		}
		fill(n, busy)
		time.Sleep(settle)
		members := make([]*impl.Conn, samples)
		for i := range members {
			members[i] = impl.NewConn(1<<20 + i)
		}
		joined := false
		pass := func(time.Duration) []float64 {
			stop := load.start(n, busy)
			times := make([]float64, samples)
			for i, room := range measured {
				time.Sleep(200 * time.Microsecond)
				start := time.Now()
				if joined {
					n.Leave(room, members[i])
				} else {
					n.Join(room, members[i])
				}
				subscriptions[i].Next()
				times[i] = float64(time.Since(start).Nanoseconds())
			}
			joined = !joined
			slices.Sort(times)
			var figures []float64
			for _, p := range percentiles {
				figures = append(figures, percentile(times, p.fraction))
			}
			if perOp := stop(); load.burst > 0 {
				figures = append(figures, perOp)
			}
			return figures
		}
		return Runner{Pass: pass, Close: n.Close}
	}
	return w
}

var percentiles = []struct {
	name     string
	fraction float64
}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}}

// percentile returns a percentile of the sorted values. For the fraction 0.99 it returns the
// smallest value v for which at least 99% of the values are less than or equal to v.
func percentile(sorted []float64, fraction float64) float64 {
	return sorted[max(0, int(math.Ceil(fraction*float64(len(sorted))))-1)]
}
