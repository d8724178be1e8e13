package occupancy

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// publisher is the goroutine that publishes changes. The path of a change:
//
//	hook → counter → inbox → publisher → subscriptions
//	                                   ↘ journals → watchers
//
// A hook that changes an idle room replaces the room's idle flag by the queued flag. It
// then publishes the room itself, or pushes it to the inbox for the goroutine. A room that
// was published waits in a queue until its interval is over. Then either the room has
// changed, and is published and queued again, or it has not, and unqueue clears its
// queued flag. So the first change after a quiet interval is published at once, the hooks
// of a busy room only count, no room needs a timer, and the publisher sleeps while nothing
// changes.
//
// unqueue sets the idle flag of a room that has listeners. A room without listeners has
// neither flag: it is detached, and its hooks only count until one empties it. A new
// listener makes it idle again: see refresh and queueForListener. docs/design.md draws the states.
//
// A room is published if its counts differ from its last published value. unqueue changes
// the flags by a compare-and-swap on the word that was published. So no change is missed,
// for every interleaving, and an unnecessary visit does no harm.
type publisher struct {
	rooms     *rooms
	interval  time.Duration
	dropDelay time.Duration // before an emptied room without listeners is dropped
	start     time.Time     // times are durations since then
	inbox     inbox
	stopped   chan struct{} // closed when the goroutine has ended; Engine.Done

	// mu protects the following, and every cell's last and extra. No hook waits for it.
	mu              sync.Mutex
	seq             uint64                // the number of publications
	waiting         fifo[deadline]        // rooms with listeners, until their interval is over
	emptied         fifo[deadline]        // emptied rooms without listeners, until their dropDelay is over
	totalChanges    journal               // the rooms whose total changed
	localChanges    journal               // the rooms whose counts of this process changed
	remoteRooms     int                   // rooms that have parts of other nodes
	subscribedRooms int                   // rooms that have subscriptions
	selected        map[string][]*Watcher // the watchers of selected rooms, by room
	sleepers        []*Watcher            // the watchers that wait in Next
	anyDue          bool                  // some sleepers are due
	totalsUpdated   chan struct{}         // closed when the totals are up to date; nil if no call of Stats waits
	totalsUpdatedAt time.Duration         // when the last update of the totals began

	timer *time.Timer   // of the goroutine
	armed time.Duration // the time for which timer is set, or never

	// Only the goroutine uses the following.
	spare, spareUrgent fifo[*cell] // for the inbox

	tally
}

// deadline is the time at which to visit a room again. All rooms of one queue wait for the same
// time, so the queue is sorted.
type deadline struct {
	c  *cell
	at time.Duration
}

// tally is what Stats reads.
type tally struct {
	total, local                 sums // as last published
	arrivals, departures         atomic.Uint64
	subscriptions, watchers      atomic.Int64
	published, delivered, folded atomic.Uint64
	rounds                       atomic.Uint64
	publishing                   atomic.Int64 // nanoseconds
	refused                      refused      // here and not in Engine, whose cache line every hook reads
}

// sums are the counts of all rooms together.
type sums struct{ connections, presenceMembers atomic.Int64 }

// add adds the change of one room's counts. Both values are packed.
func (s *sums) add(before, after uint64) {
	b, a := unpack(before), unpack(after)
	s.connections.Add(int64(a.Connections - b.Connections))
	s.presenceMembers.Add(int64(a.PresenceMembers - b.PresenceMembers))
}

func (s *sums) read() Occupancy {
	return Occupancy{capInt(s.connections.Load()), capInt(s.presenceMembers.Load())}
}

// capInt converts n to an int, which has 32 bits on some processors.
func capInt(n int64) int { return int(min(n, math.MaxInt)) }

// countLocal adds a published change of this process's part of a room to the totals.
func (t *tally) countLocal(before, after uint64) {
	t.local.add(before, after)
	switch d := unpack(after).Connections - unpack(before).Connections; {
	case d > 0:
		t.arrivals.Add(uint64(d))
	case d < 0:
		t.departures.Add(uint64(-d))
	}
}

// maxDropDelay is the largest dropDelay. If the interval is longer, an emptied room without
// listeners is kept for maxDropDelay only. In that time many emptied
// rooms are joined again, and keep their cells.
const maxDropDelay = 100 * time.Millisecond

func newPublisher(r *rooms, interval time.Duration) *publisher {
	p := &publisher{
		rooms:           r,
		dropDelay:       min(interval, maxDropDelay),
		interval:        min(interval, 1<<62), // so that no deadline overflows
		start:           time.Now(),
		inbox:           inbox{wake: make(chan struct{}, 1)},
		stopped:         make(chan struct{}),
		totalsUpdatedAt: -maxLag,
		localChanges:    journal{local: true},
		selected:        map[string][]*Watcher{},
	}
	p.timer = time.NewTimer(never)
	p.timer.Stop()
	p.armed = never
	go p.run()
	return p
}

