//go:build linux

package main

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/occupancy/occupancy"
)

const clientID = "client"

// driver changes the rooms of one node, one after another in a random order: a client
// joins and enters an empty room, or exits and leaves an occupied room. If there are enough
// rooms, no room changes twice in one flush interval.
type driver struct {
	rooms    []*occupancy.Room
	occupied []bool // by room: whether this driver's client is in the room
	order    []int

	changes  atomic.Int64 // the number of changes
	maxDelay atomic.Int64 // the longest delay of a change, in nanoseconds
	err      error
}

func newDriver(eng *occupancy.Engine, names []string) *driver {
	d := &driver{occupied: make([]bool, len(names)), order: rand.Perm(len(names))}
	for _, name := range names {
		d.rooms = append(d.rooms, eng.Room(name))
	}
	return d
}

// run makes a change after each gap until ctx ends. A late change does not delay the
// following changes.
func (d *driver) run(ctx context.Context, gap time.Duration) {
	due := time.Now().Add(rand.N(gap))
	for ; d.err == nil && sleep(ctx, time.Until(due)); due = due.Add(gap) {
		d.maxDelay.Store(max(d.maxDelay.Load(), int64(time.Since(due))))
		n := d.changes.Add(1) - 1
		d.err = d.change(d.order[n%int64(len(d.order))])
	}
}

func (d *driver) change(i int) error {
	room := d.rooms[i]
	d.occupied[i] = !d.occupied[i]
	if d.occupied[i] {
		if err := room.Join(); err != nil {
			return err
		}
		return room.Enter(clientID)
	}
	if err := room.Exit(clientID); err != nil {
		return err
	}
	return room.Leave()
}

// sleep reports whether d has passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
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
