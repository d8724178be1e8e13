package trending

import (
	"fmt"
	"math"
	"time"

	"github.com/occupancy/occupancy"
)

// Option is a setting of [New].
type Option func(*config)

type config struct {
	halfLife time.Duration
	warmup   time.Duration
	minimum  float64
	count    Count
	minUsers int
	filter   func(room string) bool
}

// WithHalfLife sets the time in which an arrival, and the memory of a departure, loses half
// its weight. The default is ten minutes. The usual size of a room follows its count with a
// half-life that is 24 times as long.
func WithHalfLife(d time.Duration) Option { return func(c *config) { c.halfLife = d } }

// WithMinimum sets the number of recent arrivals that a room needs to trend. The default
// is 5. It is also added to the usual size of each room, so that small rooms do not reach
// large ratios with few arrivals.
func WithMinimum(n int) Option { return func(c *config) { c.minimum = float64(n) } }

// WithWarmup sets the time after New in which clients that connect are not arrivals. They
// are likely to be the clients of the process that ended before. Clients that leave in this
// time and return soon after it are not arrivals either. The default is one minute.
func WithWarmup(d time.Duration) Option { return func(c *config) { c.warmup = d } }

// WithFilter ranks only the rooms for which f returns true. Use it for rooms that must not be
// listed, for example direct messages or moderated rooms. The board calls f with each change of
// a room, so f should be fast. Import may call it at the same time. A room that f rejects after
// it was listed leaves the lists with its next change, and returns with the next change after f
// accepts it again. The board does not remember rooms that f has always rejected: if f accepts
// such a room later, its clients are arrivals.
func WithFilter(f func(room string) bool) Option { return func(c *config) { c.filter = f } }

// WithMinUsers lists only rooms with at least n users, for example so that a list does not
// reveal the rooms of two people. It requires an engine with [occupancy.WithUsers]. The default
// is 0.
func WithMinUsers(n int) Option { return func(c *config) { c.minUsers = n } }

// WithCount sets the count that the board ranks. Its changes are also the arrivals. The
// default is Connections. Choose Users if the engine counts them: then neither a second tab nor
// a reload of a user is an arrival.
func WithCount(c Count) Option { return func(cfg *config) { cfg.count = c } }

// Count is a count of an [occupancy.Occupancy].
type Count int

// The counts.
const (
	Connections Count = iota
	PresenceMembers
	Users // requires an engine with occupancy.WithUsers
)

func newConfig(e *occupancy.Engine, opts []Option) config {
	c := config{halfLife: 10 * time.Minute, warmup: time.Minute, minimum: 5, filter: func(string) bool { return true }}
	for _, o := range opts {
		o(&c)
	}
	switch {
	case c.halfLife <= 0:
		panic(fmt.Sprintf("trending: WithHalfLife: %v is not positive", c.halfLife))
	case c.warmup < 0:
		panic(fmt.Sprintf("trending: WithWarmup: %v is negative", c.warmup))
	case c.minimum < 1 || c.minimum > math.MaxInt32:
		panic(fmt.Sprintf("trending: WithMinimum: %v is not between 1 and 2³¹-1", c.minimum))
	case c.minUsers < 0:
		panic(fmt.Sprintf("trending: WithMinUsers: %d is negative", c.minUsers))
	case c.filter == nil:
		panic("trending: WithFilter: the function is nil")
	case c.count < Connections || c.count > Users:
		panic(fmt.Sprintf("trending: WithCount: invalid count %d", c.count))
	case c.count == Users && !e.CountsUsers():
		panic("trending: WithCount: Users requires an engine with occupancy.WithUsers")
	case c.minUsers > 0 && !e.CountsUsers():
		panic("trending: WithMinUsers requires an engine with occupancy.WithUsers")
	}
	return c
}
