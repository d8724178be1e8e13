package work

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/occupancy/occupancy/internal/bench/internal/peer"
)

// joinLeave is a Join and a Leave of rooms in which somebody stays.
func joinLeave(rooms int, warm time.Duration) Work {
	name := fmt.Sprintf("join+leave/rooms=%d", rooms)
	var widths []int
	for n := 1; n < procs(); n *= 2 {
		widths = append(widths, n)
	}
	widths = append(widths, procs())
	return visits(name, widths, warm, func(p peer.Peer) [][]string {
		names := roomNames(rooms)
		fill(p, names)
		var orders [][]string
		for range procs() {
			orders = append(orders, shuffled(names))
		}
		return orders
	})
}

// zipf is the same where a few rooms have most of the traffic, as rooms do.
func zipf(rooms int, warm time.Duration) Work {
	name := fmt.Sprintf("join+leave zipf/rooms=%d", rooms)
	return visits(name, []int{procs()}, warm, func(p peer.Peer) [][]string {
		visited := min(1<<20, 100*rooms)
		names := roomNames(rooms)
		fill(p, names)
		var orders [][]string
		for g := range procs() {
			of := rand.NewZipf(rand.New(rand.NewPCG(1, uint64(g))), 1.1, 1, uint64(rooms-1))
			order := make([]string, visited)
			for i := range order {
				order[i] = names[of.Uint64()]
			}
			orders = append(orders, order)
		}
		return orders
	})
}

// churn is the same where nobody stays: every Leave empties its room. Each goroutine
// has rooms of its own, so that none is emptied and filled at once, which not every
// peer can.
func churn(rooms int, warm time.Duration) Work {
	name := fmt.Sprintf("join+leave emptying/rooms=%d", rooms)
	return visits(name, []int{procs()}, warm, func(peer.Peer) [][]string {
		orders := make([][]string, procs())
		for i, room := range shuffled(roomNames(max(rooms, procs()))) {
			g := i % procs()
			orders[g] = append(orders[g], room)
		}
		return orders
	})
}

// visits is a work in which goroutines join and leave one room after another, each in
// its own order. There is a case for each number of goroutines.
func visits(name string, widths []int, warm time.Duration, prepare func(peer.Peer) [][]string) Work {
	w := Work{Name: name, Takes: counts}
	for _, n := range widths {
		w.Cases = append(w.Cases, Case{Name: fmt.Sprintf("%s/goroutines=%d", name, n), Unit: "ns"})
	}
	w.Prepare = func(m peer.Maker) Task {
		p := m.New()
		orders := prepare(p)
		visitors := make([]*peer.Conn, len(orders))
		for g := range visitors {
			visitors[g] = peer.NewConn(1<<30 + g)
		}
		visit := func(g, i int) {
			order := orders[g]
			room := order[i%len(order)]
			p.Join(room, visitors[g])
			p.Leave(room, visitors[g])
		}
		pass := func(d time.Duration) []float64 {
			var figures []float64
			for _, n := range widths {
				figures = append(figures, perOp(d, warm, n, visit, func() { p.Count(orders[0][0]) }))
			}
			return figures
		}
		return Task{Pass: pass, Close: p.Close}
	}
	return w
}
