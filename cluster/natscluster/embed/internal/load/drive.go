//go:build unix

package main

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/occupancy/occupancy"
)

// driver changes rooms at one node. It goes round them in an order of its own, and
// somebody joins the room and enters it, or exits and leaves if somebody is there. So
// with rooms enough no room changes twice within a flush.
type driver struct {
	rooms []*occupancy.Room
	in    []bool // that somebody is
	order []int

	changes atomic.Int64
	behind  atomic.Int64 // nanoseconds that a change was late by, at most
	err     error
}

func newDriver(eng *occupancy.Engine, names []string) *driver {
	d := &driver{in: make([]bool, len(names)), order: rand.Perm(len(names))}
	for _, name := range names {
		d.rooms = append(d.rooms, eng.Room(name))
	}
	return d
}

// run makes a change each gap. One that is late does not delay those after it.
func (d *driver) run(ctx context.Context, gap time.Duration) {
	due := time.Now().Add(rand.N(gap))
	for ; d.err == nil && pause(ctx, time.Until(due)); due = due.Add(gap) {
		d.behind.Store(max(d.behind.Load(), int64(time.Since(due))))
		n := d.changes.Add(1) - 1
		d.err = d.change(d.order[n%int64(len(d.order))])
	}
}

func (d *driver) change(i int) error {
	first, second := d.rooms[i].Join, d.rooms[i].Enter
	if d.in[i] {
		first, second = d.rooms[i].Exit, d.rooms[i].Leave
	}
	d.in[i] = !d.in[i]
	if err := first(); err != nil {
		return err
	}
	return second()
}

// pause reports whether the time went by before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
