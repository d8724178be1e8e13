//go:build unix

package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

var allFaults = flag.Bool("faults", false, "cause all faults of the README's table and print the measured times")

// Five processes, two of them seeds, with clients on each:
//
//	left ── two links ─ right        seeds
//	 │                  │   │
//	near              far1 far2
//
// After each fault, the counts of all chats become correct and stay correct. The time is
// printed beside its target but not asserted, because machines differ.
func TestClusterFaults(t *testing.T) {
	f := newFleet(t)
	// Each seed reaches the other through a link.
	one, two, server, other := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	toRight, toLeft := newLink(t, two), newLink(t, one)
	left := f.add("left", "-cluster", "-cluster-listen", one, "-cluster-client", server, "-cluster-seeds", toRight.address())
	right := f.add("right", "-cluster", "-cluster-listen", two, "-cluster-client", other, "-cluster-seeds", toLeft.address())
	near := f.add("near", "-nats", server)
	far1 := f.add("far1", "-nats", other)
	far2 := f.add("far2", "-nats", other)
	for _, p := range f.chats {
		p.start()
		p.connect("lobby", 5)
		p.connect(p.name, 2)
	}
	f.waitCorrect(time.Now())

	var rows []row
	measured := func(what, target string, took time.Duration) {
		rows = append(rows, row{what, target, fmt.Sprintf("%.2f s", took.Seconds())})
		t.Logf("%s: %v", what, took)
	}
	restart := func(p *process, n int) {
		p.start()
		p.connect("lobby", n)
		f.waitCorrect(time.Now())
	}

	killed := time.Now()
	far2.kill()
	measured("kill -9 of a node until its counts are removed", "6.5 s", f.waitCorrect(killed))
	restart(far2, 5)

	// Fewer clients reconnect than were counted, so no intermediate sum equals the final one.
	killed = time.Now()
	far1.kill()
	far1.start()
	far1.connect("lobby", 2)
	measured("kill -9 and restart under the same name, from the kill", "2 s", f.waitCorrect(killed))

	stopped := time.Now()
	far2.signal(syscall.SIGTERM)
	far2.waitExited()
	measured("SIGTERM, from the signal", "0.1 s", f.waitCorrect(stopped))
	require.Contains(t, far2.output.String(), "stopped\n")
	restart(far2, 4)

	if *allFaults {
		rows = append(rows, idle(f, near, far2))

		far1.signal(syscall.SIGSTOP)
		changes(t, 10*time.Second, right, near, far2)
		healed := time.Now()
		far1.signal(syscall.SIGCONT)
		measured("10 s SIGSTOP of a node, from SIGCONT", "2.5 s", f.waitCorrect(healed))

		toRight.cut()
		toLeft.cut()
		changes(t, 10*time.Second, left, right, near, far1, far2)
		for _, p := range []*process{left, near} { // the minority
			f.until("the minority is degraded", func() error {
				h, err := p.health()
				if err == nil && !h.Degraded {
					err = fmt.Errorf("%s is not degraded: %s", p.name, marshal(h))
				}
				return err
			})
		}
		healed = time.Now()
		toRight.mend()
		toLeft.mend()
		measured("10 s network split of 2 and 3 nodes, from its end", "2.5 s", f.waitCorrect(healed))

		left.signal(syscall.SIGSTOP)
		changes(t, 10*time.Second, right, near, far1, far2)
		healed = time.Now()
		left.signal(syscall.SIGCONT)
		measured("10 s SIGSTOP of a seed, from SIGCONT", "2.5 s", f.waitCorrect(healed))

		killed = time.Now()
		right.kill() // its NATS clients reconnect to left
		measured("kill -9 of a seed that others are connected to, until its counts are removed", "6.5 s", f.waitCorrect(killed))
		restart(right, 5)

		killed = time.Now()
		for _, p := range []*process{near, far1, far2} {
			p.kill()
		}
		measured("kill -9 of 3 of 5 nodes at once, until their counts are removed", "21.5 s", f.waitCorrect(killed))
	}
	f.staysCorrect()
	if *allFaults {
		fmt.Print(table(rows))
	}
}

// row is a row of the printed table.
type row struct{ what, target, measured string }

func table(rows []row) string {
	s := "| what | target | measured |\n|---|--:|--:|\n"
	for _, r := range rows {
		s += fmt.Sprintf("| %s | %s | %s |\n", r.what, r.target, r.measured)
	}
	return s
}

// changes connects and disconnects clients of the chats for the time d.
func changes(t *testing.T, d time.Duration, chats ...*process) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(rand.N(100 * time.Millisecond)) {
		p := chats[rand.IntN(len(chats))]
		if len(p.clients) > 6 {
			p.disconnectLast()
		} else {
			p.connect("lobby", 1+rand.IntN(2))
		}
	}
}

// idle measures the time from a change on one chat until a client of another receives it.
func idle(f *fleet, from, to *process) row {
	f.t.Helper()
	actor, observer := from.clients[0], to.clients[0]
	var took []time.Duration
	for range 100 {
		time.Sleep(rand.N(500 * time.Millisecond))
		began := time.Now()
		if actor.present {
			actor.exit(f.t)
		} else {
			actor.enter(f.t)
		}
		want := sum(f.running())[actor.room]
		var at time.Time
		f.until("the client receives the change", func() error {
			var received occupancy.Occupancy
			if received, at = observer.last(); received != want {
				return fmt.Errorf("received %v, want %v", received, want)
			}
			return nil
		})
		took = append(took, at.Sub(began))
	}
	slices.Sort(took)
	return row{
		"change on one node until a websocket on another receives it, idle: p50, p99", "p99 210 ms",
		fmt.Sprintf("%.0f ms, %.0f ms", took[50].Seconds()*1e3, took[98].Seconds()*1e3),
	}
}

// staysCorrect checks that no client receives an event for longer than any timeout of the
// cluster.
func (f *fleet) staysCorrect() {
	f.t.Helper()
	f.waitCorrect(time.Now())
	began := time.Now()
	time.Sleep(7 * time.Second)
	require.Zero(f.t, f.waitCorrect(began))
}
