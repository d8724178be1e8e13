package occupancy

import "sort"

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
	length  int // of entries
	tidyAt  int // the length at which those that no longer count go

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
	if j.length >= j.tidyAt {
		j.tidy()
	}
	j.entries.push(entry{c, seq})
	j.length++
}

// tidy removes the entries that no longer count, and waits until as many have come.
func (j *journal) tidy() {
	var kept fifo[entry]
	j.length = 0
	for !j.entries.empty() {
		front := j.entries.front()
		for _, e := range front {
			if j.counts(e) {
				kept.push(e)
				j.length++
			}
		}
		j.entries.drop(len(front))
	}
	j.entries = kept
	j.tidyAt = max(2*blockLen, 2*j.length)
}

// unread reports whether a reader has not read yet what was last told of c.
func (j *journal) unread(c *cell) bool {
	return len(j.readers) > 0 && c.markOf(j.local).seq >= j.oldest
}

// from are entries with seq next and later: some, in order, if there are any.
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

// join adds a reader that starts at w.next.
func (j *journal) join(w *Watcher) {
	j.readers[w] = struct{}{}
	j.findOldest(w.next)
}

// advance moves a reader on. What no reader needs any more is trim's to remove.
func (j *journal) advance(w *Watcher, next uint64) {
	was := w.next
	w.next = next
	j.passed(was)
}

// leave removes a reader, likewise.
func (j *journal) leave(w *Watcher) {
	delete(j.readers, w)
	j.passed(w.next)
}

// passed notes that a reader is no longer at place was.
func (j *journal) passed(was uint64) {
	if was != j.oldest {
		return
	}
	if j.atOldest--; j.atOldest == 0 {
		j.findOldest(^uint64(0))
	}
}

// trim removes entries that every reader has passed, and gives bury the cells of those
// that counted. It reports whether there may be more: it stops after some, since a
// reader that never read may leave a million behind.
func (j *journal) trim(some int, bury func(*cell)) (more bool) {
	for ; !j.entries.empty() && some > 0; some -= blockLen {
		front := j.entries.front()
		n := 0
		for n < len(front) && front[n].seq < j.oldest {
			if j.counts(front[n]) {
				bury(front[n].c)
			}
			n++
		}
		if n == 0 {
			return false
		}
		j.entries.drop(n)
		j.length -= n
	}
	if j.entries.empty() {
		j.tidyAt = 0
	}
	return !j.entries.empty()
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
