package occupancy

import (
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
// changed, and is published and queued again, or it has not, and makeIdle clears its
// queued flag. So the first change after a quiet interval is published at once, the hooks
// of a busy room only count, no room needs a timer, and the publisher sleeps while nothing
// changes.
//
// makeIdle sets the idle flag of a room that has listeners. A room without listeners has
// neither flag: it is detached, and its hooks only count until one empties it. A new
// listener makes it idle again: see refresh and listen. docs/design.md draws the states.
//
// A room is published if its counts differ from its mark. makeIdle changes the flags by a
// compare-and-swap on the word that was published. So no change is missed, for every
// interleaving, and an unnecessary visit does no harm.
type publisher struct {
	rooms    *rooms
	interval time.Duration
	pause    time.Duration // before an emptied room without listeners is dropped
	start    time.Time     // times are durations since then
	inbox    inbox
	quit     chan struct{} // closed by stop
	stopped  chan struct{} // closed when the goroutine has ended; Engine.Done

	// mu protects the following, and every cell's mark and extra. No hook waits for it.
	mu              sync.Mutex
	seq             uint64         // the number of publications
	waiting         fifo[deadline] // rooms with listeners, until their interval is over
	unwatched       fifo[deadline] // emptied rooms without listeners, until their pause is over
	totals          journal
	locals          journal
	remoteRooms     int                   // rooms that have parts of other nodes
	subscribedRooms int                   // rooms that have subscriptions
	selected        map[string][]*Watcher // the watchers of selected rooms, by room
	sleepers        []*Watcher            // those that wait in Next
	anyDue          bool                  // some of them are due
	swept           chan struct{}         // closed when the totals are up to date; nil if nobody waits for that
	sweptAt         time.Duration         // when the last sweep began
	closed          bool

	timer *time.Timer   // of the goroutine
	armed time.Duration // the time for which timer is set, or never

	// Only the goroutine uses the following.
	spare, spareUrgent fifo[*cell] // for the inbox

	tally
}

// deadline is when to visit a room again. All rooms of one queue wait for the same
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

// add adds the difference of one room's counts, which were was and are now, both packed.
func (s *sums) add(was, now uint64) {
	w, n := unpack(was), unpack(now)
	s.connections.Add(int64(n.Connections - w.Connections))
	s.presenceMembers.Add(int64(n.PresenceMembers - w.PresenceMembers))
}

func (s *sums) read() Occupancy {
	return Occupancy{int(s.connections.Load()), int(s.presenceMembers.Load())}
}

// countLocal adds a published change of this process's part of a room to the totals.
func (t *tally) countLocal(was, now uint64) {
	t.local.add(was, now)
	switch d := unpack(now).Connections - unpack(was).Connections; {
	case d > 0:
		t.arrivals.Add(uint64(d))
	case d < 0:
		t.departures.Add(uint64(-d))
	}
}

// maxPause limits the pause, and how long an emptied room without listeners is kept, if
// the interval is longer. It is long enough that visiting a busy room costs little.
const maxPause = 100 * time.Millisecond

func newPublisher(r *rooms, interval time.Duration) *publisher {
	p := &publisher{
		rooms:    r,
		pause:    min(interval, maxPause),
		interval: min(interval, 1<<62), // so that no deadline overflows
		start:    time.Now(),
		inbox:    inbox{wake: make(chan struct{}, 1)},
		quit:     make(chan struct{}),
		stopped:  make(chan struct{}),
		sweptAt:  -maxLag,
		locals:   journal{local: true},
		selected: map[string][]*Watcher{},
	}
	p.timer = time.NewTimer(never)
	p.timer.Stop()
	p.armed = never
	go p.run()
	return p
}

// stop ends the goroutine, after every room's last value was published. It is called once.
func (p *publisher) stop() {
	close(p.quit)
	<-p.stopped
}

func (p *publisher) run() {
	defer close(p.stopped)
	for {
		p.round()
		p.sweep()
		p.mu.Lock()
		p.armed = never
		p.arm()
		p.mu.Unlock()
		select {
		case <-p.inbox.wake:
		case <-p.timer.C:
		case <-p.quit:
			p.timer.Stop()
			p.finish()
			return
		}
	}
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
	work = p.visitDue(&p.unwatched) || work
	if work {
		p.rounds.Add(1)
		p.publishing.Add(int64(p.now() - began))
	}
}

// sweep brings the totals up to date if Stats waits for that: it publishes the detached
// rooms. Between two turns it publishes what is due.
func (p *publisher) sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.swept == nil {
		return
	}
	began, left := p.now(), turn
	p.rooms.all(func(c *cell) bool {
		if c.word.Load()&(idle|queued) == 0 {
			p.publish(c, c.local())
		}
		if left--; left > 0 {
			return true
		}
		left = turn
		p.mu.Unlock()
		p.round()
		p.mu.Lock()
		select {
		case <-p.quit:
			return false
		default:
			return true
		}
	})
	close(p.swept)
	p.swept, p.sweptAt = nil, began
}

