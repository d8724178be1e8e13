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

// WithHalfLife sets the time after which an arrival is worth half as much; five
// minutes without it. A short one finds what is going on this moment, a long one
// what has been busy all day.
func WithHalfLife(d time.Duration) Option { return func(c *config) { c.halfLife = d } }

// WithPrefix ranks only the rooms whose name begins with p.
func WithPrefix(p string) Option { return func(c *config) { c.prefix = p } }

// WithMargin sets how far a room must be ahead of another, as a fraction of what the
// other has, to take its place in a subscribed list; 0.05 without it: a room takes the
// place of one with 100 connections when it has 106. See [Board.Subscribe]. With 0 a
// subscribed list is at all times the one that [Board.Top] returns.
func WithMargin(m float64) Option { return func(c *config) { c.margin = m } }

func newConfig(opts []Option) config {
	c := config{halfLife: 5 * time.Minute, margin: 0.05}
	for _, o := range opts {
		o(&c)
	}
	if c.halfLife <= 0 {
		panic(fmt.Sprintf("trending: half-life %v is not above zero", c.halfLife))
	}
	if !(c.margin >= 0) || math.IsInf(c.margin, 1) { // NaN is not >= 0
		panic(fmt.Sprintf("trending: margin %v is below zero or not a number", c.margin))
	}
	return c
}
