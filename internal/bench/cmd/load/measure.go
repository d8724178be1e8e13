//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
	"time"

	"github.com/occupancy/occupancy"
)

// run runs the whole measurement. If the measurement succeeds but the counts are wrong at
// the end, it returns both a report and an error.
func run(ctx context.Context, c config) (*report, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	r, err := runNodes(ctx, c)
	if err != nil || c.changes == 0 {
		return r, err
	}
	return r, r.measureBaselines(ctx)
}

// runNodes measures the server and the nodes. It stops them before it returns, so that
// nothing else runs while the baselines are measured.
func runNodes(ctx context.Context, c config) (r *report, err error) {
	server, err := brokers[c.bus].start()
	if err != nil {
		return nil, err
	}
	defer server.stop()
	all, err := startNodes(ctx, server.address, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, all.close()) }()
	l, err := newLoad(c, all)
	if err != nil {
		return nil, err
	}
	if c.profile != "" {
		stop, err := startProfile(c.profile)
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	return l.measure(ctx, server)
}

// startProfile starts a CPU profile of this process.
func startProfile(file string) (stop func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // if the file is incomplete, the tool pprof reports an error
	}, nil
}

// load contains the nodes, and the drivers and probes that change their rooms.
type load struct {
	config
	nodes     nodes
	roomNames []string
	drivers   []*driver // one for each node
	probes    []*probe  // one for each node
}

func newLoad(c config, all nodes) (*load, error) {
	l := &load{config: c, nodes: all}
	for i := range c.rooms {
		l.roomNames = append(l.roomNames, fmt.Sprintf("room-%04d", i))
	}
	for i, n := range all {
		l.drivers = append(l.drivers, newDriver(n.eng, l.roomNames))
		p, err := newProbe(fmt.Sprintf("probe-%d", i), n.eng, all[(i+len(all)/2)%len(all)].eng)
		if err != nil {
			return nil, err
		}
		l.probes = append(l.probes, p)
	}
	return l, nil
}

func (l *load) measure(ctx context.Context, server *process) (*report, error) {
	loadCtx, cancel := context.WithCancel(ctx)
	var changers, receivers sync.WaitGroup
	defer receivers.Wait()
	defer l.unsubscribe()
	defer changers.Wait()
	defer cancel()
	var warmUp time.Duration
	if l.changes > 0 {
		gap := max(1, time.Duration(len(l.nodes))*time.Second/time.Duration(l.changes))
		for _, d := range l.drivers {
			changers.Go(func() { d.run(loadCtx, gap) })
		}
		warmUp = min(l.duration, time.Duration(len(l.roomNames))*gap) // creating a room costs more than changing it
	}
	if !sleep(ctx, warmUp) {
		return nil, context.Cause(ctx)
	}
	for _, p := range l.probes {
		receivers.Go(p.receive)
		changers.Go(func() { p.run(loadCtx, time.Second/time.Duration(l.probesPerSecond)) })
	}

	nodes, aggregators := l.nodes.sources()
	nodesBefore, aggregatorsBefore := takeSamples(nodes), takeSamples(aggregators)
	before, err := server.counters()
	if err != nil {
		return nil, err
	}
	for _, d := range l.drivers {
		d.maxDelay.Store(0)
	}
	start, cpu, changes := time.Now(), cpuTime(), l.countChanges()
	sleep(ctx, l.duration)
	after, err := server.counters()
	if err != nil {
		return nil, err
	}
	r := &report{
		config: l.config, elapsed: time.Since(start), before: before, after: after,
		nodesCPU: cpuTime() - cpu, changesMade: l.countChanges() - changes, nameLen: len(l.roomNames[0]),
	}
	r.traffic, r.aggregatorTraffic = between(nodesBefore, takeSamples(nodes)), between(aggregatorsBefore, takeSamples(aggregators))
	r.connectionTraffic = r.traffic.add(r.aggregatorTraffic, float64(len(aggregators))/float64(len(nodes)))

	cancel()
	changers.Wait()
	stopped := time.Now()
	err = errors.Join(l.errors(), l.awaitExact())
	r.exactAfter, r.exactNodeCount = time.Since(stopped), l.countExactNodes()
	for _, d := range l.drivers {
		r.maxDelay = max(r.maxDelay, time.Duration(d.maxDelay.Load()))
	}
	for _, p := range l.probes {
		p.mu.Lock()
		r.latencies = append(r.latencies, p.latencies...)
		p.mu.Unlock()
	}
	slices.Sort(r.latencies)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	r.heap = m.HeapAlloc
	return r, err
}

// countChanges returns the number of changes of all drivers.
func (l *load) countChanges() (n int64) {
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

// awaitExact waits until every node has the right counts. An interrupt does not end this
// wait.
func (l *load) awaitExact() error {
	return await(context.Background(), "every node is exact and every probe is confirmed", func() bool {
		return l.countExactNodes() == len(l.nodes) && !slices.ContainsFunc(l.probes, func(p *probe) bool { return !p.confirmed() })
	})
}

// countExactNodes returns the number of nodes that have the right counts of all rooms that they
// receive, and have no other rooms.
func (l *load) countExactNodes() (n int) {
	want := map[string]occupancy.Occupancy{}
	for i, name := range l.roomNames {
		clients := 0
		for _, d := range l.drivers {
			if d.occupied[i] {
				clients++
			}
		}
		want[name] = occupancy.Occupancy{Connections: clients, PresenceMembers: clients}
	}
	for _, p := range l.probes {
		p.mu.Lock()
		want[p.name] = occupancy.Occupancy{Connections: len(p.changes)}
		p.mu.Unlock()
	}
	for i, node := range l.nodes {
		exact := true
		for room, o := range want {
			if !l.receives(i, room) {
				o = occupancy.Occupancy{}
			}
			exact = exact && node.eng.Current(room) == o
		}
		for room, o := range node.eng.All() {
			exact = exact && want[room] == o
		}
		if exact {
			n++
		}
	}
	return n
}

// receives reports whether a node receives the counts of a room: with aggregators, a node with
// clients or a subscriber in the room, and the observer, which is the last node.
func (l *load) receives(node int, room string) bool {
	return l.mode == mesh || node == len(l.nodes)-1 || l.nodes[node].eng.Local(room) != (occupancy.Occupancy{}) ||
		slices.ContainsFunc(l.probes, func(p *probe) bool { return p.name == room && p.to == l.nodes[node].eng })
}
