//go:build unix

package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

// probe is a room that one node joins again and again, and another subscribes to. The
// count numbers the changes, so that one event tells of all up to it.
type probe struct {
	name string
	from *occupancy.Room
	sub  *occupancy.Subscription
	err  error

	mu   sync.Mutex // protects the following
	made []time.Time
	took []time.Duration // of the first that were heard of
}

func newProbe(name string, from, to *occupancy.Engine) (*probe, error) {
	sub, err := to.Subscribe(name)
	return &probe{name: name, from: from.Room(name), sub: sub}, err
}

// interval is an engine's own, without an option.
const interval = 100 * time.Millisecond

// run joins after pauses of random length, so that it meets flushes at any point, and does
// not wait for what it did to be heard of. The pauses are the gap on the average, and
// never less than the engine's interval, for which an engine keeps back what changes
// again: it is the way that is to be timed.
func (p *probe) run(ctx context.Context, gap time.Duration) {
	for p.err == nil && pause(ctx, interval+rand.N(2*(gap-interval))) {
		p.mu.Lock()
		p.made = append(p.made, time.Now())
		p.mu.Unlock()
		p.err = p.from.Join()
	}
}

// listen ends with the subscription.
func (p *probe) listen() {
	for e := range p.sub.Events() {
		now := time.Now()
		p.mu.Lock()
		for len(p.took) < min(e.Occupancy.Connections, len(p.made)) {
			p.took = append(p.took, now.Sub(p.made[len(p.took)]))
		}
		p.mu.Unlock()
	}
}

// heard reports whether all that was done was told.
func (p *probe) heard() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.took) == len(p.made)
}
