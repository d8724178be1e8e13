package occupancy

import (
	"sync"
	"time"
)

// publisher publishes the changes of rooms. The path of a change:
//
//	hook → counter → inbox → publisher → subscriptions
//	                                   ↘ journals → watchers
//
// cell.go describes the states of a room. A hook that queues a room either publishes it
// or pushes it to the inbox, for the goroutine. A visit publishes the room's counts if they
// differ from its last published ones. Then the room waits in a queue until its interval is
// over, and is visited again. If it has not changed since, settle ends the visits.
//
// So the first change after a quiet interval is published at once, the hooks of a busy room
// only count, no room needs a timer, and the goroutine sleeps while nothing changes. An
// unnecessary visit does no harm.
type publisher struct {
	rooms     *rooms
	users     *userTable // nil if users are not counted
	lingering *lingering
	interval  time.Duration
	dropDelay time.Duration // before an emptied room without listeners is dropped
	start     time.Time     // times are durations since then
	inbox     inbox
	stopped   chan struct{} // closed when the goroutine has ended; Engine.Done

	// mu protects the following, and every cell's last and extra. No hook waits for it.
	mu              sync.Mutex
	seq             uint64         // the number of publications
	waiting         fifo[deadline] // rooms with listeners, until their interval is over
	emptied         fifo[deadline] // emptied rooms without listeners, until their dropDelay is over
	watchers        watchers
	index           *userIndex    // nil if the engine is not linked, or does not count users across nodes
	common          []roomUser    // the users of this process that a call of Remote.Set newly reports
	remoteRooms     int           // rooms that have parts of other nodes
	subscribedRooms int           // rooms that have subscriptions
	totalsUpdated   chan struct{} // closed when the totals are up to date; nil if no call of Stats waits
	totalsUpdatedAt time.Duration // when the last update of the totals began
	delays          Delays        // of the events

	timer *time.Timer   // of the goroutine
	armed time.Duration // the time for which timer is set, or never

	spare, spareUrgent fifo[*cell] // for the inbox; only the goroutine uses them

	tally // the counters that Stats reads
}

// deadline is the time at which to visit a room again. All rooms of one queue wait for the same
// time, so the queue is sorted.
type deadline struct {
	c  *cell
	at time.Duration
}

// maxDropDelay is the largest dropDelay. Many emptied rooms are joined again soon, and keep
// their cells. But if the interval is long, other emptied rooms must not be kept so long.
const maxDropDelay = 100 * time.Millisecond

