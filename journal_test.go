package occupancy

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// diary is a journal with a plain model beside it: what each reader has not read.
type diary struct {
	t      *testing.T
	j      journal
	seq    uint64
	cells  []*cell
	unread map[*Watcher]map[*cell]bool
}

func newDiary(t *testing.T, rooms int, local bool) *diary {
	d := &diary{t: t, unread: map[*Watcher]map[*cell]bool{}}
	d.j = journal{local: local, readers: map[*Watcher]struct{}{}}
	for range rooms {
		d.cells = append(d.cells, &cell{})
	}
	return d
}

// tell marks a cell as the publisher does. hole is how many numbers went to the
// other journal meanwhile.
func (d *diary) tell(c *cell, hole uint64) {
	d.seq += 1 + hole
	c.markOf(d.j.local).seq = d.seq
	d.j.add(c, d.seq)
	for _, cells := range d.unread {
		cells[c] = true
	}
}

func (d *diary) join() *Watcher {
	w := &Watcher{next: d.seq + 1}
	d.j.join(w)
	d.unread[w] = map[*cell]bool{}
	return w
}

// read is what Next does, for so many entries at most.
func (d *diary) read(w *Watcher, most int) {
	next := w.next
	all := false
	for !all && most > 0 {
		unread := d.j.from(next)
		all = len(unread) == 0
		unread = unread[:min(most, len(unread))]
		most -= len(unread)
		for _, e := range unread {
			next = e.seq + 1
			if d.j.counts(e) {
				if !d.unread[w][e.c] {
					d.t.Fatal("a room that this reader has read, or twice in one reading")
				}
				delete(d.unread[w], e.c)
			}
		}
	}
	if n := len(d.unread[w]); all && n > 0 {
		d.t.Fatalf("%d rooms changed and are not listed", n)
	}
	if next != w.next {
		d.passes(func(bury func(*cell)) {
			d.j.advance(w, next)
			for d.j.trim(1, bury) {
			}
		})
	}
}

func (d *diary) leave(w *Watcher) {
	delete(d.unread, w)
	d.passes(func(bury func(*cell)) {
		d.j.leave(w)
		for d.j.trim(1, bury) {
		}
	})
}

// passes checks that f gives bury exactly the cells that no reader needs any more
// and one did before.
func (d *diary) passes(f func(bury func(*cell))) {
	needed := map[*cell]bool{}
	for _, c := range d.cells {
		if d.j.unread(c) {
			needed[c] = true
		}
	}
	f(func(c *cell) {
		if !needed[c] || d.j.unread(c) {
			d.t.Fatal("bury was given a cell that a reader needs, or twice")
		}
		delete(needed, c)
	})
	for c := range needed {
		if !d.j.unread(c) {
			d.t.Fatal("bury was not given a cell as its last reader passed")
		}
	}
}

func (d *diary) check() {
	oldest, at := ^uint64(0), 0
	for w := range d.j.readers {
		if w.next < oldest {
			oldest, at = w.next, 0
		}
		if w.next == oldest {
			at++
		}
	}
	if at > 0 && (d.j.oldest != oldest || d.j.atOldest != at) {
		d.t.Fatalf("%d readers at %d are the oldest, not %d at %d", at, oldest, d.j.atOldest, d.j.oldest)
	}

	for _, c := range d.cells {
		needed := false
		for _, cells := range d.unread {
			needed = needed || cells[c]
		}
		// The oldest reader may stand before a room's older entry. Then unread is
		// told of a room that all have read; never the other way round.
		if needed && !d.j.unread(c) {
			d.t.Fatal("unread does not know of a room that a reader has not read")
		}
	}
	if d.j.length != length(&d.j.entries) {
		d.t.Fatalf("%d entries, not %d", length(&d.j.entries), d.j.length)
	}
	if at == 0 && d.j.length > 0 {
		d.t.Fatalf("%d entries are kept for nobody", d.j.length)
	}
}

func TestJournalTellsEachReaderEachRoomOnce(t *testing.T) {
	for _, local := range []bool{false, true} {
		r := rand.New(rand.NewPCG(3, 4))
		d := newDiary(t, 20, local)
		for _, c := range d.cells[:10] {
			c.extra.Store(&extra{}) // with marks of its own for both parts
		}
		var readers []*Watcher
		for range 20_000 {
			switch i := r.IntN(40); {
			case i < 30:
				d.tell(d.cells[r.IntN(len(d.cells))], uint64(r.IntN(3)))
			case i < 37 && len(readers) > 0:
				d.read(readers[r.IntN(len(readers))], []int{1, 5, 1 << 20}[r.IntN(3)])
			case i < 38 && len(readers) > 0:
				k := r.IntN(len(readers))
				d.leave(readers[k])
				readers = slices.Delete(readers, k, k+1)
			case i == 39 && len(readers) < 5:
				readers = append(readers, d.join())
			}
			d.check()
		}
	}
}

// What a reader that never reads has before it is bounded by the rooms that changed.
func TestJournalIsBoundedByTheRooms(t *testing.T) {
	const rooms = 2 * blockLen
	d := newDiary(t, rooms, false)
	sleeper, reader := d.join(), d.join()
	for i := range 50 * rooms {
		d.tell(d.cells[i*7%rooms], 0)
		if i%1000 == 0 {
			d.read(reader, 1<<20)
		}
		if n := d.j.length; n > 2*rooms+1 {
			t.Fatalf("%d entries for %d rooms", n, rooms)
		}
		if i%(rooms/2) == 0 {
			d.check()
		}
	}
	d.read(sleeper, 1<<20)
	d.read(reader, 1<<20)
	require.True(t, d.j.entries.empty(), "all have read all")
	require.Len(t, d.j.entries.blocks, 1, "the memory is given back")
}

func TestJournalCostsNothingWithoutReaders(t *testing.T) {
	d := newDiary(t, 3, false)
	d.tell(d.cells[0], 0)
	require.Empty(t, d.j.entries.blocks)
	require.False(t, d.j.unread(d.cells[0]))

	w := d.join()
	require.False(t, d.j.unread(d.cells[0]), "told before the reader came")
	d.tell(d.cells[1], 0)
	d.tell(d.cells[1], 4)
	require.True(t, d.j.unread(d.cells[1]))
	d.leave(w)
	require.True(t, d.j.entries.empty())
	require.False(t, d.j.unread(d.cells[1]))

	// Numbers that are not in the journal are no reason to find less, or more.
	a, b := d.join(), d.join()
	d.tell(d.cells[2], 10)
	require.Len(t, d.j.from(a.next), 1)
	d.read(a, 1)
	require.Empty(t, d.j.from(d.seq+1))
	require.True(t, d.j.unread(d.cells[2]), "b has not read it")
	d.read(b, 1)
	require.False(t, d.j.unread(d.cells[2]))
}
