package occupancy

import (
	"slices"
	"sort"
)

// journal lists the rooms that changed, in the order of their publications, for any
// number of watchers that read it at their own pace. A room that is published again is
// listed again. An entry whose seq is not that of the room's last publication is outdated. So
// a publication costs the same for one watcher as for thousands, and what a slow watcher
// has not read is bounded by the rooms that changed, not by the changes.
//
// publisher.mu protects it.
type journal struct {
	local     bool // lists this process's parts, not totals
	entries   fifo[entry]
	length    int // of entries
	compactAt int // the length at which add removes outdated entries, if it is at least 2*blockLen

	readers []*Watcher
	oldest  uint64 // the smallest next of all readers
}

type entry struct {
	c   *cell
	seq uint64
}

// current reports whether e is not outdated.
func (j *journal) current(e entry) bool { return e.c.lastOf(j.local).seq == e.seq }

// add lists c, which was just published.
func (j *journal) add(c *cell, seq uint64) {
	if len(j.readers) == 0 {
		return
	}
	if j.full() {
		j.compact()
	}
	j.entries.push(entry{c, seq})
	j.length++
}

// full reports whether the next add calls compact.
func (j *journal) full() bool { return j.length >= max(j.compactAt, 2*blockLen) }

// compact removes the outdated entries. It runs again when the journal has doubled.
func (j *journal) compact() {
	var kept fifo[entry]
	j.length = 0
	for !j.entries.empty() {
		front := j.entries.front()
		for _, e := range front {
			if j.current(e) {
				kept.push(e)
				j.length++
			}
		}
		j.entries.drop(len(front))
	}
	j.entries = kept
	j.compactAt = 2 * j.length
}

// unread reports whether some reader has not read the last publication of c.
func (j *journal) unread(c *cell) bool {
	return len(j.readers) > 0 && c.lastOf(j.local).seq >= j.oldest
}

// from returns the first entries with seq next or later, in order: at least one if there is any.
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

// join adds a reader, which starts at w.next.
func (j *journal) join(w *Watcher) {
	j.readers = append(j.readers, w)
	j.findOldest()
}

// advance moves a reader to next. It removes no entries: call trim after it.
func (j *journal) advance(w *Watcher, next uint64) {
	w.next = next
	j.findOldest()
}

// leave removes a reader.
func (j *journal) leave(w *Watcher) {
	j.readers = slices.DeleteFunc(j.readers, func(r *Watcher) bool { return r == w })
	j.findOldest()
}

func (j *journal) findOldest() {
	j.oldest = ^uint64(0)
	for _, w := range j.readers {
		j.oldest = min(j.oldest, w.next)
	}
}

// trim removes entries that every reader has read. It calls retire with the cell of each
// removed entry that is not outdated. One call removes no more than limit entries, rounded up to blocks,
// because a reader that never read may leave a million. trim reports whether there may be
// more.
func (j *journal) trim(limit int, retire func(*cell)) (more bool) {
	for ; !j.entries.empty() && limit > 0; limit -= blockLen {
		front := j.entries.front()
		n := 0
		for n < len(front) && front[n].seq < j.oldest {
			if j.current(front[n]) {
				retire(front[n].c)
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
		j.compactAt = 0
	}
	return !j.entries.empty()
}
