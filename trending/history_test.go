package trending

import (
	"math/rand/v2"
	"testing"
)

// While nothing happens, no ratio becomes greater than its bound allows, and the heap of
// bounds leads to the greatest ratios.
func TestBound_RatiosDecreaseAtLeastAsFast(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	c := newConfig(nil, nil)
	for range 10_000 {
		then := 1000 * r.Float64()
		later := then + 3*r.Float64()
		before, now, after := momentAt(then-r.Float64()), momentAt(then), momentAt(later)
		var e row
		e.history.add(100*r.Float64(), 200*(r.Float64()-0.5), &before)
		e.counts[Connections] = int32(r.IntN(100))
		if first, second := c.room(&e, &now).Ratio, c.room(&e, &after).Ratio; bound(first, then) < bound(second, later)-1e-9 {
			t.Fatalf("the ratio of %+v is %v, and %v half-lives later %v", e, first, later-then, second)
		}
	}
}
