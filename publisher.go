package occupancy

import (
	"sync"
	"sync/atomic"
	"time"
)

// publisher is the goroutine that publishes changes. The path of a change:
//
//	hook → counter → inbox → publisher → subscriptions
//	                                   ↘ journals → watchers
//
// A hook that changes an idle room clears the room's idle flag and pushes the room to
// the inbox. The publisher publishes the room's occupancy at once, and puts the room
// into a queue until its interval is over. Then either the room has changed, and is
// published and queued again, or it has not, and makeIdle sets its idle flag again. So
// the first change after a quiet interval is published at once, the hooks of a busy room
// only count, no room needs a timer, and the publisher sleeps while nothing changes.
//
// The publisher publishes a room if its counts differ from its mark. It sets the idle
// flag by a compare-and-swap on the word that it has published. So no change is missed,
// for every interleaving, and an unnecessary visit does no harm.
type publisher struct {
	rooms    *rooms
	interval time.Duration
	pause    time.Duration // between two visits of a room without listeners
	start    time.Time     // times are durations since then
	inbox    inbox
	quit     chan struct{} // closed by stop
	stopped  chan struct{} // closed when the goroutine has ended; Engine.Done

	// mu protects the following, and every cell's mark and extra. No hook locks it.
	mu              sync.Mutex
	seq             uint64         // the number of publications
	waiting         fifo[deadline] // rooms with listeners, until their interval is over
	unwatched       fifo[deadline] // rooms without listeners, until their pause is over
	totals          journal
	locals          journal
	remoteRooms     int           // rooms that have parts of other nodes
	subscribedRooms int           // rooms that have subscriptions
	unannounced     bool          // a journal has entries that no watcher was woken for
	changed         chan struct{} // closed by wakeWatchers; nil if no watcher waits
	closed          bool

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

// add replaces one room's counts, both packed.
func (s *sums) add(was, now uint64) {
	w, n := unpack(was), unpack(now)
	s.connections.Add(int64(n.Connections - w.Connections))
	s.presenceMembers.Add(int64(n.PresenceMembers - w.PresenceMembers))
}

func (s *sums) read() Occupancy {
	return Occupancy{int(s.connections.Load()), int(s.presenceMembers.Load())}
}

// countLocal counts what is published of this process's part of a room.
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
		totals:   journal{readers: map[*Watcher]struct{}{}},
		locals:   journal{readers: map[*Watcher]struct{}{}, local: true},
	}
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
	timer := time.NewTimer(p.interval)
	timer.Stop()
	var arrived fifo[*cell]
	for {
		began := p.now()
		arrived = p.inbox.take(arrived)
		work := !arrived.empty()
		p.drainInbox(&arrived)

		var due <-chan time.Time
		work = p.visitDue(&p.waiting) || work
		work = p.visitDue(&p.unwatched) || work
		if work {
			p.rounds.Add(1)
			p.publishing.Add(int64(p.now() - began))
		}
		if wait, more := p.next(); more {
			timer.Reset(wait)
			due = timer.C
		}
		select {
		case <-p.inbox.wake:
		case <-due:
		case <-p.quit:
			p.finish()
			return
		}
	}
}

// turn is how much the publisher does, in visited rooms and delivered events, before it
// unlocks mu for others: a Subscribe, a watcher, a Remote.
const turn = 512

// drainInbox visits the rooms that hooks have pushed.
func (p *publisher) drainInbox(arrived *fifo[*cell]) {
	for !arrived.empty() {
		p.mu.Lock()
		now := p.now()
		done := 0
		for left := turn; done < len(arrived.front()) && left > 0; done++ {
			left -= p.visit(arrived.front()[done], now)
		}
		p.wakeWatchers()
		p.mu.Unlock()
		arrived.drop(done)
	}
}

