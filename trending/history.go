package trending

import "math"

// history is what the board remembers of a room's changes: two sums of all changes of its
// count, an arrival being +1 and a departure -1. Each change loses half its weight in a
// half-life in fast, and in slowFactor half-lives in slow.
//
// Both sums are linear. So a departure and a return cancel each other, it does not matter
// how the engine groups the changes into events, and the sums of the nodes can be added.
type history struct {
	fast, slow float64
	updated    float64 // the time for which the sums are computed, in half-lives
}

const (
	slowFactor = 24
	minRatio   = 0.25
)

// at returns the sums at the time now.
func (h *history) at(now float64) (fast, slow float64) {
	weight := math.Exp2((h.updated - now) / slowFactor)
	third := weight * weight * weight
	sixth := third * third
	twelfth := sixth * sixth // the square of it is the 24th power of weight, without another Exp2
	return h.fast * twelfth * twelfth, h.slow * weight
}

func (h *history) add(fast, slow, now float64) {
	h.fast, h.slow = h.at(now)
	h.fast, h.slow, h.updated = h.fast+fast, h.slow+slow, now
}

// decayRate is the slowest rate at which a ratio decays, in powers of two per half-life:
// Arrivals halve in a half-life, and Usual, if it decreases, halves in slowFactor
// half-lives at the fastest.
const decayRate = 1 - 1.0/slowFactor

// bound converts a ratio at the time now to a key that does not change as time passes. If
// nothing changes, the bound of a later ratio is at most this bound. The addend is larger
// than any rounding error of the first million half-lives.
func bound(ratio, now float64) float64 { return math.Log2(ratio) + now*decayRate + 1e-9 }
