package bench_test

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/tidwall/btree"
)

// BenchmarkBTree changes one of 1,000,000 rooms and moves it to its new place in a
// balanced tree. BenchmarkHeap of package trending does the same with a heap.
func BenchmarkBTree(b *testing.B) {
	type room struct {
		name  string
		score float64
	}
	before := func(a, b *room) bool {
		if a.score != b.score {
			return a.score > b.score
		}
		return a.name < b.name
	}
	tree := btree.NewBTreeGOptions(before, btree.Options{NoLocks: true, Degree: 64})
	r := rand.New(rand.NewPCG(2, 2))
	rooms := make([]*room, 1_000_000)
	for i := range rooms {
		rooms[i] = &room{name: "room-" + strconv.Itoa(i), score: 5 * r.Float64()}
		tree.Set(rooms[i])
	}
	b.ReportAllocs()
	for b.Loop() {
		moved := rooms[r.IntN(len(rooms))]
		tree.Delete(moved)
		moved.score += r.Float64()
		tree.Set(moved)
	}
}
