package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/occupancy/occupancy"
)

type config struct {
	total    time.Duration
	load     time.Duration // of a round
	rooms    int
	interval time.Duration
	seed     uint64
}

const (
	patience = 20 * time.Second // for a machine that is busy with other things
	spare    = 512 << 10        // bytes that the engine may keep: queues and tables of the least size
)

// run soaks one engine, round after round, until the time is over or ctx is. The
// error is the first thing that was not as it has to be.
func run(ctx context.Context, c config, out io.Writer) error {
	begun := time.Now()
	goroutines, heap := runtime.NumGoroutine(), liveHeap()
	e := occupancy.New(occupancy.WithInterval(c.interval))
	defer e.Close()
	t := newTable(out, c)
	for n := 1; n == 1 || time.Since(begun) < c.total && ctx.Err() == nil; n++ {
		r := newRound(e, c, n)
		line, err := r.run(ctx)
		if err != nil {
			return fmt.Errorf("round %d, seed %d: %w", n, c.seed, err)
		}
		r = nil // and with it all that the round held, so that what is left is the engine's
		line.heap, line.goroutines = liveHeap()-heap, ended(goroutines+1)-goroutines
		t.add(line)
		if line.heap > spare {
			return fmt.Errorf("round %d: %d bytes are not given back", n, line.heap)
		}
		if line.goroutines > 1 {
			return fmt.Errorf("round %d: %d goroutines are left beside the engine's", n, line.goroutines-1)
		}
	}
	if err := e.Close(); err != nil {
		return err
	}
	if left := ended(goroutines) - goroutines; left > 0 {
		return fmt.Errorf("%d goroutines are left after Close", left)
	}
	t.end(ctx.Err() != nil)
	return nil
}

// ended is how many goroutines there are, once those that are about to end have: who
// was waited for has still to return.
func ended(most int) int {
	for begun := time.Now(); runtime.NumGoroutine() > most && time.Since(begun) < patience; {
		time.Sleep(time.Millisecond)
	}
	return runtime.NumGoroutine()
}

// liveHeap is what is in use once all that can be collected is.
func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first only finalized
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// round is one load and what it holds.
type round struct {
	config
	e     *occupancy.Engine
	n     int
	names []string

	calls, reads atomic.Uint64
	failed       atomic.Pointer[error]
	loading      sync.WaitGroup
	reading      sync.WaitGroup

	churners []*churner
	nodes    []*node
	subs     []*listener
	watchers []*mirror
}

func newRound(e *occupancy.Engine, c config, n int) *round {
	r := &round{config: c, e: e, n: n, names: make([]string, c.rooms)}
	for i := range r.names {
		r.names[i] = fmt.Sprintf("room/%d", i)
	}
	return r
}

// fail notes the first error.
func (r *round) fail(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	r.failed.CompareAndSwap(nil, &err)
}

func (r *round) error() error {
	if err := r.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (r *round) run(ctx context.Context) (line, error) {
	before := r.e.Stats()
	r.listen()
	begun := time.Now()
	load, cancel := context.WithTimeout(ctx, r.load)
	defer cancel()
	for i := range 2 * runtime.GOMAXPROCS(0) {
		r.churn(load, i)
	}
	for i := range 2 {
		r.link(load, i)
		r.flap(load, i)
	}
	r.look(load)
	<-load.Done()
	loaded := liveHeap()
	r.loading.Wait()
	took := time.Since(begun)

	settled, err := r.settle(r.expect())
	if err == nil {
		err = r.release()
	}
	if err = errors.Join(r.error(), err); err != nil {
		return line{}, err
	}
	s := r.e.Stats()
	return line{
		round: r.n, took: took, settled: settled,
		calls: r.calls.Load(), reads: r.reads.Load(), loaded: loaded,
		published: s.Published - before.Published,
		delivered: s.Delivered - before.Delivered,
		folded:    s.Folded - before.Folded,
	}, nil
}

// want is what each room has to be, by the books of those who loaded it.
type want struct {
	local, total map[string]occupancy.Occupancy
}

func (r *round) expect() want {
	w := want{map[string]occupancy.Occupancy{}, map[string]occupancy.Occupancy{}}
	for _, c := range r.churners {
		for room, o := range c.book() {
			w.local[room] = plus(w.local[room], o)
			w.total[room] = plus(w.total[room], o)
		}
	}
	for _, n := range r.nodes {
		for room, o := range n.parts {
			w.total[room] = plus(w.total[room], o)
		}
	}
	return w
}

func plus(a, b occupancy.Occupancy) occupancy.Occupancy {
	return occupancy.Occupancy{
		Connections:     a.Connections + b.Connections,
		PresenceMembers: a.PresenceMembers + b.PresenceMembers,
	}
}

// settle checks the counts, which are exact at once, and waits for the last words. It
// returns how long they took.
func (r *round) settle(w want) (time.Duration, error) {
	begun := time.Now()
	if err := r.counts(w); err != nil {
		return 0, err
	}
	for {
		err := r.lastWords(w)
		if err == nil {
			return time.Since(begun), r.sleepers(w)
		}
		if time.Since(begun) > patience {
			return 0, err
		}
		time.Sleep(r.interval / 10)
	}
}

// counts checks all that can be read.
func (r *round) counts(w want) error {
	for _, name := range r.names {
		if got := r.e.Current(name); got != w.total[name] {
			return fmt.Errorf("%s: Current is %+v, not %+v", name, got, w.total[name])
		}
		if got := r.e.Local(name); got != w.local[name] {
			return fmt.Errorf("%s: Local is %+v, not %+v", name, got, w.local[name])
		}
	}
	for room, got := range r.e.All() {
		if got != w.total[room] {
			return fmt.Errorf("%s: All has %+v, not %+v", room, got, w.total[room])
		}
	}
	return nil
}

// release empties the engine, and looks whether everybody is told and nothing is left.
func (r *round) release() error {
	for _, c := range r.churners {
		c.leave()
	}
	for _, n := range r.nodes {
		n.remote.Close()
	}
	if err := r.error(); err != nil {
		return err
	}
	if _, err := r.settle(want{}); err != nil {
		return fmt.Errorf("after all left: %w", err)
	}
	for _, s := range r.subs {
		s.sub.Unsubscribe()
	}
	for _, w := range r.watchers {
		w.watcher.Close()
	}
	r.reading.Wait()
	for begun := time.Now(); ; time.Sleep(r.interval) {
		s := r.e.Stats()
		left := s.Rooms + s.Connections + s.PresenceMembers + s.Subscriptions + s.Watchers
		if left == 0 {
			// The rooms go when they have cooled.
			time.Sleep(3 * r.interval)
			return nil
		}
		if time.Since(begun) > patience {
			return fmt.Errorf("after all left, the engine has %+v", s)
		}
	}
}
