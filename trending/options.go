package trending

import (
	"fmt"
	"math"
	"time"
)

// Option is a setting of [New].
type Option func(*config)

type config struct {
	halfLife time.Duration
	prefix   string
	margin   float64
}

// WithHalfLife sets the time in which an arrival loses half its weight. The default is
// five minutes. A short half-life ranks rooms by what happens now, a long one by what
// happened all day.
func WithHalfLife(d time.Duration) Option { return func(c *config) { c.halfLife = d } }

// WithPrefix ranks only the rooms whose names begin with p.
func WithPrefix(p string) Option { return func(c *config) { c.prefix = p } }

// WithMargin sets how far a room must be ahead of another to take its place in a
// subscribed list, as a fraction of the other room's value. The default is 0.05: a room
// takes the place of one with 100 connections when it has 106. With 0 a subscribed list
// equals the one that [Board.Top] returns. See [Board.Subscribe].
func WithMargin(m float64) Option { return func(c *config) { c.margin = m } }

func newConfig(opts []Option) config {
	c := config{halfLife: 5 * time.Minute, margin: 0.05}
	for _, o := range opts {
		o(&c)
	}
	if c.halfLife <= 0 {
		panic(fmt.Sprintf("trending: WithHalfLife: %v is not positive", c.halfLife))
	}
	if !(c.margin >= 0) || math.IsInf(c.margin, 1) { // also false for NaN
		panic(fmt.Sprintf("trending: WithMargin: %v is negative or not finite", c.margin))
	}
	return c
}
