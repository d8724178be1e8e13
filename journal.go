package occupancy

import (
	"slices"
	"sort"
	"strings"
)

// journal lists the rooms that changed, in the order of their publications, for any
// number of watchers that read it at their own pace. A room that is published again is
// listed again, and its earlier entry is outdated. So a publication costs the same for one
// watcher as for thousands, and what a slow watcher has not read is bounded by the rooms
// that changed, not by the changes.
//
// publisher.mu protects it.
type journal struct {
	last      func(*cell) publication // of the total, or of this process's part
	entries   fifo[entry]
	length    int // of entries
	compactAt int // add calls compact at this length, but not below 2*blockLen

	readers []*journalReader
	oldest  uint64 // the smallest next of all readers
	slowest int    // the number of readers whose next is oldest
}

func newJournal(last func(*cell) publication) journal {
	return journal{last: last, oldest: ^uint64(0)}
}

type entry struct {
	c   *cell
	seq uint64 // if it is not that of the room's last publication, the entry is outdated
	// since is the seq of the publication by which the room began, or 0 if every reader knows
	// the room. A reader whose next is since or less has not read that the room began. If the
	// room ends before the reader reads that, the reader need not return the room.
	since uint64
}

func (j *journal) outdated(e entry) bool { return j.last(e.c).seq != e.seq }

// add lists c, whose last publication has just been replaced: before by now.
func (j *journal) add(c *cell, before, now publication) {
	if len(j.readers) == 0 {
		return
	}
	var since uint64
	switch {
	case before.seq >= j.oldest:
		since = j.entryOf(before.seq).since
	case before.value == counts{}:
		since = now.seq
	}
	if j.full() {
		j.compact()
	}
	j.entries.push(entry{c, now.seq, since})
	j.length++
}

// entryOf returns the entry of the publication seq, which some reader has not read. It exists:
// seq is or was the newest of its room, and compact keeps the newest entry of each room.
func (j *journal) entryOf(seq uint64) entry { return j.from(seq)[0] }

// full reports whether the next add calls compact.
func (j *journal) full() bool { return j.length >= max(j.compactAt, 2*blockLen) }

// compact removes the outdated entries. It runs again when the journal has doubled.
func (j *journal) compact() {
	var kept fifo[entry]
	j.length = 0
	for !j.entries.empty() {
		front := j.entries.front()
		for _, e := range front {
			if !j.outdated(e) {
				kept.push(e)
				j.length++
			}
		}
		j.entries.drop(len(front))
	}
	j.entries = kept
	j.compactAt = 2 * j.length
}

// mustKeep reports whether some reader must still return the last publication of c, which
// is empty.
func (j *journal) mustKeep(c *cell) bool {
	seq := j.last(c).seq
	if seq < j.oldest {
		return false
	}
	since := j.entryOf(seq).since
	return slices.ContainsFunc(j.readers, func(r *journalReader) bool {
		_, pending := r.pendingInitial[c]
		return pending || since < r.next && r.next <= seq && strings.HasPrefix(c.name, r.prefix)
	})
}

// from returns the first entries with seq next or later, in order: at least one if there is
// any. Removed entries at the head of the first block have seq 0.
func (j *journal) from(next uint64) []entry {
	blocks := j.entries.blocks
	b := sort.Search(len(blocks), func(i int) bool {
		last := len(blocks[i]) - 1
		return last >= 0 && blocks[i][last].seq >= next
	})
	if b == len(blocks) {
		return nil
	}
	i := sort.Search(len(blocks[b]), func(i int) bool { return blocks[b][i].seq >= next })
	return blocks[b][i:]
}

// addReader adds a reader, which starts at r.next.
func (j *journal) addReader(r *journalReader) {
	j.readers = append(j.readers, r)
	j.findOldest()
}

