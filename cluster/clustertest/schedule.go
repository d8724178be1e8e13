package clustertest

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/occupancy/occupancy/cluster"
)

// schedule is the messages that arrive later. While there are any, one goroutine
// waits for the next. The network's mu protects it.
type schedule struct {
	queue  arrivals
	runs   bool
	sooner chan struct{} // tells the goroutine that what is next has changed
}

// delayed is a message on its way.
type delayed struct {
	due      time.Duration // since the network's start, in whole milliseconds
	from, to *Bus
	n        uint64 // of all messages that its sender sent, in order
	m        cluster.Message
}

func (s *schedule) empty() bool { return len(s.queue) == 0 }

func (s *schedule) add(n *Network, d delayed) {
	d.due = (d.due + time.Millisecond - 1).Truncate(time.Millisecond)
	heap.Push(&s.queue, d)
	switch {
	case !s.runs:
		s.runs = true
		s.sooner = make(chan struct{}, 1)
		go n.deliver()
	case s.queue[0].due == d.due:
		s.wake()
	}
}

// forget drops what is on its way to a bus.
func (s *schedule) forget(b *Bus) {
	s.queue = slices.DeleteFunc(s.queue, func(d delayed) bool { return d.to == b })
	heap.Init(&s.queue)
	if s.runs && s.empty() {
		s.wake()
	}
}

func (s *schedule) wake() {
	select {
	case s.sooner <- struct{}{}:
	default:
	}
}

// deliver delivers what is due until nothing is on its way.
func (n *Network) deliver() {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := &n.late
	for {
		now := time.Since(n.start)
		for !s.empty() && s.queue[0].due <= now {
			d := heap.Pop(&s.queue).(delayed)
			if n.reach(d.from, d.to) || d.from.closed && d.to.up && n.group[d.from.name] == n.group[d.to.name] {
				d.to.receive(d.m)
			}
		}
		if s.empty() {
			s.runs = false
			return
		}
		next := time.NewTimer(s.queue[0].due - now)
		n.mu.Unlock()
		select {
		case <-next.C:
		case <-s.sooner:
			next.Stop()
		}
		n.mu.Lock()
	}
}

// arrivals is a heap, ordered by time and then by what does not depend on how
// goroutines are scheduled.
type arrivals []delayed

func (a arrivals) Len() int      { return len(a) }
func (a arrivals) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a arrivals) Less(i, j int) bool {
	return cmp.Or(
		cmp.Compare(a[i].due, a[j].due),
		cmp.Compare(a[i].from.name, a[j].from.name),
		cmp.Compare(a[i].to.name, a[j].to.name),
		cmp.Compare(a[i].n, a[j].n),
	) < 0
}
func (a *arrivals) Push(x any) { *a = append(*a, x.(delayed)) }
func (a *arrivals) Pop() any {
	last := len(*a) - 1
	d := (*a)[last]
	(*a)[last] = delayed{}
	*a = (*a)[:last]
	return d
}
