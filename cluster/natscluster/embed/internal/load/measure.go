//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

// run measures. There is a report where there was something to measure, though the
// counts may not be exact.
func run(ctx context.Context, c config) (*report, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	r, err := runNodes(ctx, c)
	if err != nil || c.changes == 0 {
		return r, err
	}
	return r, r.measureFloors(ctx)
}

// runNodes leaves nothing that runs, so that the floors have the machine to themselves.
func runNodes(ctx context.Context, c config) (r *report, err error) {
	server, err := startServer(c.profiles)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	nodes, err := startFleet(ctx, server.address, c.nodes, c.flush)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, nodes.close()) }()
	l, err := newLoad(c, nodes)
	if err != nil {
		return nil, err
	}
	if c.profiles != "" {
		stop, err := profile(filepath.Join(c.profiles, "nodes.pprof"))
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	return l.measure(ctx, server)
}

// load is what is done to the nodes.
type load struct {
	config
	nodes   fleet
	names   []string // of the rooms
	drivers []*driver
	probes  []*probe
}

func newLoad(c config, nodes fleet) (*load, error) {
	l := &load{config: c, nodes: nodes}
	for i := range c.rooms {
		l.names = append(l.names, fmt.Sprintf("room-%04d", i))
	}
	for i, m := range nodes {
		l.drivers = append(l.drivers, newDriver(m.eng, l.names))
		p, err := newProbe(fmt.Sprintf("probe-%d", i), m.eng, nodes[(i+len(nodes)/2)%len(nodes)].eng)
		if err != nil {
			return nil, err
		}
		l.probes = append(l.probes, p)
	}
	return l, nil
}

func (l *load) measure(ctx context.Context, server *process) (*report, error) {
	loading, cancel := context.WithCancel(ctx)
	var making, listening sync.WaitGroup
	defer listening.Wait()
	defer l.unsubscribe()
	defer making.Wait()
	defer cancel()
	var warm time.Duration
	if l.changes > 0 {
		gap := max(1, time.Duration(len(l.nodes))*time.Second/time.Duration(l.changes))
		for _, d := range l.drivers {
			making.Go(func() { d.run(loading, gap) })
		}
		warm = min(l.duration, time.Duration(l.rooms)*gap) // a room that is new costs more
	}
	if !pause(ctx, warm) {
		return nil, context.Cause(ctx)
	}
	for _, p := range l.probes {
		listening.Go(p.listen)
		making.Go(func() { p.run(loading, time.Second/time.Duration(l.config.probes)) })
	}

	before := l.nodes.sample()
	from, err := server.counters()
	if err != nil {
		return nil, err
	}
	for _, d := range l.drivers {
		d.behind.Store(0)
	}
	begun, used, made := time.Now(), cpu(), l.made()
	pause(ctx, l.duration)
	to, err := server.counters()
	if err != nil {
		return nil, err
	}
	r := &report{config: l.config, took: time.Since(begun), cpu: cpu() - used, made: l.made() - made, from: from, to: to, nameLen: len(l.names[0])}
	r.traffic = between(before, l.nodes.sample())

	cancel()
	making.Wait()
	rested := time.Now()
	err = errors.Join(l.errors(), l.settle())
	r.settled, r.exact = time.Since(rested), l.exact()
	for _, d := range l.drivers {
		r.behind = max(r.behind, time.Duration(d.behind.Load()))
	}
	for _, p := range l.probes {
		p.mu.Lock()
		r.latencies = append(r.latencies, p.took...)
		p.mu.Unlock()
	}
	slices.Sort(r.latencies)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	r.heap = m.HeapAlloc
	return r, err
}

// made is how many changes there were, without the probes'.
func (l *load) made() (n int64) {
	for _, d := range l.drivers {
		n += d.changes.Load()
	}
	return n
}

func (l *load) errors() error {
	var errs []error
	for i := range l.nodes {
		errs = append(errs, l.drivers[i].err, l.probes[i].err)
	}
	return errors.Join(errs...)
}

func (l *load) unsubscribe() {
	for _, p := range l.probes {
		p.sub.Unsubscribe()
	}
}

// settle waits until every node is exact. Not for ctx, which an interrupt ends.
func (l *load) settle() error {
	return until(context.Background(), "every node is exact, and every probe was heard", func() bool {
		return l.exact() == len(l.nodes) && !slices.ContainsFunc(l.probes, func(p *probe) bool { return !p.heard() })
	})
}

// exact is at how many nodes every room is what was done to it, and no other is known.
func (l *load) exact() (nodes int) {
	want := map[string]occupancy.Occupancy{}
	for i, name := range l.names {
		n := 0
		for _, d := range l.drivers {
			if d.in[i] {
				n++
			}
		}
		want[name] = occupancy.Occupancy{Connections: n, PresenceMembers: n}
	}
	for _, p := range l.probes {
		p.mu.Lock()
		want[p.name] = occupancy.Occupancy{Connections: len(p.made)}
		p.mu.Unlock()
	}
	for _, m := range l.nodes {
		right := true
		for room, o := range want {
			right = right && m.eng.Current(room) == o
		}
		for room, o := range m.eng.All() {
			right = right && want[room] == o
		}
		if right {
			nodes++
		}
	}
	return nodes
}
