//go:build linux

package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

// probe measures the time from a change on one node to the event on another node. The
// first node joins the probe's room again and again. The second node subscribes to this
// room. An event with n connections confirms the first n changes.
type probe struct {
	name string
	from *occupancy.Room
	to   *occupancy.Engine
	sub  *occupancy.Subscription
	err  error

	mu        sync.Mutex      // protects the following
	changes   []time.Time     // the times of the changes
	latencies []time.Duration // the latencies of the confirmed changes, in the same order
}

func newProbe(name string, from, to *occupancy.Engine) (*probe, error) {
	sub, err := to.Subscribe(name)
	return &probe{name: name, from: from.Room(name), to: to, sub: sub}, err
}

// interval is the default interval of an engine.
const interval = 100 * time.Millisecond

// run joins the room after random pauses, so that the changes are spread over the whole
// flush interval. It does not wait for the events. The mean of the pauses is gap. No pause
// is shorter than the engine's interval, because the engine would delay the change, and
// this delay would distort the measurement.
func (p *probe) run(ctx context.Context, gap time.Duration) {
	for p.err == nil && sleep(ctx, interval+rand.N(2*(gap-interval))) {
		p.mu.Lock()
		p.changes = append(p.changes, time.Now())
		p.mu.Unlock()
		p.err = p.from.Join()
	}
}

// receive records the latencies until the subscription ends.
func (p *probe) receive() {
	for e := range p.sub.Events() {
		now := time.Now()
		p.mu.Lock()
		for len(p.latencies) < min(e.Occupancy.Connections, len(p.changes)) {
			p.latencies = append(p.latencies, now.Sub(p.changes[len(p.latencies)]))
		}
		p.mu.Unlock()
	}
}

// confirmed reports whether all changes are confirmed.
func (p *probe) confirmed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.latencies) == len(p.changes)
}
