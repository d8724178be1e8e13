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

// crowd is how many are in a room: one in most, three in the mean, and many in few.
func crowd(r *rand.Rand) int {
	n := 1
	for r.IntN(3) != 0 {
		n++
	}
	return n
}

// filled is an engine with that many rooms and a board of them.
func filled(b *testing.B, names []string) (*occupancy.Engine, *Board) {
	b.Helper()
	e := occupancy.New()
	b.Cleanup(func() { _ = e.Close() })
	r := rand.New(rand.NewPCG(1, 1))
	for _, name := range names {
		for range crowd(r) {
			if err := e.Join(name); err != nil {
				b.Fatal(err)
			}
		}
	}
	board := New(e, WithHalfLife(time.Minute))
	b.Cleanup(board.Close)
	now := board.now()
	board.mu.Lock()
	for _, s := range board.rooms { // as after some minutes of traffic
		s.warmth = s.warmth.arrive(crowd(r), now-5*r.Float64())
		board.rankings[Trending].move(s)
	}
	board.mu.Unlock()
	return e, board
}

// BenchmarkTop reads the first hundred, beside a full scan and sort for the same.
func BenchmarkTop(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("rooms=%d", n), func(b *testing.B) {
			e, board := filled(b, roomNames(n))
			for _, by := range []Order{Popular, Trending} {
				b.Run(by.String(), func(b *testing.B) {
					b.ReportAllocs()
					perCPU(b, 1, func() {
						if len(board.Top(by, 100)) != 100 {
							b.Fatal("not a hundred")
						}
					})
				})
			}
			b.Run("scan+sort", func(b *testing.B) {
				perCPU(b, 1, func() {
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

// BenchmarkRank is a room's place in one order, for the first, some and the last.
func BenchmarkRank(b *testing.B) {
	const n = 1_000_000
	_, board := filled(b, roomNames(n))
	for _, by := range []Order{Popular, Trending} {
		ranked := &board.rankings[by]
		for _, place := range []int{1, 100, 10_000, n} {
			b.Run(fmt.Sprintf("%v/place=%d", by, place), func(b *testing.B) {
				s := ranked.top(place)[place-1]
				perCPU(b, 1, func() {
					if at, _ := ranked.rank(s, func() {}); at != place-1 {
						b.Fatal("another place")
					}
				})
			})
		}
	}
}

// BenchmarkOrder is one room that changed, in one order. The balanced tree that one would
// use instead is BenchmarkOrderBTree of internal/bench.
func BenchmarkOrder(b *testing.B) {
	names := roomNames(1_000_000)
	for _, by := range []Order{Popular, Trending} {
		rooms := func() ([]*standing, *rand.Rand) {
			r := rand.New(rand.NewPCG(2, 2))
			rooms := make([]*standing, len(names))
			for i, name := range names {
				rooms[i] = &standing{name: name, connections: int32(crowd(r)), warmth: warmth(5 * r.Float64())}
			}
			return rooms, r
		}
		change := func(s *standing, r *rand.Rand) {
			s.warmth += warmth(r.Float64())
			if s.connections++; s.connections > 2 && r.IntN(2) == 0 {
				s.connections -= 2
			}
		}
		b.Run(by.String()+"/heap", func(b *testing.B) {
			rooms, r := rooms()
			ranked := ranking{order: by}
			for _, s := range rooms {
				ranked.add(s)
			}
			perCPU(b, 1, func() {
				s := rooms[r.IntN(len(rooms))]
				change(s, r)
				ranked.move(s)
			})
		})
	}
}

// BenchmarkChange is one room that changed, on the board, out of a batch as the watcher
// gives them. 5,000 cpu-ns are half a core at 100,000 changes a second.
func BenchmarkChange(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("rooms=%d", n), func(b *testing.B) {
			names := roomNames(n)
			_, board := filled(b, names)
			r := rand.New(rand.NewPCG(3, 3))
			batch := make([]occupancy.Event, 0, min(4096, n))
			perCPU(b, cap(batch), func() {
				batch = batch[:0]
				for range cap(batch) {
					s := board.rooms[names[r.IntN(n)]]
					now := int(s.connections)
					if now++; r.IntN(2) == 0 {
						now = max(now-2, 1)
					}
					batch = append(batch, occupancy.Event{Room: s.name, Occupancy: occupancy.Occupancy{Connections: now}})
				}
			}, func() { board.apply(batch, func(string) bool { return false }) })
		})
	}
}

// BenchmarkSecond is a second of 100,000 changes in a million rooms, told every
// 100ms, with hooks and engine: what the process takes of a core, with a board, with a
// watcher that does nothing, and with neither.
func BenchmarkSecond(b *testing.B) {
	names := roomNames(1_000_000)
	for _, with := range []string{"nobody", "watcher", "board"} {
		b.Run(with, func(b *testing.B) { second(b, names, with) })
	}
}
