package trending

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// In this test, the present key of an entry is its key minus its counted.
func TestRanking_TopEqualsFullSort(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	ranked := &ranking{order: Trending}
	var entries []*entry
	key := func(e *entry) float64 { return ranked.items[e.index[Trending]].key }
	present := func(e *entry) (float64, bool) { return key(e) - float64(e.counted), e.counted < 8 }
	exact := func(e *entry) (float64, bool) { return key(e), true }
	for step := range 10_000 {
		switch grow := step/1000%2 == 0; {
		case len(entries) == 0 || grow && r.IntN(2) == 0:
			e := &entry{row: row{name: fmt.Sprint(r.Uint64()), counted: int32(r.IntN(10))}, index: [numOrders]int32{unranked, unranked}}
			ranked.set(e, float64(r.IntN(20)), true)
			entries = append(entries, e)
		case !grow && r.IntN(2) == 0:
			i := r.IntN(len(entries))
			ranked.set(entries[i], 0, false)
			ranked.set(entries[i], 0, false) // already removed
			entries = slices.Delete(entries, i, i+1)
		default:
			ranked.set(entries[r.IntN(len(entries))], float64(r.IntN(20)), true)
		}
		if step%20 != 0 {
			continue
		}
		if len(ranked.items) != len(entries) {
			t.Fatalf("%d entries, want %d", len(ranked.items), len(entries))
		}
		for _, f := range []func(*entry) (float64, bool){nil, present} {
			order := f
			if order == nil {
				order = exact
			}
			want := slices.DeleteFunc(slices.Clone(entries), func(e *entry) bool { _, listed := order(e); return !listed })
			slices.SortFunc(want, func(a, b *entry) int {
				ka, _ := order(a)
				kb, _ := order(b)
				return cmp.Or(cmp.Compare(kb, ka), cmp.Compare(a.name, b.name))
			})
			if n := r.IntN(len(want) + 2); !slices.Equal(ranked.top(n, f), want[:min(n, len(want))]) {
				t.Fatalf("wrong list of %d of %d entries", n, len(want))
			}
		}
	}
}
