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
	loadTime time.Duration // duration of the load in each round
	rooms    int
	interval time.Duration
	seed     uint64
}

const (
	timeout       = 30 * time.Second // of each check; generous for a busy machine
	maxHeapGrowth = 512 << 10        // bytes; the engine keeps queues and tables of minimum size
)

// run loads one engine, round after round, until the time is over or ctx is done. It
// returns the first failed check.
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
		r = nil // so that only the engine is left on the heap
		line.heap, line.goroutines = liveHeap()-heap, waitForGoroutines(goroutines+1)-goroutines
		t.add(line)
		if line.heap > maxHeapGrowth {
			return fmt.Errorf("round %d: %d bytes are not released", n, line.heap)
		}
		if line.goroutines > 1 {
			return fmt.Errorf("round %d: %d goroutines are left in addition to that of the engine", n, line.goroutines-1)
		}
	}
	if err := e.Close(); err != nil {
		return err
	}
	if left := waitForGoroutines(goroutines) - goroutines; left > 0 {
		return fmt.Errorf("%d goroutines are left after Close", left)
	}
	t.end(ctx.Err() != nil)
	return nil
}

// waitForGoroutines waits until at most limit goroutines run, or until the timeout. It
// returns the number of goroutines. A goroutine that has called Done of a WaitGroup may not
// have ended yet.
func waitForGoroutines(limit int) int {
	for begun := time.Now(); runtime.NumGoroutine() > limit && time.Since(begun) < timeout; {
		time.Sleep(time.Millisecond)
	}
	return runtime.NumGoroutine()
}

// liveHeap returns the bytes in use after garbage collection.
func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // collects what the first one finalized
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// round applies load to the engine for a fixed time, and then checks the engine.
type round struct {
	config
	e     *occupancy.Engine
	link  *occupancy.Link
	n     int
	names []string

	calls, reads atomic.Uint64 // calls under load; events that listeners read
	failed       atomic.Pointer[error]
	loading      sync.WaitGroup // goroutines that run under load
	listening    sync.WaitGroup // subscribers and watchers that read

	callers  []*caller
	nodes    []*node
	subs     []*subscriber
	watchers []*watcher
}

func newRound(e *occupancy.Engine, c config, n int) *round {
	r := &round{config: c, e: e, n: n, names: make([]string, c.rooms)}
	for i := range r.names {
		r.names[i] = fmt.Sprintf("room/%d", i)
	}
	return r
}

// fail records the first error.
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
	link, err := r.e.Link(nil)
	if err != nil {
		return line{}, err
	}
	r.link = link
	r.subscribeAndWatch()
	begun := time.Now()
	loadCtx, cancel := context.WithTimeout(ctx, r.loadTime)
	defer cancel()
	for i := range 2 * runtime.GOMAXPROCS(0) {
		r.startCaller(loadCtx, i)
	}
	for i := range 2 {
		r.startNode(loadCtx, i)
		r.startShortListeners(loadCtx, i)
	}
	r.startReader(loadCtx)
	<-loadCtx.Done()
	heapUnderLoad := liveHeap()
	r.loading.Wait()
	took := time.Since(begun)

	settled, err := r.settle(r.want())
	if err == nil {
		err = r.release()
	}
	if err = errors.Join(r.error(), err); err != nil {
		return line{}, err
	}
	s := r.e.Stats()
	return line{
		round: r.n, took: took, settled: settled,
		calls: r.calls.Load(), reads: r.reads.Load(), heapUnderLoad: heapUnderLoad,
		published: s.Published - before.Published,
		delivered: s.Delivered - before.Delivered,
		coalesced: s.Folded - before.Folded,
	}, nil
}

// counts are the expected counts of each room.
type counts struct {
	local, total map[string]occupancy.Occupancy
}

// want returns the counts that the engine must have: the sum of the counts that the callers
// and nodes added.
func (r *round) want() counts {
	w := counts{map[string]occupancy.Occupancy{}, map[string]occupancy.Occupancy{}}
	for _, c := range r.callers {
		for room, o := range c.counts() {
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

// settle checks that the counts are exact. Then it waits until every listener has received
// the final counts. It returns the time that this took.
func (r *round) settle(w counts) (time.Duration, error) {
	begun := time.Now()
	if err := r.checkCounts(w); err != nil {
		return 0, err
	}
	for {
		err := r.checkListeners(w)
		if err == nil {
			return time.Since(begun), r.checkStalled(w)
		}
		if time.Since(begun) > timeout {
			return 0, err
		}
		time.Sleep(r.interval / 10)
	}
}

// checkCounts checks Current, Local and All of every room.
func (r *round) checkCounts(w counts) error {
	for _, name := range r.names {
		if got := r.e.Current(name); got != w.total[name] {
			return fmt.Errorf("%s: Current is %+v, want %+v", name, got, w.total[name])
		}
		if got := r.e.Local(name); got != w.local[name] {
			return fmt.Errorf("%s: Local is %+v, want %+v", name, got, w.local[name])
		}
	}
	for room, got := range r.e.All() {
		if got != w.total[room] {
			return fmt.Errorf("%s: All has %+v, want %+v", room, got, w.total[room])
		}
	}
	return nil
}

// release removes all counts and listeners. It checks that every listener is notified, and
// that the engine has no rooms and no listeners left.
func (r *round) release() error {
	for _, c := range r.callers {
		c.removeAll()
	}
	for _, n := range r.nodes {
		_ = n.remote.Close()
	}
	if err := r.error(); err != nil {
		return err
	}
	if _, err := r.settle(counts{}); err != nil {
		return fmt.Errorf("after everything was removed: %w", err)
	}
	for _, s := range r.subs {
		s.sub.Unsubscribe()
	}
	for _, w := range r.watchers {
		_ = w.watcher.Close()
	}
	r.listening.Wait()
	if err := r.link.Close(); err != nil {
		return err
	}
	for begun := time.Now(); ; time.Sleep(r.interval) {
		s := r.e.Stats()
		none := occupancy.Occupancy{}
		if s.Rooms+s.Subscriptions+s.Watchers == 0 && s.Total == none && s.Local == none && s.Arrivals == s.Departures {
			// The rooms are dropped after an interval.
			time.Sleep(3 * r.interval)
			return nil
		}
		if time.Since(begun) > timeout {
			return fmt.Errorf("after everything was removed, the engine has %+v", s)
		}
	}
}
