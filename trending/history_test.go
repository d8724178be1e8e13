package trending

import (
	"math/rand/v2"
	"testing"

	"github.com/occupancy/occupancy"
)

// While nothing happens, no ratio becomes greater than its bound allows, and the heap of
// bounds leads to the greatest ratios.
func TestBound_RatiosDecreaseAtLeastAsFast(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	c := newConfig(nil)
	for range 10_000 {
		then := 100 * r.Float64()
		later := then + 3*r.Float64()
		e := row{history: history{100 * r.Float64(), 200 * (r.Float64() - 0.5), then - r.Float64()}}
		e.occupancy = occupancy.Occupancy{Connections: r.IntN(100)}
		if before, after := c.room(&e, then).Ratio, c.room(&e, later).Ratio; bound(before, then) < bound(after, later)-1e-9 {
			t.Fatalf("the ratio of %+v is %v, and %v half-lives later %v", e, before, later-then, after)
		}
	}
}
