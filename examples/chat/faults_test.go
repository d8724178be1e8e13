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

var allFaults = flag.Bool("faults", false, "do to processes all that the README's table lists, and print it")

// Five processes, of which two are seeds, with people on each:
//
//	left ── two links ─ right        seeds
//	 │                  │   │
//	near              here there
//
// Whatever is done to them, the numbers of all come out right, and stay so. How long that
// takes is printed beside what is aimed at, and not asserted: machines differ.
func TestClusterFaults(t *testing.T) {
	f := newFleet(t)
	// Each seed has the other's address, as it should, and that is a link's: so is every route.
	one, two, server, other := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	toRight, toLeft := newLink(t, two), newLink(t, one)
	left := f.add("left", "-cluster", "-cluster-listen", one, "-cluster-client", server, "-cluster-seeds", toRight.address())
	right := f.add("right", "-cluster", "-cluster-listen", two, "-cluster-client", other, "-cluster-seeds", toLeft.address())
	near := f.add("near", "-nats", server)
	here := f.add("here", "-nats", other)
	there := f.add("there", "-nats", other)
	for _, p := range f.chats {
		p.up()
		p.visit("lobby", 5)
		p.visit(p.name, 2)
	}
	f.right(time.Now())

	var rows []row
	measured := func(what, target string, took time.Duration) {
		rows = append(rows, row{what, target, fmt.Sprintf("%.2f s", took.Seconds())})
		t.Logf("%s: %v", what, took)
	}
	comeBack := func(p *process, n int) {
		p.up()
		p.visit("lobby", n)
		f.right(time.Now())
	}

	killed := time.Now()
	there.kill()
	measured("kill -9 of a node: its part is gone", "6.5 s", f.right(killed))
	comeBack(there, 5)

	// Fewer come back than were there, so that no sum on the way is the right one.
	killed = time.Now()
	here.kill()
	here.up()
	here.visit("lobby", 2)
	measured("kill -9 and restart under the same name, from the kill", "2 s", f.right(killed))

	asked := time.Now()
	there.signal(syscall.SIGTERM)
	there.down()
	measured("SIGTERM, from the signal", "0.1 s", f.right(asked))
	require.Contains(t, there.says.String(), "stopped\n")
	comeBack(there, 4)

	if *allFaults {
		rows = append(rows, idle(f, near, there))

		here.signal(syscall.SIGSTOP)
		changes(t, 10*time.Second, right, near, there)
		healed := time.Now()
		here.signal(syscall.SIGCONT)
		measured("10 s SIGSTOP of a node, from SIGCONT", "2.5 s", f.right(healed))

		toRight.cut()
		toLeft.cut()
		changes(t, 10*time.Second, left, right, near, here, there)
		for _, p := range []*process{left, near} { // the smaller part
			f.until("the split is noticed", func() error {
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
		measured("10 s split of 2 against 3, from its end", "2.5 s", f.right(healed))

		left.signal(syscall.SIGSTOP)
		changes(t, 10*time.Second, right, near, here, there)
		healed = time.Now()
		left.signal(syscall.SIGCONT)
		measured("10 s SIGSTOP of a seed, from SIGCONT", "2.5 s", f.right(healed))

		killed = time.Now()
		right.kill() // whose three clients have heard of left, and go there
		measured("kill -9 of a seed that the others are connected to: its part is gone", "6.5 s", f.right(killed))
		comeBack(right, 5)

		killed = time.Now()
		for _, p := range []*process{near, here, there} {
			p.kill()
		}
		measured("kill -9 of 3 of 5 at once: their parts are gone, after lease and hold", "21.5 s", f.right(killed))
	}
	f.staysRight()
	if *allFaults {
		fmt.Print(table(rows))
	}
}

// row is one of the table that is printed.
type row struct{ what, target, measured string }

func table(rows []row) string {
	s := "| what | target | measured |\n|---|--:|--:|\n"
	for _, r := range rows {
		s += fmt.Sprintf("| %s | %s | %s |\n", r.what, r.target, r.measured)
	}
	return s
}

// changes has people come and go on the chats for so long.
func changes(t *testing.T, d time.Duration, chats ...*process) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(rand.N(100 * time.Millisecond)) {
		p := chats[rand.IntN(len(chats))]
		if len(p.visitors) > 6 {
			p.leave()
		} else {
			p.visit("lobby", 1+rand.IntN(2))
		}
	}
}

// idle measures a change on one chat until a visitor of another is told.
func idle(f *fleet, from, to *process) row {
	f.t.Helper()
	actor, observer := from.visitors[0], to.visitors[0]
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
		f.until("visitor is told", func() error {
			var told occupancy.Occupancy
			if told, at = observer.last(); told != want {
				return fmt.Errorf("told %v, and %v is right", told, want)
			}
			return nil
		})
		took = append(took, at.Sub(began))
	}
	slices.Sort(took)
	return row{
		"change on one node, until a websocket on another is told of it, idle: p50, p99", "p99 210 ms",
		fmt.Sprintf("%.0f ms, %.0f ms", took[50].Seconds()*1e3, took[98].Seconds()*1e3),
	}
}

// staysRight looks on for longer than anything takes to be forgotten, in which nobody is
// told of a change.
func (f *fleet) staysRight() {
	f.t.Helper()
	f.right(time.Now())
	began := time.Now()
	time.Sleep(7 * time.Second)
	require.Zero(f.t, f.right(began))
}
