package occupancy

import "time"

// scheduler decides when the publisher visits rooms. Its goroutine visits the rooms that hooks
// have pushed to the inbox, and the rooms that wait in a queue until a deadline. It sleeps
// while there are none. A hook may also publish a room itself: see dispatch.
type scheduler struct {
	pub       *publisher
	lingering *lingering
	timer     *time.Timer
	stopped   chan struct{} // closed when the goroutine has ended; Engine.Done

	spare, spareUrgent fifo[*cell] // for the inbox; only the goroutine uses them

	// publisher.mu protects the following.
	armed           time.Duration // the time for which timer is set, or never
	totalsUpdated   chan struct{} // closed when the totals are up to date; nil if no call of Stats waits
	totalsUpdatedAt time.Duration // when the last update of the totals began
}

// never is a time that no timer reaches.
const never = time.Duration(1<<63 - 1)

func newScheduler(p *publisher, l *lingering) *scheduler {
	s := &scheduler{
		pub:             p,
		lingering:       l,
		timer:           time.NewTimer(never),
		stopped:         make(chan struct{}),
		armed:           never,
		totalsUpdatedAt: -maxLag,
	}
	s.timer.Stop()
	go s.run()
	return s
}

func (s *scheduler) run() {
	defer close(s.stopped)
	for !s.pub.rooms.closed.Load() {
		s.round()
		s.updateTotals()
		s.pub.mu.Lock()
		s.armed = never
		s.arm()
		s.pub.mu.Unlock()
		select {
		case <-s.pub.inbox.wake:
		case <-s.timer.C:
		}
	}
	s.timer.Stop()
	s.lingering.close()
	s.pub.finish()
}

// arm sets the timer to the first deadline, unless it is set to an earlier time. The caller
// holds publisher.mu.
func (s *scheduler) arm() {
	first := s.lingering.first()
	for _, queue := range []*fifo[deadline]{&s.pub.waiting, &s.pub.emptied} {
		if front := queue.front(); len(front) > 0 {
			first = min(first, front[0].at)
		}
	}
	if first < s.armed {
		s.armed = first
		s.timer.Reset(first - s.pub.now())
	}
}

// round publishes all that is due now.
func (s *scheduler) round() {
	p, began := s.pub, s.pub.now()
	s.lingering.endDue(began) // first, so that an interval that is over now has one event
	arrived := p.inbox.take(s.spare)
	work := !arrived.empty()
	work = s.drainUrgent() || work
	s.drain(&arrived, began)
	s.spare = arrived
	work = s.visitDue(&p.waiting) || work
	work = s.visitDue(&p.emptied) || work
	if work {
		p.countRound(p.now() - began)
	}
}

// drain visits the rooms that hooks have pushed. Before every quantum of them, it visits the
// urgent rooms. The visits have been due since the time due.
func (s *scheduler) drain(arrived *fifo[*cell], due time.Duration) {
	for !arrived.empty() {
		s.drainUrgent()
		s.visitFront(arrived, due)
	}
}

// drainUrgent visits the urgent rooms that hooks have pushed, and reports whether there
// were any.
func (s *scheduler) drainUrgent() (found bool) {
	urgent := s.pub.inbox.takeUrgent(s.spareUrgent)
	for due := s.pub.now(); !urgent.empty(); found = true {
		s.visitFront(&urgent, due)
	}
	s.spareUrgent = urgent
	return found
}

// visitFront visits the first rooms of arrived: about a quantum.
func (s *scheduler) visitFront(arrived *fifo[*cell], due time.Duration) {
	p := s.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	now, done := p.now(), 0
	front := arrived.front()
	for left := quantum; done < len(front) && left > 0; done++ {
		prefetch(done, front, func(c *cell) *cell { return c })
		left -= p.visit(front[done], now, due, false)
	}
	p.watchers.wake()
	arrived.drop(done)
}

