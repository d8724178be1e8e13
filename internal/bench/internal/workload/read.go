package workload

import (
	"fmt"
	"strings"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// read measures reading the count of a room with the given number of members.
func read(members int) Workload {
	name := fmt.Sprintf("read/members=%d", members)
	w := Workload{Name: name, Supports: isCounter, MaxPasses: 3, Cases: []Case{{Name: fmt.Sprintf("%s/goroutines=%d", name, procs()), Unit: "ns"}}}
	w.Prepare = func(s impl.Spec) Runner {
		c := s.NewCounter()
		for i := range members {
			c.Join(strings.Clone("room"), impl.NewConn(i)) // see roomNames
		}
		pass := func(d time.Duration) []float64 {
			return []float64{nsPerOp(d, 0, procs(), func(int, int) {
				if c.Count("room") != members {
					panic("wrong count")
				}
			}, func() {})}
		}
		return Runner{Pass: pass, Close: c.Close}
	}
	return w
}
