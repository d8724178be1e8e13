package trending

import "math"

// score stores the heat of a room as a number that does not change as time passes. Each
// arrival adds 2^(t/half-life) to the room's sum S, where t is the time between the creation
// of the board and the arrival. The heat of the room is then S / 2^(now/half-life).
// So the room with the greater S has the greater heat at any time.
//
// A score is the binary logarithm of S, because S itself is too large for a float64 after
// 1,024 half-lives. After a million half-lives (of five minutes each, almost ten years) the
// scores of heats that differ by one part in ten billion are still different.
type score float64

// noArrivals is the score of a room in which no connection has arrived.
var noArrivals = score(math.Inf(-1))

// withArrivals returns the score after n arrivals at the time now, in half-lives.
func (s score) withArrivals(n int, now float64) score {
	a := now + math.Log2(float64(n))
	lo, hi := min(float64(s), a), max(float64(s), a)
	return score(hi + math.Log1p(math.Exp2(lo-hi))/math.Ln2)
}

// heat returns the heat at the time now, in half-lives.
func (s score) heat(now float64) float64 { return math.Exp2(float64(s) - now) }

// scaled returns the score of a room with f times the heat.
func (s score) scaled(f float64) score { return s + score(math.Log2(f)) }
