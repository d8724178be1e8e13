package trending

import "math"

// warmth is a room's heat as forward decay keeps it: the sum, over its arrivals, of
// 2^(t/half-life), where t is the time since the board was made. The heat now is that
// divided by 2^(now/half-life), so rooms compare by their warmth at any time.
//
// The sum doubles with each half-life: it is kept as its binary logarithm, which
// grows by one instead. A float64 then overflows in no time that there is, and after ten
// years of five-minute half-lives, which are a million, it still tells heats apart
// that differ by a ten-billionth.
type warmth float64

// cold is the warmth of a room where nobody has arrived.
var cold = warmth(math.Inf(-1))

// arrive is the warmth after n more arrivals, at a time given in half-lives.
func (w warmth) arrive(n int, now float64) warmth {
	a := now + math.Log2(float64(n))
	least, most := min(float64(w), a), max(float64(w), a)
	return warmth(most + math.Log1p(math.Exp2(least-most))/math.Ln2)
}

// heat is what the arrivals are worth at a time given in half-lives.
func (w warmth) heat(now float64) float64 { return math.Exp2(float64(w) - now) }

// times is the warmth of a room f times as hot.
func (w warmth) times(f float64) warmth { return w + warmth(math.Log2(f)) }
