package workload

import (
	"sync"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// load starts background goroutines that join and leave rooms. The function stop stops
// them and returns the number of rooms that they joined and left.
type load func(c impl.Counter, rooms []string) (stop func() int64)

// noLoad starts no goroutines.
func noLoad(impl.Counter, []string) func() int64 { return func() int64 { return 0 } }

// busyHooks starts a goroutine for each processor. The goroutines never pause.
func busyHooks(c impl.Counter, rooms []string) func() int64 {
	conns, orders := make([]*impl.Conn, procs()), make([][]string, procs())
	for g := range conns {
		conns[g], orders[g] = impl.NewConn(1<<30+g), shuffled(rooms)
	}
	return start(make([]int, procs()), func(g, i int) {
		room := orders[g][i%len(rooms)]
		c.Join(room, conns[g])
		c.Leave(room, conns[g])
	})
}

// busyWorkers starts a hundred workers, and sends them work as fast as they take it. A
// worker blocks on a channel, joins a room, works for about 200 µs, and leaves the room.
func busyWorkers(c impl.Counter, rooms []string) func() int64 {
	const workers, work = 100, 200 * time.Microsecond
	jobs := make(chan string)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			conn := impl.NewConn(1<<30 + w)
			for room := range jobs {
				c.Join(room, conn)
				for begin := time.Now(); time.Since(begin) < work; {
				}
				c.Leave(room, conn)
			}
		})
	}
	stop := start([]int{0}, func(_, i int) { jobs <- rooms[i%len(rooms)] })
	return func() int64 {
		ops := stop()
		close(jobs)
		wg.Wait()
		return ops
	}
}
