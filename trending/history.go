package trending

import "math"

// history is what the board remembers of a room's changes: two sums of all changes of its
// count, an arrival being +1 and a departure -1. Each change loses half its weight in a
// half-life in fast, and in slowFactor half-lives in slow.
//
// Both sums are linear. So a departure and a return cancel each other, and it does not matter
// how the engine groups the changes into events.
//
// Instead of reducing the weights of old changes, add gives greater weights to later changes.
// So a sum that does not change needs no update, and a moment has the factors for all rooms.
// To keep the numbers small, the weights begin at 1 again in each period.
type history struct {
	fast, slow float64
	period     int32
}

const (
	slowFactor = 24
	minRatio   = 0.25
	periodLen  = 512 // half-lives; greater weights than 2^512 times a count would overflow
)

// moment is a time, in half-lives, with the weights of a change at this time.
type moment struct {
	now        float64
	fast, slow float64
	period     int32
}

func momentAt(now float64) moment {
	period := math.Floor(now / periodLen)
	age := now - period*periodLen
	return moment{now, math.Exp2(age), math.Exp2(age / slowFactor), int32(period)}
}

// at returns the sums at the moment.
func (h *history) at(m *moment) (fast, slow float64) {
	if h.period != m.period {
		h = &history{h.fast, h.slow, h.period}
		h.rebase(m.period)
	}
	return h.fast / m.fast, h.slow / m.slow
}

func (h *history) rebase(period int32) {
	age := periodLen * float64(h.period-period)
	h.fast, h.slow, h.period = h.fast*math.Exp2(age), h.slow*math.Exp2(age/slowFactor), period
}

func (h *history) add(fast, slow float64, m *moment) {
	if h.period != m.period {
		h.rebase(m.period)
	}
	h.fast, h.slow = h.fast+fast*m.fast, h.slow+slow*m.slow
}

// negligible reports whether this history can be forgotten.
func (c *config) negligible(h *history, m *moment) bool {
	fast, slow := h.at(m)
	return max(fast, -fast, slow, -slow) < c.minimum/50
}

// decayRate is the slowest rate at which the logarithm of a ratio decreases in a half-life:
// Arrivals halve in a half-life, and Usual, if it decreases, halves in slowFactor half-lives
// at the fastest.
const decayRate = math.Ln2 * (1 - 1.0/slowFactor)

// bound converts a ratio at the time now to a key that does not change as time passes. If
// nothing changes, the bound of a later ratio is at most this bound. The addend is larger
// than any rounding error of the first million half-lives.
func bound(ratio, now float64) float64 { return math.Log(ratio) + now*decayRate + 1e-9 }
