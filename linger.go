package occupancy

import (
	"container/heap"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Linger closes the lease after d, unless its client reconnects first. Until then the
// connection and its clients remain counted, so others do not notice that a page was
// reloaded or that a network broke for a moment.
//
// The client reconnects when it connects to the room with [As], or through a [Session], on the
// same engine. The new lease takes over the place of the lease that lingers, in one step: no
// count changes, no event is published, and the clients that had entered remain members. [Max]
// does not refuse it. If several leases of the client linger in the room, the one that began
// first is taken over. A lease has one client that can take it over: one that has entered,
// or its session's.
//
// If the client enters the room on another node, the lease ends when the link reports that
// the client is there: see [WithUserHash].
//
// Enter and Exit return ErrClosed on a lease that lingers. Close ends it at once, so a handler
// must call either Linger or Close when its connection ends. If d is zero or negative, Linger is
// Close. Otherwise it does nothing if the lease is closed or lingers already, or if the engine is
// closed. It does not block. The memory of a lingering lease grows by about 56 bytes, and all of
// them share one timer.
func (l *Lease) Linger(d time.Duration) {
	if l == nil {
		return
	}
	if d <= 0 {
		_ = l.Close()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.closed = true
	if l.e.lingering.add(l, l.e.pub.now()+min(d, 1<<62)) {
		l.e.pub.inbox.signal()
	}
}

// lingering holds the leases that linger. The scheduler's goroutine ends them in the order of
// their deadlines. The caller that removes a lease from the heap must end or take over its place.
//
// The leases of one client in one room are a ring from the oldest to the newest, whose next is
// the oldest again.
type lingering struct {
	seed  maphash.Seed
	count atomic.Int64
	next  atomic.Int64 // the first deadline, or never

	mu       sync.Mutex // protects the following, and Lease.heapIndex and Lease.next
	heap     lingerHeap
	userHash func(clientID string) uint64 // of client IDs: that of the link, after the first Link with one
	clients  map[uint64]*Lease            // the newest lease of each ring, by the hash of the room and the client
	most     int                          // see shrink
	closed   bool
}

func newLingering() *lingering {
	s := &lingering{seed: maphash.MakeSeed(), clients: map[uint64]*Lease{}}
	s.userHash = func(id string) uint64 { return maphash.String(s.seed, id) }
	s.next.Store(int64(never))
	return s
}

func (s *lingering) len() int { return int(s.count.Load()) }

// first returns the first deadline, or never.
func (s *lingering) first() time.Duration { return time.Duration(s.next.Load()) }

func (s *lingering) hash(c *cell, id string) uint64 {
	return s.hashUser(roomUser{c, s.userHash(id)})
}

func (s *lingering) hashUser(u roomUser) uint64 { return maphash.Comparable(s.seed, u) }

// setHash replaces userHash.
func (s *lingering) setHash(hash func(clientID string) uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.clients
	s.userHash, s.clients = hash, make(map[uint64]*Lease, len(old))
	for _, last := range old {
		for l, next := last.next, (*Lease)(nil); ; l = next {
			next = l.next
			s.join(l)
			if l == last {
				break
			}
		}
	}
}

// join adds a lease to the end of its ring.
func (s *lingering) join(l *Lease) {
	h := s.hash(l.cell, l.client)
	if last := s.clients[h]; last != nil {
		l.next, last.next = last.next, l
	} else {
		l.next = l
	}
	s.clients[h] = l
}

// endAll ends the leases of a user that linger, because the user is on another node now.
func (s *lingering) endAll(u roomUser) {
	for {
		s.mu.Lock()
		l := s.clients[s.hashUser(u)]
		s.mu.Unlock()
		if l == nil || l.cell != u.room {
			return
		}
		l.mu.Lock()
		l.stopLingering(false)
		l.mu.Unlock()
	}
}

// add adds a lease, and reports whether its deadline is the first.
func (s *lingering) add(l *Lease, at time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	heap.Push(&s.heap, lingerer{at, l})
	if l.client != "" {
		s.join(l)
	}
	s.update()
	return s.heap[0].lease == l
}

// find returns the first lease in c whose client is one of the clients of l, or nil. The caller
// holds mu.
func (s *lingering) find(c *cell, l *Lease) *Lease {
	ids := []string{l.client} // no lease in clients has the client ""
	if l.others != nil {
		ids = l.others.appendTo(ids)
	}
	for _, id := range ids {
		if old := s.firstOf(c, id); old != nil {
			return old
		}
	}
	return nil
}

// firstOf returns the first lease of the client in c, or nil.
func (s *lingering) firstOf(c *cell, id string) *Lease {
	last := s.clients[s.hash(c, id)]
	// An empty room has no place to take over: other hooks have removed it.
	if w := c.word.Load(); last == nil || w == retired || stateOf(w) != occupied {
		return nil
	}
	for l := last.next; ; l = l.next {
		if l.cell == c && l.client == id { // another client may have the same hash
			return l
		}
		if l == last {
			return nil
		}
	}
}

// remove removes a lease, and reports whether it lingered.
func (s *lingering) remove(l *Lease) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.heapIndex == 0 {
		return false
	}
	s.drop(l)
	return true
}

// due returns the first lease if its deadline has passed, or nil.
func (s *lingering) due(now time.Duration) *Lease {
	if s.first() > now {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.heap) == 0 || s.heap[0].at > now {
		return nil
	}
	return s.heap[0].lease
}

// endDue ends the leases whose time is over, but not more than a quantum.
func (s *lingering) endDue(now time.Duration) {
	for range quantum {
		l := s.due(now)
		if l == nil {
			return
		}
		l.mu.Lock() // so that a concurrent Close does not return before the end of the lease is counted
		l.stopLingering(false)
		l.mu.Unlock()
	}
}

// drop removes a lease that lingers.
func (s *lingering) drop(l *Lease) {
	heap.Remove(&s.heap, int(l.heapIndex-1))
	if l.next != nil {
		h := s.hash(l.cell, l.client)
		last := s.clients[h]
		before := last
		for before.next != l {
			before = before.next
		}
		before.next = l.next
		switch {
		case before == l:
			delete(s.clients, h)
		case last == l:
			s.clients[h] = before
		}
		l.next = nil
	}
	s.update()
}

// update updates the fields that are read without the lock, and releases the memory of many
// leases that have ended.
func (s *lingering) update() {
	n := len(s.heap)
	s.count.Store(int64(n))
	if n == 0 {
		s.next.Store(int64(never))
	} else {
		s.next.Store(int64(s.heap[0].at))
	}
	if cap(s.heap) > blockLen && n < cap(s.heap)/4 {
		s.heap = slices.Clone(s.heap)
	}
	shrink(&s.clients, &s.most, blockLen)
}

// close removes all leases. The engine is being closed, so they remain counted.
func (s *lingering) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, e := range s.heap {
		e.lease.heapIndex, e.lease.next = 0, nil
	}
	s.heap, s.clients, s.most = nil, nil, 0
	s.update()
}

// lingerHeap has the first deadline first.
type lingerHeap []lingerer

type lingerer struct {
	at    time.Duration
	lease *Lease
}

func (h lingerHeap) Len() int           { return len(h) }
func (h lingerHeap) Less(i, j int) bool { return h[i].at < h[j].at }

func (h lingerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].lease.heapIndex, h[j].lease.heapIndex = int32(i+1), int32(j+1)
}

func (h *lingerHeap) Push(e any) {
	*h = append(*h, e.(lingerer))
	(*h)[len(*h)-1].lease.heapIndex = int32(len(*h))
}

func (h *lingerHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	e.lease.heapIndex = 0
	(*h)[last] = lingerer{}
	*h = (*h)[:last]
	return e
}
