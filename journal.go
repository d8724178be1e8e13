package occupancy

import (
	"cmp"
	"slices"
)

// journal lists the rooms that changed, in the order they were told, for any
// number of watchers that read it at their own pace. A room that is told again is
// listed again; its older entry, no longer of the mark's seq, counts no more. So
// a publication costs the same for one watcher as for thousands, and what a slow
// watcher has before it is bounded by the rooms that changed, not by the changes.
//
// publisher.mu protects it.
type journal struct {
	local   bool // lists local parts, not totals
	entries fifo[entry]
	tidyAt  int // the number of entries at which those that no longer count go

	readers  map[*Watcher]struct{}
	oldest   uint64 // the least next of all readers
	atOldest int    // how many readers are there
}

type entry struct {
	c   *cell
	seq uint64
}

func (j *journal) counts(e entry) bool { return e.c.markOf(j.local).seq == e.seq }

// add lists what was just told of c.
func (j *journal) add(c *cell, seq uint64) {
	if len(j.readers) == 0 {
		return
	}
	if len(j.entries.items()) >= j.tidyAt {
		j.entries.filter(j.counts)
		j.tidyAt = max(spareCap, 2*len(j.entries.items()))
	}
	j.entries.push(entry{c, seq})
}

// unread reports whether a reader has not read yet what was last told of c.
func (j *journal) unread(c *cell) bool {
	return len(j.readers) > 0 && c.markOf(j.local).seq >= j.oldest
}

// from are the entries with seq next and later.
func (j *journal) from(next uint64) []entry {
	entries := j.entries.items()
	i, _ := slices.BinarySearchFunc(entries, next, func(e entry, n uint64) int { return cmp.Compare(e.seq, n) })
	return entries[i:]
}

// join adds a reader that starts at w.next.
func (j *journal) join(w *Watcher) {
	j.readers[w] = struct{}{}
	j.findOldest(w.next)
}

// advance moves a reader on and gives bury each cell that no reader needs any more.
func (j *journal) advance(w *Watcher, next uint64, bury func(*cell)) {
	was := w.next
	w.next = next
	j.passed(was, bury)
}

// leave removes a reader, likewise.
func (j *journal) leave(w *Watcher, bury func(*cell)) {
	delete(j.readers, w)
	j.passed(w.next, bury)
}

// passed notes that a reader is no longer at place was.
func (j *journal) passed(was uint64, bury func(*cell)) {
	if was != j.oldest {
		return
	}
	if j.atOldest--; j.atOldest > 0 {
		return
	}
	j.findOldest(^uint64(0))
	entries := j.entries.items()
	n := 0
	for n < len(entries) && entries[n].seq < j.oldest {
		if j.counts(entries[n]) {
			bury(entries[n].c)
		}
		n++
	}
	j.entries.drop(n)
}

// findOldest looks for the least place of all readers, which is at most most.
func (j *journal) findOldest(most uint64) {
	j.oldest, j.atOldest = most, 0
	for w := range j.readers {
		switch {
		case w.next < j.oldest:
			j.oldest, j.atOldest = w.next, 1
		case w.next == j.oldest:
			j.atOldest++
		}
	}
}
