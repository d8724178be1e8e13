package work

import (
	"fmt"
	"strings"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

// read is to read the count of a room with so many members.
func read(members int) Work {
	name := fmt.Sprintf("read/members=%d", members)
	w := Work{Name: name, Takes: counts, Cases: []Case{{Name: fmt.Sprintf("%s/goroutines=%d", name, procs()), Unit: "ns"}}}
	w.Prepare = func(m peer.Maker) Task {
		p := m.New()
		for i := range members {
			p.Join(strings.Clone("crowd"), peer.NewConn(i)) // see roomNames
		}
		pass := func(d time.Duration) []float64 {
			return []float64{perOp(d, 0, procs(), func(int, int) {
				if p.Count("crowd") != members {
					panic("miscounted")
				}
			}, func() {})}
		}
		return Task{Pass: pass, Close: p.Close}
	}
	return w
}
