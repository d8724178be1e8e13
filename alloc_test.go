package occupancy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// What DESIGN.md allows a hook to allocate.
func TestAllocations(t *testing.T) {
	none := func(t *testing.T, what string, f func()) {
		t.Helper()
		require.Zero(t, testing.AllocsPerRun(2000, f), what)
	}
	listeners := map[string]func(e *occupancy.Engine){
		"in a room":            func(*occupancy.Engine) {},
		"in a subscribed room": func(e *occupancy.Engine) { subscribe(t, e, "r") },
		"in a watched room":    func(e *occupancy.Engine) { e.Watch() },
		"in a room of two nodes": func(e *occupancy.Engine) {
			must(t, e.Remote("node").Set("r", occ(1, 1)))
		},
		"with a limit": func(*occupancy.Engine) {},
	}
	for name, listen := range listeners {
		for _, d := range []time.Duration{0, time.Hour} {
			t.Run(fmt.Sprintf("%s, interval %v", name, d), func(t *testing.T) {
				opts := []occupancy.Option{occupancy.WithInterval(d)}
				if name == "with a limit" {
					opts = append(opts, occupancy.WithMaxRooms(1))
				}
				e := start(t, opts...)
				must(t, e.Join("r"), e.Enter("r"))
				listen(e)
				r := e.Room("r")
				none(t, "hooks by name", func() {
					_, _, _, _ = e.Join("r"), e.Enter("r"), e.Exit("r"), e.Leave("r")
				})
				none(t, "hooks by handle", func() {
					_, _, _, _ = r.Join(), r.Enter(), r.Exit(), r.Leave()
				})
				none(t, "reads", func() {
					_, _, _, _ = e.Current("r"), e.Local("r"), r.Current(), r.Local()
					e.Current("unknown")
				})
				none(t, "Stats", func() { e.Stats() })
				must(t, e.Leave("r"))
				none(t, "refusals", func() { _, _, _ = e.Leave("r"), r.Leave(), e.Leave("unknown") })
				must(t, e.Join("r"), e.Exit("r"))
				none(t, "refusals", func() { _, _, _ = e.Exit("r"), r.Exit(), e.Exit("unknown") })
				must(t, e.Enter("r"))
				if name == "with a limit" {
					none(t, "refusals", func() { _ = e.Join("another") })
				}
				require.LessOrEqual(t, testing.AllocsPerRun(2000, func() {
					c, _ := e.Connect("r")
					_, _ = c.Enter("client"), c.Close()
				}), 2.0)
				require.Equal(t, occ(1, 1), e.Local("r"))
			})
		}
	}
}
