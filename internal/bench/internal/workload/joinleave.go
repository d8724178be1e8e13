package workload

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// joinLeave measures a Join and a Leave in rooms that also have a permanent connection.
func joinLeave(rooms int, warmUp time.Duration) Workload {
	name := fmt.Sprintf("join+leave/rooms=%d", rooms)
	var goroutines []int
	for n := 1; n < procs(); n *= 2 {
		goroutines = append(goroutines, n)
	}
	goroutines = append(goroutines, procs())
	return visitRooms(name, goroutines, warmUp, func(c impl.Counter) [][]string {
		names := roomNames(rooms)
		fill(c, names)
		var orders [][]string
		for range procs() {
			orders = append(orders, shuffled(names))
		}
		return orders
	})
}

// joinLeaveZipf is joinLeave with a Zipf distribution: a few rooms have most of the
// changes, as in real services.
func joinLeaveZipf(rooms int, warmUp time.Duration) Workload {
	name := fmt.Sprintf("join+leave zipf/rooms=%d", rooms)
	return visitRooms(name, []int{procs()}, warmUp, func(c impl.Counter) [][]string {
		visits := min(1<<20, 100*rooms)
		names := roomNames(rooms)
		fill(c, names)
		var orders [][]string
		for g := range procs() {
			zipf := rand.NewZipf(rand.New(rand.NewPCG(1, uint64(g))), 1.1, 1, uint64(rooms-1))
			order := make([]string, visits)
			for i := range order {
				order[i] = names[zipf.Uint64()]
			}
			orders = append(orders, order)
		}
		return orders
	})
}

// joinLeaveChurn is joinLeave without permanent connections: every Leave empties the room.
// The goroutines use different rooms, because some implementations lose a Join if a second
// goroutine empties the room at the same time.
func joinLeaveChurn(rooms int, warmUp time.Duration) Workload {
	name := fmt.Sprintf("join+leave emptying rooms/rooms=%d", rooms)
	return visitRooms(name, []int{procs()}, warmUp, func(impl.Counter) [][]string {
		orders := make([][]string, procs())
		for i, room := range shuffled(roomNames(max(rooms, procs()))) {
			g := i % procs()
			orders[g] = append(orders[g], room)
		}
		return orders
	})
}

// visitRooms is a workload with a case for each number of goroutines. Each goroutine
// repeatedly joins a room, leaves it, and continues with the next room. prepare returns the
// order of the rooms for each goroutine.
func visitRooms(name string, goroutines []int, warmUp time.Duration, prepare func(impl.Counter) [][]string) Workload {
	w := Workload{Name: name, Supports: isCounter}
	for _, n := range goroutines {
		w.Cases = append(w.Cases, Case{Name: fmt.Sprintf("%s/goroutines=%d", name, n), Unit: "ns"})
	}
	w.Prepare = func(s impl.Spec) Runner {
		c := s.NewCounter()
		orders := prepare(c)
		visitors := make([]*impl.Conn, len(orders))
		for g := range visitors {
			visitors[g] = impl.NewConn(1<<30 + g)
		}
		visit := func(g, i int) {
			order := orders[g]
			room := order[i%len(order)]
			c.Join(room, visitors[g])
			c.Leave(room, visitors[g])
		}
		pass := func(d time.Duration) []float64 {
			var figures []float64
			for _, n := range goroutines {
				figures = append(figures, nsPerOp(d, warmUp, n, visit, func() { c.Count(orders[0][0]) }))
			}
			return figures
		}
		return Runner{Pass: pass, Close: c.Close}
	}
	return w
}