// removeReader removes a reader. Call trim after it.
func (j *journal) removeReader(r *journalReader) {
	j.readers = slices.DeleteFunc(j.readers, func(other *journalReader) bool { return other == r })
	j.findOldest()
}

func (j *journal) findOldest() {
	j.oldest, j.slowest = ^uint64(0), 0
	for _, r := range j.readers {
		switch {
		case r.next < j.oldest:
			j.oldest, j.slowest = r.next, 1
		case r.next == j.oldest:
			j.slowest++
		}
	}
}

// advance sets the next of a reader, which has read everything before it. Only the last of the
// slowest readers searches all readers for the new oldest, so that with many watchers a Next is cheap.
func (j *journal) advance(r *journalReader, next uint64) {
	before := r.next
	r.next = next
	if before > j.oldest {
		return
	}
	if j.slowest--; j.slowest == 0 {
		j.findOldest()
		j.trim()
	}
}

// trim removes the entries that every reader has read.
func (j *journal) trim() {
	for !j.entries.empty() {
		front := j.entries.front()
		n := sort.Search(len(front), func(i int) bool { return front[i].seq >= j.oldest })
		j.entries.drop(n)
		j.length -= n
		if n < len(front) {
			return
		}
	}
	j.compactAt = 0
}

// journalReader is what a watcher of all rooms has read. publisher.mu protects it.
type journalReader struct {
	p        *publisher
	w        *Watcher
	j        *journal
	prefix   string
	interest bool // see WithInterest

	firstSeq       uint64              // the journal has the publications from this seq on
	next           uint64              // the first seq that is not read
	backlog        []*cell             // the rooms that existed when it began, not read yet
	pendingInitial map[*cell]struct{}  // the rooms that moved from the backlog to the journal, until Next has returned them
	unchanged      map[string]struct{} // rooms to return even if their counts have not changed: see returnUnchanged; only for a link
}

// start begins to read the publications from now on. It finds the rooms that exist, and unlocks mu
// meanwhile. The journal has every publication, so it also has a room that this walk misses because
// the room is created meanwhile.
func (r *journalReader) start() {
	p := r.p
	r.next = p.seq + 1
	r.firstSeq = r.next
	r.j.addReader(r)
	if r.interest {
		i := 0
		for room := range p.watchers.selected {
			r.returnUnchanged(room)
			p.yieldLock(i)
			i++
		}
	}
	p.mu.Unlock()
	var backlog []*cell
	p.rooms.cells.Range(func(c *cell) bool {
		if strings.HasPrefix(c.name, r.prefix) && (!c.settledEmpty() || r.interest && c.word.Load()&held != 0) {
			backlog = append(backlog, c)
		}
		return true
	})
	p.mu.Lock()
	if r.w.closed { // by Link.Close
		r.w.incomplete = r.w.incomplete || len(backlog) > 0
	} else {
		r.backlog = backlog
	}
}

// skipEmpty removes the first rooms of the backlog, as long as Next need not return them from there.
func (r *journalReader) skipEmpty() {
	for i := 0; len(r.backlog) > 0 && !r.publishInitial(r.backlog[0]); i++ {
		r.backlog = r.backlog[1:]
		r.p.yieldLock(i)
	}
	r.p.watchers.wake()
}

// publishInitial publishes c, a room of the backlog. It returns true if Next must return c
// from the backlog. It returns false if c is empty, and if c was published since Watch:
// then Next returns c from the journal, and publishInitial adds c to pendingInitial.
func (r *journalReader) publishInitial(c *cell) bool {
	r.p.refresh(c)
	last := r.j.last(c)
	if last.seq >= r.firstSeq {
		r.pendingInitial[c] = struct{}{}
		return false
	}
	return last.value != counts{} || r.interest && c.subscribed()
}