func (p *publisher) run() {
	defer close(p.stopped)
	for !p.rooms.closed.Load() {
		p.round()
		p.updateTotals()
		p.mu.Lock()
		p.armed = never
		p.arm()
		p.mu.Unlock()
		select {
		case <-p.inbox.wake:
		case <-p.timer.C:
		}
	}
	p.timer.Stop()
	p.finish()
}

// round publishes all that is due now.
func (p *publisher) round() {
	began := p.now()
	arrived := p.inbox.take(p.spare)
	work := p.drainUrgent()
	work = !arrived.empty() || work
	p.drain(&arrived)
	p.spare = arrived
	work = p.visitDue(&p.waiting) || work
	work = p.visitDue(&p.emptied) || work
	if work {
		p.countRound(began)
	}
}

func (p *publisher) countRound(began time.Duration) {
	p.rounds.Add(1)
	p.publishing.Add(int64(p.now() - began))
}

// updateTotals brings the totals up to date if a call of Stats waits for that. To do so, it
// publishes the detached rooms. After every quantum of rooms, it calls round, so that other
// rooms are not published late.
func (p *publisher) updateTotals() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.totalsUpdated == nil {
		return
	}
	began, left := p.now(), quantum
	p.rooms.all(func(c *cell) bool {
		if c.word.Load()&(idle|queued) == 0 {
			p.publish(c, c.local())
		}
		if left--; left > 0 {
			return true
		}
		left = quantum
		p.mu.Unlock()
		p.round()
		p.mu.Lock()
		return !p.rooms.closed.Load()
	})
	close(p.totalsUpdated)
	p.totalsUpdated, p.totalsUpdatedAt = nil, began
}

// freshTotals waits until the totals are at most maxLag old.
func (p *publisher) freshTotals() {
	p.mu.Lock()
	if p.rooms.closed.Load() || p.now()-p.totalsUpdatedAt < maxLag {
		p.mu.Unlock()
		return
	}
	if p.totalsUpdated == nil {
		p.totalsUpdated = make(chan struct{})
	}
	updated := p.totalsUpdated
	p.mu.Unlock()
	p.inbox.signal()
	select {
	case <-updated:
	case <-p.stopped:
	}
}

// maxLag is the largest age of the totals that Stats returns, for rooms without listeners.
const maxLag = time.Second

// quantum is the number of visited rooms and delivered events after which the publisher
// unlocks mu, so that a Subscribe, a watcher or a Remote can lock it.
const quantum = 512

// yieldLock is called by a loop in its iteration i. It unlocks mu for others after every
// quantum of iterations.
func (p *publisher) yieldLock(i int) {
	if i%quantum == quantum-1 {
		p.wakeWatchers()
		p.mu.Unlock()
		p.mu.Lock()
	}
}

// drain visits the rooms that hooks have pushed. Before every quantum of them, it visits the
// urgent rooms.
func (p *publisher) drain(arrived *fifo[*cell]) {
	for !arrived.empty() {
		p.drainUrgent()
		p.visitFront(arrived)
	}
}

// drainUrgent visits the urgent rooms that hooks have pushed, and reports whether there
// were any.
func (p *publisher) drainUrgent() bool {
	urgent := p.inbox.takeUrgent(p.spareUrgent)
	found := !urgent.empty()
	for !urgent.empty() {
		p.visitFront(&urgent)
	}
	p.spareUrgent = urgent
	return found
}

// visitFront visits the first rooms of arrived: about a quantum.
func (p *publisher) visitFront(arrived *fifo[*cell]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, done := p.now(), 0
	for left := quantum; done < len(arrived.front()) && left > 0; done++ {
		left -= p.visit(arrived.front()[done], now, false)
	}
	p.wakeWatchers()
	arrived.drop(done)
}

// visitDue visits the rooms of a queue whose deadline has passed, and reports whether
// there were any. A visit may queue the room again.
func (p *publisher) visitDue(queue *fifo[deadline]) (found bool) {
	begun := p.now()
	for {
		p.drainUrgent()
		p.mu.Lock()
		now, done := p.now(), 0
		front := queue.front()
		for left := quantum; done < len(front) && left > 0 && front[done].at <= begun; done++ {
			left -= p.visit(front[done].c, now, true)
		}
		if done > 0 {
			queue.drop(done)
			p.wakeWatchers()
		}
		p.mu.Unlock()
		if done == 0 {
			return found
		}
		found = true
	}
}

// never is a time that no timer reaches.
const never = time.Duration(1<<63 - 1)

