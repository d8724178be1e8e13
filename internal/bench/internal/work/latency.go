package work

import (
	"math"
	"slices"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

// latency is the time from a change of a room until its subscriber has read the event,
// while others join and leave other rooms as load says. Rooms take turns, so that each
// was quiet for longer than the engine's interval when it changes.
func latency(samples int, load load, settle time.Duration) Work {
	name := "change to event/" + load.name
	w := Work{Name: name, Takes: both}
	for _, q := range quantiles {
		w.Cases = append(w.Cases, Case{Name: name + "/" + q.name, Unit: "ns"})
	}
	if load.pause == 0 && load.burst > 0 {
		w.Most = 3
	}
	if load.burst > 0 {
		w.Cases = append(w.Cases, Case{Name: name + "/join+leave meanwhile", Unit: "ns"})
	}
	w.Prepare = func(m peer.Maker) Task {
		p := m.Tells()
		if m.Name == peer.Engine {
			p.Close()
			p = m.New().(peer.Teller) // with its default interval
		}
		rooms := roomNames(2 * samples)
		told, busy := rooms[:samples], rooms[samples:]
		subs := make([]peer.Subscription, samples)
		for i, room := range told {
			subs[i] = p.Subscribe(room)
		}
		fill(p, busy)
		time.Sleep(settle)
		members := make([]*peer.Conn, samples)
		for i := range members {
			members[i] = peer.NewConn(1<<20 + i)
		}
		in := false
		pass := func(time.Duration) []float64 {
			stop := load.begin(p, busy)
			took := make([]float64, samples)
			for i, room := range told {
				time.Sleep(200 * time.Microsecond)
				start := time.Now()
				if in {
					p.Leave(room, members[i])
				} else {
					p.Join(room, members[i])
				}
				subs[i].Next()
				took[i] = float64(time.Since(start).Nanoseconds())
			}
			in = !in
			slices.Sort(took)
			var figures []float64
			for _, q := range quantiles {
				figures = append(figures, quantile(took, q.of))
			}
			if each := stop(); load.burst > 0 {
				figures = append(figures, each)
			}
			return figures
		}
		return Task{Pass: pass, Close: p.Close}
	}
	return w
}

var quantiles = []struct {
	name string
	of   float64
}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}}

// quantile is the least of the values that at least that part of them is not above.
func quantile(sorted []float64, q float64) float64 {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}