// visitDue visits the rooms of a queue whose deadline has passed, and reports whether
// there were any. A visit may queue the room again.
func (p *publisher) visitDue(queue *fifo[deadline]) (found bool) {
	begun := p.now()
	for {
		p.mu.Lock()
		now := p.now()
		done := 0
		front := queue.front()
		for left := turn; done < len(front) && left > 0 && front[done].at <= begun; done++ {
			left -= p.visit(front[done].c, now)
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

// next returns the time until the first deadline, and whether there is one.
func (p *publisher) next() (wait time.Duration, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for _, queue := range []*fifo[deadline]{&p.waiting, &p.unwatched} {
		if front := queue.front(); len(front) > 0 && (!more || front[0].at-now < wait) {
			wait, more = front[0].at-now, true
		}
	}
	return wait, more
}

func (p *publisher) now() time.Duration { return time.Since(p.start) }

// visit publishes what changed in c and queues the room, or makes it idle. It returns how
// much work that was.
func (p *publisher) visit(c *cell, now time.Duration) (work int) {
	for {
		work++
		x := c.extra.Load()
		if x != nil && now < x.next {
			return work // published less than an interval ago, so it is in the waiting queue
		}
		published := p.publish(c, c.local())
		if x != nil && x.undelivered {
			published = p.deliver(c, x) || published
			work += len(x.subs)
		}
		if published {
			if !p.hasListeners(x) {
				p.unwatched.push(deadline{c, now + p.pause})
				return work
			}
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

// hasListeners reports whether a room with this extra has a subscriber or a watcher.
func (p *publisher) hasListeners(x *extra) bool {
	return x != nil && len(x.subs) > 0 || p.watchers.Load() > 0
}

// publish sets c's mark to its occupancy now, given this process's part, and adds it to
// the journals. It does not notify subscribers: see deliver. It reports whether the total
// changed. If only this process's part changed, for example because a connection moved
// here from another node, that is no event of the room and must not delay one.
func (p *publisher) publish(c *cell, local uint64) bool {
	x := c.extra.Load()
	total := c.total(local)
	was, localWas := c.mark.value, c.markOf(true).value
	if localWas != local {
		p.countLocal(localWas, local)
	}
	if was != total {
		if p.hasListeners(x) {
			p.published.Add(1)
		}
		p.seq++
		c.mark = mark{total, p.seq}
		p.totals.add(c, p.seq)
		if x == nil {
			p.locals.add(c, p.seq)
		} else {
			x.version++
			x.undelivered = true
		}
		p.total.add(was, total)
		p.unannounced = true
	}
	if x != nil && localWas != local {
		p.seq++
		x.local = mark{local, p.seq}
		p.locals.add(c, p.seq)
		p.unannounced = true
	}
	return was != total
}

// deliver sends the room's event to the subscribers that have not received its value,
// and reports whether there was one.
func (p *publisher) deliver(c *cell, x *extra) bool {
	x.undelivered = false
	event := x.event(c)
	var delivered, folded uint64
	for i := range x.subs {
		s := &x.subs[i]
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
			default: // read this moment
			}
			s.events <- event // does not block: nobody else sends
		}
	}
	p.delivered.Add(delivered)
	p.folded.Add(folded)
	return delivered > 0
}

// makeIdle sets the idle flag of c, which has been published, or retires c if the room
// does not exist any more and every watcher has read that. It reports false if c has
// changed meanwhile.
func (p *publisher) makeIdle(c *cell) bool {
	w := c.word.Load()
	if w == retired {
		return true
	}
	local := w & counts
	if c.mark.value != c.total(local) || c.markOf(true).value != local {
		return false
	}
	n := w | idle
	if stateOf(w) == absent && !p.totals.unread(c) && !p.locals.unread(c) {
		n = retired
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

// wakeWatchers wakes the watchers that wait, if the journals have new entries.
func (p *publisher) wakeWatchers() {
	if p.unannounced && p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
	p.unannounced = false
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
	p.unannounced = true // that the engine is closed
	p.wakeWatchers()
}

// freeze retires c with its counts: the word refuses every hook from now on, and the
// mark holds the counts. A hook that comes before the last step is published.
func (p *publisher) freeze(c *cell) {
	for frozen := false; !frozen; {
		w := c.word.Load()
		if w == retired {
			return
		}
		p.publish(c, w&counts)
		frozen = c.word.CompareAndSwap(w, retired)
	}
}