// returnUnchanged makes Next return the room even if its counts have not changed, because its users or
// the interest in it have changed. A change that is undone before Next is returned, too: after an
// earlier event, the caller of Next may call Interested between the two. The caller must call
// watchers.wake.
func (r *journalReader) returnUnchanged(room string) {
	if r.unchanged == nil {
		r.unchanged = map[string]struct{}{}
	}
	r.unchanged[room] = struct{}{}
	if r.w.sleeping {
		r.p.watchers.notify(r.w)
	}
}

// take is Watcher.take.
func (r *journalReader) take() (events []RoomEvent, more bool) {
	n := min(maxBatch, len(r.backlog))
	events = slices.Grow(events, n) // few of them are empty
	for i, c := range r.backlog[:n] {
		prefetch(i, r.backlog[:n], func(c *cell) *cell { return c })
		if r.publishInitial(c) {
			events = append(events, r.event(c))
		}
	}
	clear(r.backlog[:n])
	if r.backlog = r.backlog[n:]; len(r.backlog) > 0 {
		return events, true
	}
	r.backlog = nil
	next := r.next
	if r.prefix == "" { // few entries are outdated
		unread := min(uint64(r.j.length), r.p.seq+1-next)
		events = slices.Grow(events, int(min(unread, uint64(maxBatch-len(events)))))
	}
	var emptied []*cell
	for left := maxScan; left > 0 && len(events) < maxBatch; {
		unread := r.j.from(next)
		if len(unread) == 0 {
			break
		}
		unread = unread[:min(len(unread), maxBatch-len(events))]
		for i, e := range unread {
			prefetch(i, unread, func(e entry) *cell { return e.c })
			if r.j.outdated(e) {
				continue
			}
			if empty := (counts{}); r.j.last(e.c).value == empty {
				emptied = append(emptied, e.c)
			}
			if strings.HasPrefix(e.c.name, r.prefix) {
				events = append(events, r.event(e.c))
				delete(r.pendingInitial, e.c)
			}
		}
		next = unread[len(unread)-1].seq + 1
		left -= len(unread)
	}
	if len(r.j.from(next)) == 0 { // else r could return the value of an entry that it has not read: see mustKeep
		events = r.takeUnchanged(events)
	}
	if next == r.next {
		return events, false
	}
	r.j.advance(r, next)
	for _, c := range emptied {
		r.p.retireIfEmpty(c)
	}
	return events, true
}

// takeUnchanged appends events of the rooms of r.unchanged to a batch.
func (r *journalReader) takeUnchanged(events []RoomEvent) []RoomEvent {
	for room := range r.unchanged {
		if len(events) == maxBatch {
			return events
		}
		delete(r.unchanged, room)
		event := RoomEvent{room, Event{Type: EventUpdated, Version: r.p.seq}}
		if c := r.p.rooms.live(room); c != nil && r.j.last(c).seq > 0 { // otherwise this process has published no counts
			event = r.event(c)
		}
		events = append(events, event)
	}
	r.unchanged = nil // releases the memory of many rooms
	return events
}

// event returns the room's last published value. It is also the event for changed users or
// interest.
func (r *journalReader) event(c *cell) RoomEvent {
	delete(r.unchanged, c.name)
	if r.w.link == nil {
		return c.event()
	}
	last := c.lastLocal()
	return RoomEvent{c.name, Event{Type: EventUpdated, Occupancy: last.value.occupancy(), Version: last.seq}}
}

// end ends the reader, and retires the empty rooms that only this reader had to return.
func (r *journalReader) end() {
	r.backlog, r.pendingInitial, r.unchanged = nil, nil, nil
	r.j.removeReader(r)
	for last := r.p.seq; r.next <= last; {
		unread := r.j.from(r.next)
		if len(unread) == 0 {
			break
		}
		for _, e := range unread { // at most a block
			if !r.j.outdated(e) {
				r.p.retireIfEmpty(e.c)
			}
		}
		r.next = unread[len(unread)-1].seq + 1
		r.p.unlockBriefly() // so that other callers need not wait for the whole loop
	}
	r.j.trim()
}