// arm sets the timer to the first deadline, unless it is set to an earlier time.
func (p *publisher) arm() {
	first := never
	for _, queue := range []*fifo[deadline]{&p.waiting, &p.emptied} {
		if front := queue.front(); len(front) > 0 {
			first = min(first, front[0].at)
		}
	}
	if first < p.armed {
		p.armed = first
		p.timer.Reset(first - p.now())
	}
}

// The work of a hook is limited. A hook publishes a room itself only if the room has at most
// maxInlineListeners subscribers and watchers that have selected it, and if at most
// maxInlineSleepers watchers wait in Next.
const (
	maxInlineListeners = 8
	maxInlineSleepers  = 64
)

// push publishes c, or adds c to the inbox. The caller has just set the queued flag of c.
// push publishes c only if inline is true, the room has subscribers, but only a few, and no
// other caller holds mu. Then the event need not wait until the goroutine gets a processor.
func (p *publisher) push(c *cell, held, inline bool) {
	if !held || !inline || !p.tryPublish(c, false) {
		p.inbox.push(c, held)
	}
}

// publishNow publishes c if c is queued, under the conditions of push with inline.
func (p *publisher) publishNow(c *cell) {
	if w := c.word.Load(); w&held != 0 && w&queued != 0 {
		p.tryPublish(c, true)
	}
}

// tryPublish publishes c, and reports whether c needs no other visit. If wasQueued is true,
// c may have been published already.
func (p *publisher) tryPublish(c *cell, wasQueued bool) bool {
	if !p.mu.TryLock() {
		return false
	}
	defer p.mu.Unlock()
	x := c.extra.Load()
	if p.rooms.closed.Load() || x == nil || x.delivering || len(x.subs) == 0 || len(x.subs)+len(p.selected[c.name]) > maxInlineListeners ||
		len(p.sleepers) > maxInlineSleepers || p.totalChanges.full() || p.localChanges.full() {
		return false
	}
	began := p.now()
	if began < x.next {
		return true // it is in the waiting queue: see visit
	}
	if wasQueued && x.next == 0 && p.watchers.Load() > 0 {
		return true // a watcher may have received an event less than an interval ago
	}
	p.visit(c, began, false)
	p.wakeWatchers()
	p.arm()
	p.countRound(began)
	return true
}

func (p *publisher) now() time.Duration { return time.Since(p.start) }

// visit publishes what changed in c, and queues c again or makes it idle, detached or
// retired. It returns how much work that was. If fromQueue is true, c comes from a queue of
// deadlines and not from the inbox or a hook.
func (p *publisher) visit(c *cell, now time.Duration, fromQueue bool) (work int) {
	for {
		work++
		x := c.extra.Load()
		if x != nil && now < x.next {
			return work // published less than an interval ago, so it is in the waiting queue
		}
		published := p.publish(c, c.local())
		if x != nil && x.undelivered {
			subscribers := len(x.subs)
			published = p.deliver(c, x) || published
			if work += subscribers; subscribers >= quantum {
				now = p.now() // deliver has unlocked mu meanwhile
			}
		}
		switch {
		case !p.hasListeners(c):
			if published && !fromQueue && stateOf(c.word.Load()) == absent {
				// Many rooms that empty are soon joined again.
				p.emptied.push(deadline{c, now + p.dropDelay})
				return work
			}
		case published, !fromQueue && c.word.Load()&held == 0:
			// If hooks undo their changes before the publisher visits the room, the room
			// waits, too. Otherwise each of these changes would queue it again.
			if x != nil {
				x.next = now + p.interval
			}
			p.waiting.push(deadline{c, now + p.interval})
			return work
		}
		if p.unqueue(c) {
			return work
		}
	}
}

// hasListeners reports whether c has a subscriber or a watcher.
func (p *publisher) hasListeners(c *cell) bool {
	x := c.extra.Load()
	return x != nil && len(x.subs) > 0 ||
		len(p.totalChanges.readers)+len(p.localChanges.readers) > 0 ||
		len(p.selected) > 0 && len(p.selected[c.name]) > 0
}

// publish sets c.last to the current occupancy, given this process's counts, and adds c to
// the journals. It does not notify subscribers: see deliver. It reports whether the total
// changed. If only this process's part changed, for example because a connection moved
// here from another node, the room has no new event, and its interval does not begin.
func (p *publisher) publish(c *cell, local uint64) bool {
	x := c.extra.Load()
	total := c.total(local)
	was, localWas := c.last.value, c.lastOf(true).value
	if localWas != local {
		p.countLocal(localWas, local)
	}
	if was != total {
		if p.hasListeners(c) {
			p.published.Add(1)
		}
		p.seq++
		c.last = publication{total, p.seq}
		p.record(&p.totalChanges, c)
		if x == nil {
			p.record(&p.localChanges, c)
		} else {
			x.version++
			x.undelivered = true
		}
		p.total.add(was, total)
		if len(p.selected) > 0 {
			for _, w := range p.selected[c.name] {
				w.selected.changed[c.name] = struct{}{}
				w.due, p.anyDue = true, true
			}
		}
	}
	if x != nil && localWas != local {
		p.seq++
		x.lastLocal = publication{local, p.seq}
		p.record(&p.localChanges, c)
	}
	return was != total
}

