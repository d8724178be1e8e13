package trending

import "math"

// score is the heat of a room in the form that forward decay stores: the sum of
// 2^(t/half-life) over the arrivals, where t is the time from the creation of the board
// to the arrival. Dividing the sum by 2^(now/half-life) gives the heat, so comparing two
// scores compares the heats at any time.
//
// The sum doubles with each half-life, so a score is its binary logarithm, which grows
// by one instead. After ten years of five-minute half-lives, about a million, a float64
// still distinguishes heats that differ by one part in ten billion.
type score float64

// noArrivals is the score of a room in which no connection has arrived.
var noArrivals = score(math.Inf(-1))

// arrive returns the score after n more arrivals. The time is in half-lives.
func (s score) arrive(n int, now float64) score {
	a := now + math.Log2(float64(n))
	lo, hi := min(float64(s), a), max(float64(s), a)
	return score(hi + math.Log1p(math.Exp2(lo-hi))/math.Ln2)
}

// heat returns the heat at a time in half-lives.
func (s score) heat(now float64) float64 { return math.Exp2(float64(s) - now) }

// times returns the score of a room with f times the heat.
func (s score) times(f float64) score { return s + score(math.Log2(f)) }
