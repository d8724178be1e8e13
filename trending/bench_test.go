//go:build unix

package trending

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

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

// newFilledBoard returns an engine with these rooms, and its board. On the board, the sizes
// of the rooms have a heavy tail, as those of real rooms do, and a third of the rooms have
// grown in the last half-life, by a fifth of their size in the median.
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
	board := New(e, WithWarmup(0))
	b.Cleanup(func() { _ = board.Close() })
	board.start = board.start.Add(-2 * board.halfLife)
	board.writing.Lock()
	defer board.writing.Unlock()
	entries := slices.Collect(maps.Values(board.rooms))
	board.inSteps(len(entries), func(i int) {
		if e := entries[i]; r.IntN(3) == 0 {
			then := 2 - r.Float64()
			e.counts[Connections] = int32(min(100_000, 3/(1-r.Float64())))
			grown := float64(e.counts[Connections]) * min(0.9, 0.2*math.Exp(0.8*r.NormFloat64()))
			changed, ranked := momentAt(then), momentAt(then+max(0, 2-reviewEvery-then)*r.Float64()) // until the last review
			e.history = history{}
			e.history.add(grown, grown, &changed)
			board.rank(e, &ranked)
		}
	})
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
						runtime.KeepAlive(board.Top(by, 100))
					})
					b.ReportMetric(float64(len(board.rankings[by].items)), "ranked")
					b.ReportMetric(float64(len(board.Top(by, 100))), "listed")
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

// BenchmarkChange applies batches of events to the board and reports the CPU time of one
// event. For example, with 5,000 ns of CPU time per event, 100,000 events per second need
// half a core.
func BenchmarkChange(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("rooms=%d", n), func(b *testing.B) {
			names := roomNames(n)
			e, board := newFilledBoard(b, names)
			_ = board.Close() // from now on only the benchmark applies events
			r := rand.New(rand.NewPCG(3, 3))
			batch := make([]occupancy.RoomEvent, 0, min(4096, n))
			reportCPUTime(b, cap(batch), func() {
				batch = batch[:0]
				for range cap(batch) {
					ev := occupancy.RoomEvent{Room: names[r.IntN(n)]}
					hook := e.Join
					if e.Current(ev.Room).Connections > 1 && r.IntN(2) == 0 {
						hook = e.Leave
					}
					if err := hook(ev.Room); err != nil {
						b.Fatal(err)
					}
					ev.Occupancy = e.Current(ev.Room)
					batch = append(batch, ev)
				}
			}, func() { board.apply(batch, false) })
		})
	}
}
