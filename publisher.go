package occupancy

import (
	"sync"
	"time"
)

// publisher publishes the changes of rooms. The path of a change:
//
//	hook → counter → inbox → scheduler → publisher → subscriptions
//	                                               ↘ journals → watchers
//
// cell.go describes the states of a room. A hook that queues a room either publishes it
// or pushes it to the inbox: see scheduler.dispatch. A visit publishes the room's counts if they
// differ from its last published ones. Then the room waits in a queue until its interval is
// over, and is visited again. If it has not changed since, settle ends the visits.
//
// So the first change after a quiet interval is published at once, the hooks of a busy room
// only count, no room needs a timer, and nothing runs while nothing changes. An
// unnecessary visit does no harm.
type publisher struct {
	rooms     *rooms
	users     *userTable // nil if users are not counted
	interval  time.Duration
	dropDelay time.Duration // before an emptied room without listeners is dropped
	start     time.Time     // times are durations since then
	inbox     inbox

	// mu protects the following, and every cell's last and extra. No hook waits for it. The caller
	// of each method except now and finish holds it.
	mu       sync.Mutex
	seq      uint64         // the number of publications
	waiting  fifo[deadline] // rooms with listeners, until their interval is over
	emptied  fifo[deadline] // emptied rooms without listeners, until their dropDelay is over
	watchers watchers
	index    *userIndex // nil if the engine is not linked, or does not count users across nodes

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
	return &publisher{
		rooms:     r,
		users:     users,
		dropDelay: min(interval, maxDropDelay),
		interval:  min(interval, 1<<62), // so that no deadline overflows
		start:     time.Now(),
		inbox:     inbox{wake: make(chan struct{}, 1)},
		watchers: watchers{
			totals:   newJournal((*cell).lastTotal),
			locals:   newJournal((*cell).lastLocal),
			selected: map[string][]*selection{},
		},
	}
}

func (p *publisher) now() time.Duration { return time.Since(p.start) }

// quantum is the number of visited rooms and delivered events after which the publisher
// unlocks mu, so that a Subscribe, a watcher or a Remote can lock it.
const quantum = 512

// yieldLock is called by a loop in its iteration i. It unlocks mu for others after every
// quantum of iterations.
func (p *publisher) yieldLock(i int) {
	if i%quantum == quantum-1 {
		p.unlockBriefly()
	}
}

func (p *publisher) unlockBriefly() {
	p.watchers.wake()
	p.mu.Unlock()
	p.mu.Lock()
}

// change applies step, which never fails, to the word of c. If that queues c, change pushes c to
// the inbox.
func (p *publisher) change(c *cell, step func(w uint64) (uint64, error)) {
	before, after, _ := c.step(p.rooms, step)
	if becameQueued(before, after) {
		p.inbox.push(c, after&held != 0)
	}
}

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
		if x != nil && x.subs.undelivered {
			subscribers := len(x.subs.list)
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
	return c.subscribed() || p.watchers.watched(c)
}

// publish sets c.last to the current occupancy, given the word of c, and notifies the
// watchers. It does not notify subscribers: see deliver. It reports whether the total
// changed. If only this process's part changed, for example because a connection moved
// here from another node, the room has no new event, and its interval does not begin.
func (p *publisher) publish(c *cell, w uint64) bool {
	if w == retired {
		return false
	}
	usersChanged := p.index != nil && p.index.changes.mustNotify(c.name)
	x, local := c.extra.Load(), c.localOf(w)
	total, lastTotal, lastLocal := c.totalOf(w), c.lastTotal(), c.lastLocal()
	totalChanged, localChanged := total != lastTotal.value, local != c.last.word
	if totalChanged {
		p.seq++
		if x != nil {
			x.lastTotal = publication{total, p.seq}
			x.version++
			x.subs.undelivered = true
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
		p.change(c, attach) // if c changed meanwhile
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

// deliver sends the room's event to the subscribers that have not received its value, and
// reports whether there was such a subscriber. It unlocks mu after every quantum, so that
// other callers do not wait for a room of 100,000 subscribers.
func (p *publisher) deliver(x *extra) bool {
	x.subs.undelivered = false
	var delivered, folded uint64
	for more := true; more; {
		var d, f uint64
		if d, f, more = x.subs.send(x.event(), x.lastTotal.value); more {
			p.unlockBriefly()
		}
		delivered, folded = delivered+d, folded+f
	}
	p.delivered.Add(delivered)
	p.folded.Add(folded)
	return delivered > 0
}

// hold finds or creates the room, and marks it as held. So it exists even if its last
// connection leaves. The caller adds the subscription or the other node's part that holds it.
func (p *publisher) hold(room string) (*cell, *extra, error) {
	if p.rooms.closed.Load() {
		return nil, nil, ErrClosed
	}
	c, err := p.rooms.obtainUnlimited(room)
	if err != nil {
		return nil, nil, err
	}
	// No other goroutine retires c now, because that requires mu.
	x := c.extra.Load()
	if x == nil {
		x = &extra{lastTotal: c.lastTotal(), version: c.last.seq}
		if x.version == 0 {
			x.version = p.seq // above all versions of an earlier cell of this room
		}
		c.extra.Store(x)
	}
	if !x.holds() {
		p.change(c, setHeld)
	}
	return c, x, nil
}

// release ends the hold of c if nothing holds it any more.
func (p *publisher) release(c *cell, x *extra) {
	if !x.holds() {
		p.change(c, clearHeld)
		p.dropExtra(c)
	}
}

// dropExtra releases the extra of c if c does not need it any more. From then on the last
// publication of the total is that of this process's part, too. So every reader of the journal
// of local parts must have read both publications. A retired word has the queued bit.
func (p *publisher) dropExtra(c *cell) {
	x, oldest := c.extra.Load(), p.watchers.locals.oldest
	if x != nil && !x.holds() && !x.subs.delivering && c.word.Load()&queued == 0 && c.last.seq < oldest && x.lastTotal.seq < oldest {
		c.last.seq = x.lastTotal.seq
		c.extra.Store(nil)
	}
}

// finish freezes every room, delivers the last events and closes every subscription.
func (p *publisher) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	began := p.now()
	p.rooms.cells.Range(func(c *cell) bool {
		p.freeze(c)
		if x := c.extra.Load(); x != nil {
			p.deliver(x)
			p.openSubscriptions.Add(-int64(len(x.subs.list)))
			x.subs.close()
		}
		return true
	})
	p.users.clear()
	p.index.clear()
	for _, w := range p.watchers.sleepers {
		p.watchers.notify(w)
	}
	p.watchers.wake()
	p.countRound(p.now() - began)
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
