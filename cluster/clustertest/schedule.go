package clustertest

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/occupancy/occupancy/cluster"
)

// schedule contains the delayed messages. While the schedule is not empty, a goroutine
// waits for the next delivery. The network's mu protects the schedule.
type schedule struct {
	heap    deliveryHeap
	running bool
	changed chan struct{} // notifies the goroutine that the next delivery has changed
}

// delivery is a delayed message.
type delivery struct {
	due      time.Duration // the time since the start of the network, in whole milliseconds
	from, to *Bus
	n        uint64 // the number of the message, in the order of publishing
	m        cluster.Message
}

func (s *schedule) empty() bool { return len(s.heap) == 0 }

func (s *schedule) add(n *Network, d delivery) {
	d.due = (d.due + time.Millisecond - 1).Truncate(time.Millisecond)
	heap.Push(&s.heap, d)
	switch {
	case !s.running:
		s.running = true
		s.changed = make(chan struct{}, 1)
		go n.deliverDelayed()
	case s.heap[0].due == d.due:
		s.notify()
	}
}

// removeTo removes the deliveries to a bus.
func (s *schedule) removeTo(b *Bus) {
	s.heap = slices.DeleteFunc(s.heap, func(d delivery) bool { return d.to == b })
	heap.Init(&s.heap)
	if s.running && s.empty() {
		s.notify()
	}
}

func (s *schedule) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// deliverDelayed delivers the delayed messages until the schedule is empty.
func (n *Network) deliverDelayed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := &n.delayed
	for {
		now := time.Since(n.start)
		for !s.empty() && s.heap[0].due <= now {
			d := heap.Pop(&s.heap).(delivery)
			if n.reaches(d.from, d.to) || d.from.closed && d.to.connected && !n.separated(d.from, d.to) {
				d.to.receive(d.m)
			}
		}
		if s.empty() {
			s.running = false
			return
		}
		next := time.NewTimer(s.heap[0].due - now)
		n.mu.Unlock()
		select {
		case <-next.C:
		case <-s.changed:
			next.Stop()
		}
		n.mu.Lock()
	}
}

// deliveryHeap is a heap in the order of delivery: by time, and then by criteria that do not
// depend on how goroutines are scheduled.
type deliveryHeap []delivery

func (a deliveryHeap) Len() int      { return len(a) }
func (a deliveryHeap) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a deliveryHeap) Less(i, j int) bool {
	return cmp.Or(
		cmp.Compare(a[i].due, a[j].due),
		cmp.Compare(a[i].from.name, a[j].from.name),
		cmp.Compare(a[i].to.name, a[j].to.name),
		cmp.Compare(a[i].n, a[j].n),
	) < 0
}
func (a *deliveryHeap) Push(x any) { *a = append(*a, x.(delivery)) }
func (a *deliveryHeap) Pop() any {
	last := len(*a) - 1
	d := (*a)[last]
	(*a)[last] = delivery{}
	*a = (*a)[:last]
	return d
}