// freshTotals waits until the totals are at most maxLag old.
func (p *publisher) freshTotals() {
	p.mu.Lock()
	if p.closed || p.now()-p.sweptAt < maxLag {
		p.mu.Unlock()
		return
	}
	if p.swept == nil {
		p.swept = make(chan struct{})
	}
	swept := p.swept
	p.mu.Unlock()
	p.inbox.signal()
	select {
	case <-swept:
	case <-p.stopped:
	}
}

// maxLag is how old a room's part of the totals may be if it has no listeners.
const maxLag = time.Second

// turn is the number of visited rooms and delivered events after which the publisher
// unlocks mu for others: a Subscribe, a watcher, a Remote.
const turn = 512

// pauseTurn unlocks mu for others after every turn of a loop, whose index is i.
func (p *publisher) pauseTurn(i int) {
	if i%turn == turn-1 {
		p.wakeWatchers()
		p.mu.Unlock()
		p.mu.Lock()
	}
}

// drain visits the rooms that hooks have pushed, and between two turns the urgent ones.
func (p *publisher) drain(arrived *fifo[*cell]) {
	for !arrived.empty() {
		p.drainUrgent()
		p.visitTurn(arrived)
	}
}

// drainUrgent visits the urgent rooms that hooks have pushed, and reports whether there
// were any.
func (p *publisher) drainUrgent() bool {
	urgent := p.inbox.takeUrgent(p.spareUrgent)
	found := !urgent.empty()
	for !urgent.empty() {
		p.visitTurn(&urgent)
	}
	p.spareUrgent = urgent
	return found
}

