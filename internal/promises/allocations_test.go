package promises_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestAllocations_HooksAndReadsOfExistingRooms(t *testing.T) {
	none := func(t *testing.T, what string, f func()) {
		t.Helper()
		require.Zero(t, testing.AllocsPerRun(2000, f), what)
	}
	setups := map[string]func(e *occupancy.Engine){
		"plain room":      func(*occupancy.Engine) {},
		"subscribed room": func(e *occupancy.Engine) { subscribe(t, e, "r") },
		"watched room":    func(e *occupancy.Engine) { watch(t, e) },
		"room of two nodes": func(e *occupancy.Engine) {
			must(t, remote(t, e, "node").Set(part("r", occ(1, 1))))
		},
		"room limit reached": func(*occupancy.Engine) {},
	}
	for name, setup := range setups {
		for _, d := range []time.Duration{0, time.Hour} {
			t.Run(fmt.Sprintf("%s, interval %v", name, d), func(t *testing.T) {
				opts := []occupancy.Option{occupancy.WithInterval(d)}
				if name == "room limit reached" {
					opts = append(opts, occupancy.WithMaxRooms(1))
				}
				e := newEngine(t, opts...)
				must(t, e.Join("r"), e.Enter("r", "client"))
				setup(e)
				r := e.Room("r")
				none(t, "hooks by name", func() {
					_, _, _, _ = e.Join("r"), e.Enter("r", "client"), e.Exit("r", "client"), e.Leave("r")
				})
				none(t, "hooks by handle", func() {
					_, _, _, _ = r.Join(), r.Enter("c"), r.Exit("c"), r.Leave()
				})
				none(t, "reads", func() {
					_, _, _, _ = e.Current("r"), e.Local("r"), r.Current(), r.Local()
					e.Current("unknown")
				})
				link := linked(t, e)
				none(t, "Interested", func() { _, _ = link.Interested("r"), link.Interested("unknown") })
				none(t, "Stats", func() { e.Stats() })
				none(t, "invalid names", func() { _, _ = e.Join(""), e.Enter("", "client") })
				must(t, e.Leave("r"))
				none(t, "refused Leave", func() { _, _, _, _ = e.Leave("r"), r.Leave(), e.Leave("unknown"), e.Leave("") })
				must(t, e.Join("r"), e.Exit("r", "c"))
				none(t, "refused Exit", func() { _, _, _ = e.Exit("r", "c"), r.Exit("c"), e.Exit("unknown", "c") })
				must(t, e.Enter("r", "client"))
				if name == "room limit reached" {
					none(t, "refused Join", func() { _ = e.Join("another") })
				}
				require.LessOrEqual(t, testing.AllocsPerRun(2000, func() {
					l, _ := e.Connect("r")
					_ = l.Close()
				}), 1.0, "Connect and Close")
				require.LessOrEqual(t, testing.AllocsPerRun(2000, func() {
					l, _ := e.Connect("r")
					_, _ = l.Enter("client"), l.Close()
				}), 2.0, "Connect, Enter and Close")
				require.LessOrEqual(t, testing.AllocsPerRun(2000, func() {
					l, _ := e.Connect("r", occupancy.As("client"))
					_ = l.Close()
				}), 2.0, "Connect with As, and Close")
				require.Equal(t, occ(1, 1), e.Local("r"))
			})
		}
	}
}

func TestAllocations_WithUsers(t *testing.T) {
	e := newEngine(t, occupancy.WithUsers())
	must(t, e.Join("r"), e.Enter("r", "ann"))
	require.Zero(t, testing.AllocsPerRun(2000, func() { _, _, _, _ = e.Join("r"), e.Leave("r"), e.Current("r"), e.Local("r") }))
	require.LessOrEqual(t, testing.AllocsPerRun(2000, func() {
		l, _ := e.Connect("r", occupancy.As("bob"))
		_ = l.Close()
	}), 2.0)
	require.Equal(t, counts(1, 1, 1), e.Local("r"))
}

func TestAllocations_RemoteGet(t *testing.T) {
	e := newEngine(t)
	node := remote(t, e, "node")
	must(t, node.Set(part("r", occ(1, 1))))
	require.Zero(t, testing.AllocsPerRun(2000, func() {
		node.Get("r")
		node.Get("unknown")
	}))
}
