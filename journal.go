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

	readers []*Watcher
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
	return slices.ContainsFunc(j.readers, func(w *Watcher) bool {
		_, pending := w.pendingInitial[c]
		return pending || since < w.next && w.next <= seq && strings.HasPrefix(c.name, w.prefix)
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

// addReader adds a reader, which starts at w.next.
func (j *journal) addReader(w *Watcher) {
	j.readers = append(j.readers, w)
	j.findOldest()
}

// removeReader removes a reader. Call trim after it.
func (j *journal) removeReader(w *Watcher) {
	j.readers = slices.DeleteFunc(j.readers, func(r *Watcher) bool { return r == w })
	j.findOldest()
}

func (j *journal) findOldest() {
	j.oldest, j.slowest = ^uint64(0), 0
	for _, w := range j.readers {
		switch {
		case w.next < j.oldest:
			j.oldest, j.slowest = w.next, 1
		case w.next == j.oldest:
			j.slowest++
		}
	}
}

// advance sets the next of a reader, which has read everything before it. Only the last of the
// slowest readers searches all readers for the new oldest, so that with many watchers a Next is cheap.
func (j *journal) advance(w *Watcher, next uint64) {
	before := w.next
	w.next = next
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
