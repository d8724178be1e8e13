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
// five minutes. With a short half-life, the trending rooms change within minutes. With a
// long half-life, arrivals of many hours ago still count.
func WithHalfLife(d time.Duration) Option { return func(c *config) { c.halfLife = d } }

// WithPrefix ranks only the rooms whose names begin with p.
func WithPrefix(p string) Option { return func(c *config) { c.prefix = p } }

// WithMargin sets the margin of subscribed lists, a fraction. A room passes the room above
// it only when its value is greater by more than this fraction. The default is 0.05: to
// pass a room with 100 connections, a room needs 106 connections. With 0 a subscribed list
// equals the result of [Board.Top]. See [Board.Subscribe].
func WithMargin(m float64) Option { return func(c *config) { c.margin = m } }

func newConfig(opts []Option) config {
	c := config{halfLife: 5 * time.Minute, margin: 0.05}
	for _, o := range opts {
		o(&c)
	}
	if c.halfLife <= 0 {
		panic(fmt.Sprintf("trending: WithHalfLife: %v is not positive", c.halfLife))
	}
	if c.margin < 0 || math.IsNaN(c.margin) || math.IsInf(c.margin, 1) {
		panic(fmt.Sprintf("trending: WithMargin: %v is negative or not finite", c.margin))
	}
	return c
}
