package work

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/occupancy/occupancy/bench/internal/peer"
)

// latency is the time from a change of a room until its subscriber has read the event,
// where nothing else happens, or where as many goroutines as there are processors
// join and leave other rooms. Rooms take turns, so that each was quiet for longer than
// the engine's interval when it changes.
func latency(samples int, loaded bool, settle time.Duration) Work {
	name := "change to event/idle"
	if loaded {
		name = "change to event/full load"
	}
	w := Work{Name: name, Takes: both, Cases: []Case{
		{Name: name + "/p50", Unit: "ns"}, {Name: name + "/p99", Unit: "ns"}, {Name: name + "/p99.9", Unit: "ns"}}}
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
			if loaded {
				defer load(p, busy)()
			}
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
			return []float64{quantile(took, 0.5), quantile(took, 0.99), quantile(took, 0.999)}
		}
		return Task{Pass: pass, Close: p.Close}
	}
	return w
}

// load keeps every processor busy until it is stopped.
func load(p peer.Peer, rooms []string) (stop func()) {
	var (
		over atomic.Bool
		wg   sync.WaitGroup
	)
	for g := range procs() {
		wg.Go(func() {
			c := peer.NewConn(1<<30 + 1 + g)
			order := shuffled(rooms)
			for i := 0; !over.Load(); i++ {
				p.Join(order[i%len(order)], c)
				p.Leave(order[i%len(order)], c)
			}
		})
	}
	return func() {
		over.Store(true)
		wg.Wait()
	}
}

// quantile is the least value that at least that part of them is not above.
func quantile(sorted []float64, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