// visitTurn visits the first rooms that hooks have pushed.
func (p *publisher) visitTurn(arrived *fifo[*cell]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, done := p.now(), 0
	for left := turn; done < len(arrived.front()) && left > 0; done++ {
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
		for left := turn; done < len(front) && left > 0 && front[done].at <= begun; done++ {
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
	for _, queue := range []*fifo[deadline]{&p.waiting, &p.unwatched} {
		if front := queue.front(); len(front) > 0 {
			first = min(first, front[0].at)
		}
	}
	if first < p.armed {
		p.armed = first
		p.timer.Reset(first - p.now())
	}
}

// The work of a hook is limited: it publishes a room itself if the room has at most few
// subscribers and watchers of its own, and at most fewSleepers watchers wait.
const (
	few         = 8
	fewSleepers = 64
)

// push has c published, whose queued flag the caller has just set. With now, it publishes
// c itself if the room has only a few subscribers and no other caller holds mu: on a busy
// machine the goroutine would have to wait for a processor.
func (p *publisher) push(c *cell, held, now bool) {
	if !held || !now || !p.tryPublish(c) {
		p.inbox.push(c, held)
	}
}

// publishNow publishes c if it waits to be published and push would publish it itself.
func (p *publisher) publishNow(c *cell) {
	if w := c.word.Load(); w&held != 0 && w&queued != 0 {
		p.tryPublish(c)
	}
}

func (p *publisher) tryPublish(c *cell) bool {
	if !p.mu.TryLock() {
		return false
	}
	defer p.mu.Unlock()
	x := c.extra.Load()
	if p.closed || x == nil || len(x.subs) == 0 || len(x.subs)+len(p.selected[c.name]) > few ||
		len(p.sleepers) > fewSleepers || p.totals.full() || p.locals.full() {
		return false
	}
	began := p.now()
	if began < x.next {
		return true // it is in the waiting queue: see visit
	}
	p.visit(c, began, false)
	p.wakeWatchers()
	p.arm()
	p.rounds.Add(1)
	p.publishing.Add(int64(p.now() - began))
	return true
}

func (p *publisher) now() time.Duration { return time.Since(p.start) }

// visit publishes what changed in c, and queues c again or makes it idle, detached or
// retired. It returns how much work that was. With paused, c comes from a queue of
// deadlines and not from the inbox or a hook.
func (p *publisher) visit(c *cell, now time.Duration, paused bool) (work int) {
	for {
		work++
		x := c.extra.Load()
		if x != nil && now < x.next {
			return work // published less than an interval ago, so it is in the waiting queue
		}
		published := p.publish(c, c.local())
		if x != nil && x.undelivered {
			published = p.deliver(c, x) || published
			if work += len(x.subs); work > turn {
				now = p.now() // deliver has unlocked mu meanwhile
			}
		}
		switch {
		case !p.hasListeners(c):
			if published && !paused && stateOf(c.word.Load()) == absent {
				// Many rooms that empty are soon joined again.
				p.unwatched.push(deadline{c, now + p.pause})
				return work
			}
		case published:
			if x != nil {
				x.next = now + p.interval
			}
			p.waiting.push(deadline{c, now + p.interval})
			return work
		}
		if p.makeIdle(c) {
			return work
		}
	}
}

// hasListeners reports whether c has a subscriber or a watcher.
func (p *publisher) hasListeners(c *cell) bool {
	x := c.extra.Load()
	return x != nil && len(x.subs) > 0 ||
		len(p.totals.readers)+len(p.locals.readers) > 0 ||
		len(p.selected) > 0 && len(p.selected[c.name]) > 0
}

// publish sets c's mark to its occupancy now, given this process's part, and adds it to
// the journals. It does not notify subscribers: see deliver. It reports whether the total
// changed. If only this process's part changed, for example because a connection moved
// here from another node, the room has no new event, and the next one must not be delayed.
func (p *publisher) publish(c *cell, local uint64) bool {
	x := c.extra.Load()
	total := c.total(local)
	was, localWas := c.mark.value, c.markOf(true).value
	if localWas != local {
		p.countLocal(localWas, local)
	}
	if was != total {
		if p.hasListeners(c) {
			p.published.Add(1)
		}
		p.seq++
		c.mark = mark{total, p.seq}
		p.list(&p.totals, c)
		if x == nil {
			p.list(&p.locals, c)
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
		x.local = mark{local, p.seq}
		p.list(&p.locals, c)
	}
	return was != total
}

// list adds c, which was just published, to a journal, and notes which watchers to wake.
func (p *publisher) list(j *journal, c *cell) {
	j.add(c, p.seq)
	for _, w := range p.sleepers {
		if w.concerns(j, c) {
			w.due, p.anyDue = true, true
		}
	}
}

// refresh publishes c early, for a new listener, and has it published from now on
// whenever it changes.
func (p *publisher) refresh(c *cell) {
	p.publish(c, c.local())
	if c.word.Load()&(idle|queued) == 0 {
		p.makeIdle(c)
		p.listen(c) // if it changed meanwhile
	}
}

// deliver sends the room's event to the subscribers that have not received its value,
// and reports whether there was one. It unlocks mu for others after every turn, so that a
// room of 100,000 subscribers does not hold them up.
func (p *publisher) deliver(c *cell, x *extra) bool {
	x.undelivered = false
	event := x.event(c)
	var delivered, folded uint64
	left := turn
	for x.passed = 0; x.passed < len(x.subs); x.passed++ {
		if left--; left == 0 && !p.closed {
			p.mu.Unlock()
			p.mu.Lock()
			if x.passed == len(x.subs) { // the others have unsubscribed
				break
			}
			left, event = turn, x.event(c)
		}
		s := &x.subs[x.passed]
		if s.last == c.mark.value {
			continue
		}
		s.last = c.mark.value
		delivered++
		select {
		case s.events <- event:
		default:
			select {
			case <-s.events:
				folded++
			default: // read at this moment
			}
			s.events <- event // does not block: nobody else sends
		}
	}
	x.passed = 0
	p.delivered.Add(delivered)
	p.folded.Add(folded)
	return delivered > 0
}

// makeIdle clears the queued flag of c, which has been published, and sets the idle flag
// if c has listeners. It retires c if the room does not exist any more and every watcher
// has read that. It reports false if c has changed meanwhile.
func (p *publisher) makeIdle(c *cell) bool {
	w := c.word.Load()
	if w == retired {
		return true
	}
	local := countsOf(w)
	if c.mark.value != c.total(local) || c.markOf(true).value != local {
		return false
	}
	n := w &^ queued
	switch {
	case stateOf(w) == absent && !p.totals.unread(c) && !p.locals.unread(c):
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

// retireEmpty retires a cell that makeIdle kept because a watcher had not read it.
func (p *publisher) retireEmpty(c *cell) {
	if c.word.Load() == idle {
		p.makeIdle(c)
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
		default: // an earlier token is still there
		}
		return true
	})
}

// finish freezes every room, delivers the last events and closes every subscription.
func (p *publisher) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
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
// mark holds the counts. If a hook changes the word meanwhile, freeze publishes that, too.
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
