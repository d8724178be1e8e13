package workload

import (
	"fmt"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/impl"
)

// joinLeave measures a Join and a Leave in rooms that also have a permanent connection,
// with 1, 2, 4, … goroutines up to one for each processor.
func joinLeave(rooms int, warmUp time.Duration) Workload {
	return visitRooms(fmt.Sprintf("join+leave/rooms=%d", rooms), isCounter, allOccupied(rooms), warmUp)
}

// joinLeaveWatched is joinLeave while a watcher reads the changes of all rooms.
func joinLeaveWatched(rooms int, warmUp time.Duration) Workload {
	prepare := allOccupied(rooms)
	return visitRooms(fmt.Sprintf("join+leave watched/rooms=%d", rooms), isWatchable, func(c impl.Counter) [][]string {
		c.(impl.Watchable).Watch(func(string, int) {})
		return prepare(c)
	}, warmUp)
}

// joinLeaveChurn is joinLeave without permanent connections: every Leave empties the room.
// The goroutines use different rooms, because some implementations lose a Join if a second
// goroutine empties the room at the same time.
func joinLeaveChurn(rooms int, warmUp time.Duration) Workload {
	return visitRooms(fmt.Sprintf("join+leave emptying rooms/rooms=%d", rooms), isCounter, func(impl.Counter) [][]string {
		orders := make([][]string, procs())
		for i, room := range shuffled(roomNames(max(rooms, procs()))) {
			g := i % procs()
			orders[g] = append(orders[g], room)
		}
		return orders
	}, warmUp)
}

// allOccupied returns a function that joins every room with a connection, and lets each
// goroutine visit the rooms in a random order.
func allOccupied(rooms int) func(impl.Counter) [][]string {
	return func(c impl.Counter) [][]string {
		names := roomNames(rooms)
		fill(c, names)
		orders := make([][]string, procs())
		for g := range orders {
			orders[g] = shuffled(names)
		}
		return orders
	}
}

// visitRooms is a workload with a case for each number of goroutines. Each goroutine
// repeatedly joins a room, leaves it, and continues with the next room. prepare returns the
// order of the rooms for each goroutine.
func visitRooms(name string, supports func(impl.Spec) bool, prepare func(impl.Counter) [][]string, warmUp time.Duration) Workload {
	w := Workload{Name: name, Supports: supports}
	var goroutines []int
	for n := 1; n < procs(); n *= 2 {
		goroutines = append(goroutines, n)
	}
	goroutines = append(goroutines, procs())
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
