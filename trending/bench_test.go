//go:build unix

package trending

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/occupancy/occupancy"
)

var sizes = []int{1_000, 100_000, 1_000_000}

func roomNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("room-%07d", i)
	}
	return names
}

// randomConnections returns a number of connections for a room: three on average, and
// many in a few rooms.
func randomConnections(r *rand.Rand) int {
	n := 1
	for r.IntN(3) != 0 {
		n++
	}
	return n
}

// newFilledBoard returns an engine with these rooms, and its board.
func newFilledBoard(b *testing.B, names []string) (*occupancy.Engine, *Board) {
	b.Helper()
	e := occupancy.New()
	b.Cleanup(func() { _ = e.Close() })
	r := rand.New(rand.NewPCG(1, 1))
	for _, name := range names {
		for range randomConnections(r) {
			if err := e.Join(name); err != nil {
				b.Fatal(err)
			}
		}
	}
	board := New(e, WithHalfLife(time.Minute))
	b.Cleanup(func() { _ = board.Close() })
	now := board.elapsedHalfLives()
	board.mu.Lock()
	for _, e := range board.rooms { // as after some minutes of traffic
		e.score = e.score.withArrivals(randomConnections(r), now-5*r.Float64())
		board.rankings[Trending].update(e)
	}
	board.mu.Unlock()
	return e, board
}

// BenchmarkTop reads the first hundred rooms. For comparison, scan+sort reads the same
// rooms without a board.
func BenchmarkTop(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("rooms=%d", n), func(b *testing.B) {
			e, board := newFilledBoard(b, roomNames(n))
			for _, by := range []Order{Popular, Trending} {
				b.Run(by.String(), func(b *testing.B) {
					b.ReportAllocs()
					reportCPUTime(b, 1, func() {
						if len(board.Top(by, 100)) != 100 {
							b.Fatal("the list does not have 100 rooms")
						}
					})
				})
			}
			b.Run("scan+sort", func(b *testing.B) {
				reportCPUTime(b, 1, func() {
					all := make([]Room, 0, n)
					for name, o := range e.All() {
						all = append(all, Room{Name: name, Occupancy: o})
					}
					slices.SortFunc(all, func(a, b Room) int {
						return cmp.Or(cmp.Compare(b.Occupancy.Connections, a.Occupancy.Connections), cmp.Compare(a.Name, b.Name))
					})
					runtime.KeepAlive(all[:100])
				})
			})
		})
	}
}

// BenchmarkRank computes the rank of rooms at several places.
func BenchmarkRank(b *testing.B) {
	const n = 1_000_000
	_, board := newFilledBoard(b, roomNames(n))
	for _, by := range []Order{Popular, Trending} {
		ranked := &board.rankings[by]
		for _, place := range []int{1, 100, 10_000, n} {
			b.Run(fmt.Sprintf("%v/place=%d", by, place), func(b *testing.B) {
				e := ranked.top(place)[place-1]
				reportCPUTime(b, 1, func() {
					if rank, _ := ranked.rank(e, func() {}); rank != place-1 {
						b.Fatalf("rank %d, want %d", rank, place-1)
					}
				})
			})
		}
	}
}

// BenchmarkHeap changes one room and moves it to its new place in the heap of one order.
// BenchmarkBTree of internal/bench does the same with a balanced tree.
func BenchmarkHeap(b *testing.B) {
	names := roomNames(1_000_000)
	for _, by := range []Order{Popular, Trending} {
		rooms := func() ([]*entry, *rand.Rand) {
			r := rand.New(rand.NewPCG(2, 2))
			rooms := make([]*entry, len(names))
			for i, name := range names {
				rooms[i] = &entry{name: name, connections: int32(randomConnections(r)), score: score(5 * r.Float64())}
			}
			return rooms, r
		}
		change := func(e *entry, r *rand.Rand) {
			e.score += score(r.Float64())
			if e.connections++; e.connections > 2 && r.IntN(2) == 0 {
				e.connections -= 2
			}
		}
		b.Run(by.String()+"/heap", func(b *testing.B) {
			rooms, r := rooms()
			ranked := ranking{order: by}
			for _, e := range rooms {
				ranked.add(e)
			}
			reportCPUTime(b, 1, func() {
				e := rooms[r.IntN(len(rooms))]
				change(e, r)
				ranked.update(e)
			})
		})
	}
}

// BenchmarkChange applies batches of events to the board and reports the CPU time of one
// event. For example, with 5,000 ns of CPU time per event, 100,000 events per second need
// half a core.
func BenchmarkChange(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("rooms=%d", n), func(b *testing.B) {
			names := roomNames(n)
			_, board := newFilledBoard(b, names)
			r := rand.New(rand.NewPCG(3, 3))
			batch := make([]occupancy.RoomEvent, 0, min(4096, n))
			reportCPUTime(b, cap(batch), func() {
				batch = batch[:0]
				for range cap(batch) {
					e := board.rooms[names[r.IntN(n)]]
					now := int(e.connections)
					if now++; r.IntN(2) == 0 {
						now = max(now-2, 1)
					}
					ev := occupancy.Event{Type: occupancy.EventUpdated, Occupancy: occupancy.Occupancy{Connections: now}}
					batch = append(batch, occupancy.RoomEvent{Room: e.name, Event: ev})
				}
			}, func() { board.apply(batch, false) })
		})
	}
}

// BenchmarkCPUUnderLoad makes 100,000 changes in a million rooms in each iteration, which takes one
// second. It reports how many cores the process uses for the hooks, the engine, and a board
// or a watcher. The watcher discards its events.
func BenchmarkCPUUnderLoad(b *testing.B) {
	names := roomNames(1_000_000)
	for _, consumer := range []string{"none", "watcher", "board"} {
		b.Run(consumer, func(b *testing.B) { loadSeconds(b, names, consumer) })
	}
}
