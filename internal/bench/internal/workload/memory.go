package workload

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// memoryPerRoom measures the memory of a room with one connection. The memory includes the
// room's name, but not the connection, which every server has anyway.
func memoryPerRoom(rooms int, settle time.Duration) Workload {
	name := fmt.Sprintf("memory per room/rooms=%d", rooms)
	w := Workload{Name: name, Supports: isCounter, Cases: []Case{{Name: name, Unit: "bytes"}}, MaxPasses: 1}
	w.Prepare = func(s impl.Spec) Runner {
		pass := func(time.Duration) []float64 {
			names := roomNames(rooms)
			conns := make([]*impl.Conn, rooms)
			for i := range conns {
				conns[i] = impl.NewConn(i)
			}
			before := heapInUse()
			c := s.NewCounter()
			for i, conn := range conns {
				c.Join(strings.Clone(names[i]), conn)
			}
			c.Count(names[0])
			time.Sleep(settle)
			used := heapInUse() - before
			c.Close()
			runtime.KeepAlive(names)
			runtime.KeepAlive(conns)
			return []float64{used / float64(rooms)}
		}
		return Runner{Pass: pass, Close: func() {}}
	}
	return w
}

func heapInUse() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
