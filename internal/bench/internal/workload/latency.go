package workload

import (
	"math"
	"slices"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// latency measures the time from a change of a room until the goroutine that reads the
// room's subscription has the event, while the load changes other rooms.
func latency(name string, load load, size Size) Workload {
	w := Workload{Name: "event latency/" + name, Supports: isCounterNotifier, MaxPasses: 3}
	for _, p := range percentiles {
		w.Cases = append(w.Cases, Case{Name: w.Name + "/" + p.name, Unit: "ns"})
	}
	w.Prepare = func(s impl.Spec) Runner {
		c := newChanger(s, size.LatencySamples, true)
		time.Sleep(size.Settle)
		pass := func(time.Duration) []float64 {
			stop := load(c.n, c.busy)
			times := c.changeAll()
			stop()
			slices.Sort(times)
			var figures []float64
			for _, p := range percentiles {
				figures = append(figures, percentile(times, p.fraction))
			}
			return figures
		}
		return Runner{Pass: pass, Close: c.n.Close}
	}
	return w
}

// busyHooksWithEvents measures how much longer the Joins and Leaves of busyHooks take if
// other rooms, which change at the same time, have subscribers.
func busyHooksWithEvents(size Size) Workload {
	const rounds = 5
	name, rooms := "busy hooks with events", max(1, size.LatencySamples/50)
	w := Workload{Name: name, Supports: isCounterNotifier, Cases: []Case{{Name: name, Unit: Factor}}, MaxPasses: 3}
	w.Prepare = func(s impl.Spec) Runner {
		with, without := newChanger(s, rooms, true), newChanger(s, rooms, false)
		time.Sleep(size.Settle)
		nsPerOp := func(c *changer) float64 {
			time.Sleep(size.WarmUp)
			begin, stop := time.Now(), busyHooks(c.n, c.busy)
			c.changeAll()
			ops := stop()
			return float64(time.Since(begin).Nanoseconds()) / float64(ops)
		}
		pass := func(time.Duration) []float64 {
			var factors []float64
			for range rounds {
				factors = append(factors, nsPerOp(with)/nsPerOp(without))
			}
			slices.Sort(factors)
			return []float64{percentile(factors, 0.5)}
		}
		return Runner{Pass: pass, Close: func() { with.n.Close(); without.n.Close() }}
	}
	return w
}

// changer changes rooms in turn, so that each room is idle for longer than the engine's
// interval before it changes again.
type changer struct {
	n             impl.Notifier
	rooms         []string
	subscriptions []impl.Subscription // of the rooms, or none
	members       []*impl.Conn        // one for each room
	joined        bool                // whether the members are in the rooms
	busy          []string            // other rooms, each with one connection
}

func newChanger(s impl.Spec, rooms int, subscribe bool) *changer {
	names := roomNames(rooms + 1_000)
	c := &changer{rooms: names[:rooms], busy: names[rooms:]}
	if s.Name == impl.Engine {
		c.n = s.NewCounter().(impl.Notifier) // with the default interval
	} else {
		c.n = s.NewNotifier()
	}
	for i, room := range c.rooms {
		c.members = append(c.members, impl.NewConn(1<<20+i))
		if subscribe {
			c.subscriptions = append(c.subscriptions, c.n.Subscribe(room))
		}
	}
	fill(c.n, c.busy)
	return c
}

// changeAll changes each room once. If the rooms have subscriptions, changeAll returns the
// nanoseconds from each change until another goroutine has read the event.
func (c *changer) changeAll() (times []float64) {
	arrivals := make(chan time.Time)
	for _, s := range c.subscriptions {
		go func() {
			s.Next()
			arrivals <- time.Now()
		}()
	}
	change := c.n.Join
	if c.joined {
		change = c.n.Leave
	}
	c.joined = !c.joined
	for i, room := range c.rooms {
		time.Sleep(200 * time.Microsecond)
		begin := time.Now()
		change(room, c.members[i])
		if c.subscriptions != nil {
			times = append(times, float64((<-arrivals).Sub(begin).Nanoseconds()))
		}
	}
	return times
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