// visitDue visits the rooms of a queue whose deadline has passed, and reports whether
// there were any. A visit may queue the room again.
func (s *scheduler) visitDue(queue *fifo[deadline]) (found bool) {
	p := s.pub
	began := p.now()
	for {
		s.drainUrgent()
		p.mu.Lock()
		now, done := p.now(), 0
		front := queue.front()
		for left := quantum; done < len(front) && left > 0 && front[done].at <= began; done++ {
			prefetch(done, front, func(d deadline) *cell { return d.c })
			left -= p.visit(front[done].c, now, front[done].at, true)
		}
		if done > 0 {
			queue.drop(done)
			p.watchers.wake()
		}
		p.mu.Unlock()
		if done == 0 {
			return found
		}
		found = true
	}
}

// updateTotals brings the totals up to date if a call of Stats waits for that. To do so, it
// publishes the rooms without listeners. After every quantum of rooms, it calls round, so that other
// rooms are not published late.
func (s *scheduler) updateTotals() {
	p := s.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.totalsUpdated == nil {
		return
	}
	began, left := p.now(), quantum
	p.rooms.cells.Range(func(c *cell) bool {
		if c.detached() || !p.hasListeners(c) { // the latter may wait for its interval
			p.publish(c, c.word.Load())
		}
		if left--; left > 0 {
			return true
		}
		left = quantum
		p.mu.Unlock()
		s.round()
		p.mu.Lock()
		return !p.rooms.closed.Load()
	})
	close(s.totalsUpdated)
	s.totalsUpdated, s.totalsUpdatedAt = nil, began
}

// maxLag is the largest age of the totals that Stats returns, for rooms without listeners.
const maxLag = time.Second

// freshTotals waits until the totals are at most maxLag old.
func (s *scheduler) freshTotals() {
	p := s.pub
	p.mu.Lock()
	if p.rooms.closed.Load() || p.now()-s.totalsUpdatedAt < maxLag {
		p.mu.Unlock()
		return
	}
	if s.totalsUpdated == nil {
		s.totalsUpdated = make(chan struct{})
	}
	updated := s.totalsUpdated
	p.mu.Unlock()
	p.inbox.signal()
	select {
	case <-updated:
	case <-s.stopped:
	}
}

// The following are called by hooks. The work of a hook is limited. A hook publishes a room
// itself only if the room has at most maxInlineListeners subscribers and watchers that have
// selected it, and if at most maxInlineSleepers watchers wait in Next.
const (
	maxInlineListeners = 8
	maxInlineSleepers  = 64
)

// dispatch publishes c, or adds c to the inbox, if the step from before to after has queued c.
// It publishes c only if inline is true, the room has subscribers, but only a few, and no other
// caller holds publisher.mu. Then the event need not wait until the goroutine gets a processor.
func (s *scheduler) dispatch(c *cell, before, after uint64, inline bool) {
	if !becameQueued(before, after) || inline && after&held != 0 && s.tryPublish(c, false) {
		return
	}
	s.pub.inbox.push(c, after&held != 0)
}

// publishNow publishes c if c is queued, under the conditions of dispatch.
func (s *scheduler) publishNow(c *cell) {
	if w := c.word.Load(); w&held != 0 && w&queued != 0 {
		s.tryPublish(c, true)
	}
}

// tryPublish publishes c, and reports whether c need not be pushed to the inbox. If wasQueued
// is true, c may have been published already.
func (s *scheduler) tryPublish(c *cell, wasQueued bool) bool {
	p := s.pub
	if !p.mu.TryLock() {
		return false
	}
	defer p.mu.Unlock()
	x := c.extra.Load()
	if p.rooms.closed.Load() || x == nil || x.subs.delivering || len(x.subs.list) == 0 || x.sampled > 0 ||
		len(x.subs.list)+len(p.watchers.selected[c.name]) > maxInlineListeners || p.watchers.busy() {
		return false
	}
	began := p.now()
	if began < x.next {
		return true // it is in the waiting queue: see visit
	}
	if wasQueued && x.next == 0 && p.openWatchers.Load() > 0 {
		return true // x is new, so next does not tell when a watcher received an event
	}
	p.visit(c, began, began, false)
	p.watchers.wake()
	s.arm()
	p.countRound(p.now() - began)
	return true
}
