package occupancy

import (
	"sync"
	"sync/atomic"
	"time"
)

// publisher is the one goroutine that tells what changed. The way of a change:
//
//	hook → counter → inbox → publisher → subscriptions
//	                                   ↘ journals → watchers
//
// A hook that changes an idle room hands it over, through the inbox, in the same
// step that clears its idle flag. The publisher tells the room's occupancy at once
// and puts it in the cooling queue for the interval. When that is over the room
// either changed meanwhile, and is told and cools again, or it did not, and is idle
// again (settle). So the first change after quiet is told at once, a busy room costs
// its hooks nothing but the count, no room needs a timer, and when all is quiet the
// publisher sleeps without one.
//
// A room is told where it differs from its mark, and made idle only by a step on the
// very word that was told; so nothing is missed, whatever the interleaving, and a
// visit too many does no harm.
type publisher struct {
	rooms    *rooms
	interval time.Duration
	rest     time.Duration
	start    time.Time // deadlines are kept as durations since then
	inbox    inbox
	quit     chan struct{} // closed by stop
	stopped  chan struct{} // closed when the goroutine ended: Engine.Done

	// mu protects the following, and every cell's mark and extra. No hook takes it.
	mu          sync.Mutex
	seq         uint64       // how often anything was told
	cooling     fifo[cooled] // rooms that were told to somebody, for the interval
	resting     fifo[cooled] // rooms that nobody listened to, for a rest
	totals      journal
	locals      journal
	remoteRooms int           // rooms that have parts of other nodes
	fresh       bool          // a journal has more than was announced
	news        chan struct{} // what watchers wait on, closed by announce; nil: nobody waits
	closed      bool

	tally
}

// cooled is a room that was told and is not looked at again before until. All rooms of
// a queue cool for the same time, so it is sorted.
type cooled struct {
	c     *cell
	until time.Duration
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

// maxRest is how long a room that nobody listens to may be left alone, and an emptied
// one kept, where the interval is longer: long enough that a busy room costs little.
const maxRest = 100 * time.Millisecond

func newPublisher(r *rooms, interval time.Duration) *publisher {
	p := &publisher{
		rooms:    r,
		rest:     min(interval, maxRest),
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

// stop ends the goroutine after the last words were told. Only one call.
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
		p.welcome(&arrived)

		var due <-chan time.Time
		work = p.revisit(&p.cooling) || work
		work = p.revisit(&p.resting) || work
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

// turn is how much the publisher does, in rooms attended to and events delivered,
// before who else waits for mu gets it: a Subscribe, a watcher, a remote part.
const turn = 512

// welcome attends to the rooms that hooks pushed.
func (p *publisher) welcome(arrived *fifo[*cell]) {
	for !arrived.empty() {
		p.mu.Lock()
		now := p.now()
		done := 0
		for left := turn; done < len(arrived.front()) && left > 0; done++ {
			left -= p.attend(arrived.front()[done], now)
		}
		p.announce()
		p.mu.Unlock()
		arrived.drop(done)
	}
}

// revisit attends to the rooms of a queue that have cooled by now, and reports whether
// there were any. They may go to either queue again.
func (p *publisher) revisit(queue *fifo[cooled]) (found bool) {
	begun := p.now()
	for {
		p.mu.Lock()
		now := p.now()
		done := 0
		front := queue.front()
		for left := turn; done < len(front) && left > 0 && front[done].until <= begun; done++ {
			left -= p.attend(front[done].c, now)
		}
		if done > 0 {
			queue.drop(done)
			p.announce()
		}
		p.mu.Unlock()
		if done == 0 {
			return found
		}
		found = true
	}
}

// next is how long until the next room has cooled, if there is any.
func (p *publisher) next() (wait time.Duration, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for _, queue := range []*fifo[cooled]{&p.cooling, &p.resting} {
		if front := queue.front(); len(front) > 0 && (!more || front[0].until-now < wait) {
			wait, more = front[0].until-now, true
		}
	}
	return wait, more
}

func (p *publisher) now() time.Duration { return time.Since(p.start) }

// attend tells what became of c and lets it cool, or lets it go. It returns how much
// it did.
func (p *publisher) attend(c *cell, now time.Duration) (work int) {
	for {
		work++
		x := c.extra.Load()
		if x != nil && now < x.until {
			return work // told less than an interval ago, so it is in the cooling queue
		}
		told := p.tell(c, c.local())
		if x != nil && x.stale {
			told = p.deliver(c, x) || told
			work += len(x.subs)
		}
		if told {
			if !p.heard(x) {
				p.resting.push(cooled{c, now + p.rest})
				return work
			}
			if x != nil {
				x.until = now + p.interval
			}
			p.cooling.push(cooled{c, now + p.interval})
			return work
		}
		if p.settle(c) {
			return work
		}
	}
}

// heard reports whether anybody listens to a room with this extra.
func (p *publisher) heard(x *extra) bool {
	return x != nil && len(x.subs) > 0 || p.watchers.Load() > 0
}

// tell marks what c is now, given this process's part, and lists it for the watchers.
// It reports whether the total had changed; where only this process's part had, as
// when a connection moves here from another node, that is no event of the room and
// must not delay one. Subscribers are told by deliver.
func (p *publisher) tell(c *cell, local uint64) bool {
	x := c.extra.Load()
	total := c.total(local)
	was, localWas := c.mark.told, c.markOf(true).told
	if localWas != local {
		p.countLocal(localWas, local)
	}
	if was != total {
		if p.heard(x) {
			p.published.Add(1)
		}
		p.seq++
		c.mark = mark{total, p.seq}
		p.totals.add(c, p.seq)
		if x == nil {
			p.locals.add(c, p.seq)
		} else {
			x.version++
			x.stale = true
		}
		p.total.add(was, total)
		p.fresh = true
	}
	if x != nil && localWas != local {
		p.seq++
		x.local = mark{local, p.seq}
		p.locals.add(c, p.seq)
		p.fresh = true
	}
	return was != total
}

// deliver tells the subscribers what they have not been told yet, and reports
// whether there was one.
func (p *publisher) deliver(c *cell, x *extra) bool {
	x.stale = false
	event := x.event(c)
	var delivered, folded uint64
	for i := range x.subs {
		s := &x.subs[i]
		if s.last == c.mark.told {
			continue
		}
		s.last = c.mark.told
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

// settle lets go of c, which has been told, and retires it if its room is no more
// and every watcher knows. It reports false if c changed meanwhile.
func (p *publisher) settle(c *cell) bool {
	w := c.word.Load()
	if w == retired {
		return true
	}
	local := w & counts
	if c.mark.told != c.total(local) || c.markOf(true).told != local {
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

// bury retires a cell that settle left for a watcher's sake.
func (p *publisher) bury(c *cell) {
	if c.word.Load() == idle {
		p.settle(c)
	}
}

// announce wakes the watchers that wait, if there is news for them.
func (p *publisher) announce() {
	if p.fresh && p.news != nil {
		close(p.news)
		p.news = nil
	}
	p.fresh = false
}

// finish freezes every room, tells the last words and closes every subscription.
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
	p.fresh = true // that it is closed
	p.announce()
}

// freeze retires c as it is: the word stops every hook from now on, and the mark
// reads for it. A hook that gets in before is told.
func (p *publisher) freeze(c *cell) {
	for frozen := false; !frozen; {
		w := c.word.Load()
		if w == retired {
			return
		}
		p.tell(c, w&counts)
		frozen = c.word.CompareAndSwap(w, retired)
	}
}
