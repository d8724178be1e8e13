package main

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/occupancy/occupancy/cluster/internal/core"
)

// sim is the simulated network, and its clock.
type sim struct {
	config
	rand      *rand.Rand
	now       time.Duration
	queue     eventQueue
	events    int
	nodes     []*node // the plain nodes, then the observer and the aggregators
	byAddress map[uint32]*node
	traffic   traffic
	heapLimit uint64 // collectGarbage waits until the heap has this size in bytes
}

// traffic contains the messages since the start, by their kind and by the role of the receiver.
type traffic [core.SyncReply + 1][roles]flow

type flow struct{ messages, bytes int }

func newSim(c config) *sim {
	return &sim{config: c, rand: rand.New(rand.NewPCG(c.seed, 0)), byAddress: map[uint32]*node{}}
}

// at calls do at the given time.
func (s *sim) at(at time.Duration, do func()) {
	s.events++
	heap.Push(&s.queue, event{at, s.events, do})
}

// every calls do at constant intervals while it returns true.
func (s *sim) every(interval time.Duration, do func() bool) {
	s.at(s.now+interval, func() {
		if do() {
			s.every(interval, do)
		}
	})
}

// advance runs all events of the given time.
func (s *sim) advance(by time.Duration) {
	until := s.now + by
	for len(s.queue) > 0 && s.queue[0].at <= until {
		e := heap.Pop(&s.queue).(event)
		s.now = max(s.now, e.at)
		e.do()
		if s.events%10_000 == 0 {
			s.collectGarbage()
		}
	}
	s.now = until
}

// collectGarbage collects the garbage if there is much of it. Automatic collections are disabled,
// because they would take place during the measured calls, and their time depends on the heap of all
// nodes together.
func (s *sim) collectGarbage() {
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.HeapAlloc > s.heapLimit {
		s.heapLimit = heapInUse()*5/4 + 256<<20
	}
}

// heapInUse collects the garbage and returns the size of the heap in bytes.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// publish delivers a message to its receivers. The messages of one node to another
// one stay in order, because their delay is constant.
func (s *sim) publish(from *node, msg core.Message) {
	deliver := func(to *node) {
		s.at(s.now+from.distance+to.distance, func() {
			f := &s.traffic[msg.Kind][to.role]
			f.messages++
			f.bytes += len(msg.Payload)
			to.receive(msg)
		})
	}
	switch msg.Shard {
	case core.ToAll, core.ToAggregators:
		for _, to := range s.nodes {
			if msg.Shard == core.ToAll || to.role == aggregator {
				deliver(to)
			}
		}
	default:
		deliver(s.byAddress[msg.Shard])
	}
}

// until advances until the condition is true.
func (s *sim) until(limit time.Duration, condition string, isTrue func() bool) error {
	for end := s.now + limit; !isTrue(); s.advance(s.flush) {
		if s.now >= end {
			return fmt.Errorf("waiting until %s: not true after %v", condition, limit)
		}
	}
	return nil
}

// event is something that happens at a given time.
type event struct {
	at time.Duration
	n  int
	do func()
}

type eventQueue []event

func (q eventQueue) Len() int      { return len(q) }
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q eventQueue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[i].at, q[j].at), cmp.Compare(q[i].n, q[j].n)) < 0
}
func (q *eventQueue) Push(x any) { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = event{} // release what it refers to
	*q = (*q)[:len(*q)-1]
	return last
}