// record adds c, which was just published, to a journal, and sets due for the watchers that must be woken.
func (p *publisher) record(j *journal, c *cell) {
	j.add(c, p.seq)
	for _, w := range p.sleepers {
		if w.concerns(j, c) {
			w.due, p.anyDue = true, true
		}
	}
}

// refresh publishes c early, for a new listener. From then on, every change of c is
// published.
func (p *publisher) refresh(c *cell) {
	p.publish(c, c.local())
	if c.word.Load()&(idle|queued) == 0 {
		p.unqueue(c)
		p.queueForListener(c) // if c changed meanwhile
	}
}

// deliver sends the room's event to the subscribers that have not received its value, and
// reports whether there was such a subscriber. It unlocks mu after every quantum, so that
// other callers do not wait for a room of 100,000 subscribers.
func (p *publisher) deliver(c *cell, x *extra) bool {
	x.undelivered = false
	x.delivering = true
	var delivered, folded uint64
	for x.passed < len(x.subs) {
		event, value := x.event(c), c.last.value
		subs := x.subs[x.passed:min(x.passed+quantum, len(x.subs))]
		for i := range subs {
			s := &subs[i]
			if s.last == value {
				continue
			}
			s.last = value
			delivered++
			select {
			case s.events <- event:
			default:
				select {
				case <-s.events:
					folded++
				default: // the subscriber has just read it
				}
				s.events <- event // does not block: only the holder of mu sends
			}
		}
		if x.passed += len(subs); x.passed < len(x.subs) && !p.rooms.closed.Load() {
			p.mu.Unlock()
			p.mu.Lock()
		}
	}
	x.passed, x.delivering = 0, false
	p.delivered.Add(delivered)
	p.folded.Add(folded)
	return delivered > 0
}

// unqueue clears the queued flag of c, which has been published. It makes c idle if the room
// has listeners, and detached otherwise. It retires and drops c if the room does not exist
// any more and every watcher has read that. It reports false if c has changed meanwhile.
func (p *publisher) unqueue(c *cell) bool {
	w := c.word.Load()
	if w == retired {
		return true
	}
	local := countsOf(w)
	if c.last.value != c.total(local) || c.lastOf(true).value != local {
		return false
	}
	n := w &^ queued
	switch {
	case stateOf(w) == absent && !p.totalChanges.unread(c) && !p.localChanges.unread(c):
		n = retired
	case stateOf(w) == absent || p.hasListeners(c):
		n |= idle
	}
	if !c.word.CompareAndSwap(w, n) {
		return false
	}
	if n == retired {
		p.rooms.drop(c)
	}
	return true
}

// retireEmpty retires a cell that unqueue kept because a watcher had not read it.
func (p *publisher) retireEmpty(c *cell) {
	if c.word.Load() == idle {
		p.unqueue(c)
	}
}

// wakeWatchers wakes the watchers that wait and have something to read.
func (p *publisher) wakeWatchers() {
	if !p.anyDue {
		return
	}
	p.anyDue = false
	p.sleepers = slices.DeleteFunc(p.sleepers, func(w *Watcher) bool {
		if !w.due {
			return false
		}
		w.waiting, w.due = false, false
		select {
		case w.wake <- struct{}{}:
		default: // wake already holds a token
		}
		return true
	})
}

// finish freezes every room, delivers the last events and closes every subscription.
func (p *publisher) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.countRound(p.now())
	p.rooms.all(func(c *cell) bool {
		p.freeze(c)
		if x := c.extra.Load(); x != nil {
			p.deliver(c, x)
			for _, s := range x.subs {
				close(s.events)
				s.sub.closed = true
			}
			p.subscriptions.Add(-int64(len(x.subs)))
			x.subs = nil
		}
		return true
	})
	for _, w := range p.sleepers {
		w.due, p.anyDue = true, true
	}
	p.wakeWatchers()
}

// freeze retires c with its counts: the word refuses every hook from now on, and the
// c.last holds the counts. If a hook changes the word meanwhile, freeze publishes that, too.
func (p *publisher) freeze(c *cell) {
	for frozen := false; !frozen; {
		w := c.word.Load()
		if w == retired {
			return
		}
		p.publish(c, countsOf(w))
		frozen = c.word.CompareAndSwap(w, retired)
	}
}