func newPublisher(r *rooms, users *userTable, interval time.Duration) *publisher {
	p := &publisher{
		rooms:           r,
		users:           users,
		lingering:       newLingering(),
		dropDelay:       min(interval, maxDropDelay),
		interval:        min(interval, 1<<62), // so that no deadline overflows
		start:           time.Now(),
		inbox:           inbox{wake: make(chan struct{}, 1)},
		stopped:         make(chan struct{}),
		totalsUpdatedAt: -maxLag,
		watchers: watchers{
			totals:   newJournal((*cell).lastTotal),
			locals:   newJournal((*cell).lastLocal),
			selected: map[string][]*Watcher{},
		},
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
	p.endLingering(began) // first, so that an interval that is over now has one event
	arrived := p.inbox.take(p.spare)
	work := p.drainUrgent()
	work = !arrived.empty() || work
	p.drain(&arrived, began)
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

// quantum is the number of visited rooms and delivered events after which the publisher
// unlocks mu, so that a Subscribe, a watcher or a Remote can lock it.
const quantum = 512

// yieldLock is called by a loop in its iteration i. It unlocks mu for others after every
// quantum of iterations.
func (p *publisher) yieldLock(i int) {
	if i%quantum == quantum-1 {
		p.watchers.wake()
		p.mu.Unlock()
		p.mu.Lock()
	}
}

// drain visits the rooms that hooks have pushed. Before every quantum of them, it visits the
// urgent rooms. The visits have been due since the time due.
func (p *publisher) drain(arrived *fifo[*cell], due time.Duration) {
	for !arrived.empty() {
		p.drainUrgent()
		p.visitFront(arrived, due)
	}
}

// drainUrgent visits the urgent rooms that hooks have pushed, and reports whether there
// were any.
func (p *publisher) drainUrgent() bool {
	urgent := p.inbox.takeUrgent(p.spareUrgent)
	found := !urgent.empty()
	if found {
		due := p.now()
		for !urgent.empty() {
			p.visitFront(&urgent, due)
		}
	}
	p.spareUrgent = urgent
	return found
}

// visitFront visits the first rooms of arrived: about a quantum.
func (p *publisher) visitFront(arrived *fifo[*cell], due time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, done := p.now(), 0
	for left := quantum; done < len(arrived.front()) && left > 0; done++ {
		left -= p.visit(arrived.front()[done], now, due, false)
	}
	p.watchers.wake()
	arrived.drop(done)
}

// visitDue visits the rooms of a queue whose deadline has passed, and reports whether
// there were any. A visit may queue the room again.
func (p *publisher) visitDue(queue *fifo[deadline]) (found bool) {
	began := p.now()
	for {
		p.drainUrgent()
		p.mu.Lock()
		now, done := p.now(), 0
		front := queue.front()
		for left := quantum; done < len(front) && left > 0 && front[done].at <= began; done++ {
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

// never is a time that no timer reaches.
const never = time.Duration(1<<63 - 1)

// arm sets the timer to the first deadline, unless it is set to an earlier time.
func (p *publisher) arm() {
	first := p.lingering.first()
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

// change applies step to the word of c, and dispatches c: see cell.step and dispatch. It reports
// false if c is retired.
func (p *publisher) change(c *cell, inline bool, step func(w uint64) (uint64, error)) (bool, error) {
	before, after, err := c.step(p.rooms, step)
	p.dispatch(c, before, after, inline)
	return before != retired, err
}

// dispatch publishes c, or adds c to the inbox, if the step from before to after has queued c.
// It publishes c only if inline is true, the room has subscribers, but only a few, and no other
// caller holds mu. Then the event need not wait until the goroutine gets a processor. A room
// that may have subscribers, which is a room that is held, is urgent.
func (p *publisher) dispatch(c *cell, before, after uint64, inline bool) {
	if before&queued != 0 || after&queued == 0 {
		return
	}
	urgent := after&held != 0
	if !urgent || !inline || !p.tryPublish(c, false) {
		p.inbox.push(c, urgent)
	}
}

// The work of a hook is limited. A hook publishes a room itself only if the room has at most
// maxInlineListeners subscribers and watchers that have selected it, and if at most
// maxInlineSleepers watchers wait in Next.
const (
	maxInlineListeners = 8
	maxInlineSleepers  = 64
)

// publishNow publishes c if c is queued, under the conditions of dispatch.
func (p *publisher) publishNow(c *cell) {
	if w := c.word.Load(); w&held != 0 && w&queued != 0 {
		p.tryPublish(c, true)
	}
}

// tryPublish publishes c, and reports whether c need not be pushed to the inbox. If wasQueued
// is true, c may have been published already.
func (p *publisher) tryPublish(c *cell, wasQueued bool) bool {
	if !p.mu.TryLock() {
		return false
	}
	defer p.mu.Unlock()
	x := c.extra.Load()
	if p.rooms.closed.Load() || x == nil || x.delivering || len(x.subs) == 0 || x.sampled > 0 ||
		len(x.subs)+len(p.watchers.selected[c.name]) > maxInlineListeners || p.watchers.busy() {
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
	p.arm()
	p.countRound(began)
	return true
}

func (p *publisher) now() time.Duration { return time.Since(p.start) }

// visit publishes what changed in c, and queues c again or makes it idle, detached or
// retired. It returns how much work that was. The visit has been due since the time due. If
// fromQueue is true, c comes from a queue of deadlines and not from the inbox or a hook.
func (p *publisher) visit(c *cell, now, due time.Duration, fromQueue bool) (work int) {
	for {
		work++
		x := c.extra.Load()
		if x != nil && now < x.next {
			return work // published less than an interval ago, so it is in the waiting queue
		}
		if x != nil && x.sampled > 0 && p.index != nil { // it is nil if Close has interrupted Link.Close
			p.estimateUsers(c, x)
			work += quantum // one estimate is as much work
		}
		published := p.publish(c, c.word.Load())
		if x != nil && x.undelivered {
			subscribers := len(x.subs)
			// If every subscriber has the value already, the interval does not begin.
			published = p.deliver(x) || published && p.watchers.watched(c)
			if work += subscribers; subscribers >= quantum {
				now = p.now() // deliver has unlocked mu meanwhile
			}
		}
		w, listeners := c.word.Load(), p.hasListeners(c)
		if listeners && published {
			p.delays.add(now - due)
		}
		// Hooks may undo their changes before each visit, or change a total that is capped. So
		// that they do not queue the room each time, these rooms wait even if nothing was published.
		mustWait := w&held == 0 && stateOf(w) == occupied || c.lastTotal().value.capped()
		if listeners && (published || mustWait && !fromQueue) {
			if x != nil {
				x.next = now + p.interval
			}
			p.waiting.push(deadline{c, now + p.interval})
			return work
		}
		if !listeners && published && !fromQueue && stateOf(w) == absent {
			// Many rooms that empty are soon joined again.
			p.emptied.push(deadline{c, now + p.dropDelay})
			return work
		}
		if p.settle(c) {
			return work
		}
	}
}

// estimateUsers updates what the parts of other nodes add to the users of a room, if some parts do
// not have all users: see userIndex.estimate.
func (p *publisher) estimateUsers(c *cell, x *extra) {
	sum := x.parts()
	users := int64(p.index.estimate(c)) + int64(x.elsewhere.Load())
	sum.users = uint32(min(max(int64(sum.users), users), maxCount))
	x.remote.Store(&sum)
}

// hasListeners reports whether c has a subscriber or a watcher.
func (p *publisher) hasListeners(c *cell) bool {
	x := c.extra.Load()
	return x != nil && len(x.subs) > 0 || p.watchers.watched(c)
}

// publish sets c.last to the current occupancy, given the word of c, and notifies the
// watchers. It does not notify subscribers: see deliver. It reports whether the total
// changed. If only this process's part changed, for example because a connection moved
// here from another node, the room has no new event, and its interval does not begin.
func (p *publisher) publish(c *cell, w uint64) bool {
	if w == retired {
		return false
	}
	usersChanged := p.index.noteChanges(c.name)
	x, local := c.extra.Load(), c.localOf(w)
	total, lastTotal, lastLocal := c.totalOf(w), c.lastTotal(), c.lastLocal()
	totalChanged, localChanged := total != lastTotal.value, local != c.last.word
	if totalChanged {
		p.seq++
		if x != nil {
			x.lastTotal = publication{total, p.seq}
			x.version++
			x.undelivered = true
		} else {
			c.last = localPublication{local, p.seq}
		}
		p.watchers.totalChanged(c, lastTotal, c.lastTotal())
		p.total.add(lastTotal.value, total)
		if p.hasListeners(c) {
			p.published.Add(1)
		}
	}
	if localChanged {
		if x != nil {
			p.seq++
			c.last = localPublication{local, p.seq}
		}
		p.watchers.localChanged(c, lastLocal, c.lastLocal())
		p.countLocal(lastLocal.value, countsOf(local))
	} else if usersChanged {
		p.watchers.usersChanged(c.name)
	}
	return totalChanged
}

// refresh publishes c before its interval is over, for a new listener. It attaches c if c is
// detached.
func (p *publisher) refresh(c *cell) {
	p.publish(c, c.word.Load())
	if c.detached() {
		p.settle(c)
		_, _ = p.change(c, false, attach) // if c changed meanwhile
	}
}

// settle ends the visits of c, which has been published. It drops c if the room does not exist
// any more and no watcher must still return that it is empty. It reports false if c has
// changed meanwhile.
func (p *publisher) settle(c *cell) bool {
	w := c.word.Load()
	if w == retired {
		return true
	}
	if c.last.word != c.localOf(w) || c.lastTotal().value != c.totalOf(w) {
		return false
	}
	w, ok := c.trySettle(w, p.hasListeners(c), stateOf(w) == absent && !p.watchers.mustKeep(c))
	if !ok {
		return false
	}
	p.dropExtra(c)
	if w == retired {
		p.rooms.drop(c)
		c.last.seq = 0 // the journals' entries are outdated
		if x := c.extra.Load(); x != nil {
			x.lastTotal.seq = 0
		}
	}
	return true
}

// retireIfEmpty retires an empty cell that settle kept because a watcher had not read it.
func (p *publisher) retireIfEmpty(c *cell) {
	if c.word.Load()&^tracked == idle {
		p.settle(c)
	}
}

// finish freezes every room, delivers the last events and closes every subscription.
func (p *publisher) finish() {
	p.lingering.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.countRound(p.now())
	p.rooms.cells.Range(func(c *cell) bool {
		p.freeze(c)
		if x := c.extra.Load(); x != nil {
			p.deliver(x)
			for _, s := range x.subs {
				close(s.events)
				s.sub.closed = true
			}
			p.openSubscriptions.Add(-int64(len(x.subs)))
			x.subs = nil
		}
		return true
	})
	p.users.clear()
	p.index.clear()
	for _, w := range p.watchers.sleepers {
		p.watchers.notify(w)
	}
	p.watchers.wake()
}

// freeze retires c with its counts: the word refuses every hook from now on. Then c.last has
// the counts. If a hook changes the word meanwhile, freeze publishes that, too.
func (p *publisher) freeze(c *cell) {
	for frozen := false; !frozen; {
		w := c.word.Load()
		if w == retired {
			return
		}
		p.publish(c, w)
		frozen = c.word.CompareAndSwap(w, retired)
	}
}
