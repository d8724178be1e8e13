package occupancy

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func watch(t *testing.T, e *Engine, opts ...WatchOption) *Watcher {
	t.Helper()
	w, err := e.Watch(opts...)
	require.NoError(t, err)
	return w
}

// drain calls Next until it would block.
func drain(t *testing.T, w *Watcher) (events []RoomEvent) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		batch, err := w.Next(ctx)
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return events
		}
		events = append(events, batch...)
	}
}

// A watcher that waits is woken once for the changes that it has to return, and never for
// others.
func TestWatcher_IsWokenOnlyByRoomsThatItReturns(t *testing.T) {
	for name, open := range map[string]func(*Engine, *Link) (*Watcher, error){
		"prefix":   func(e *Engine, _ *Link) (*Watcher, error) { return e.Watch(WithPrefix("own")) },
		"selected": func(e *Engine, _ *Link) (*Watcher, error) { return e.Watch(Rooms("own", "own too")) },
		"local":    func(_ *Engine, l *Link) (*Watcher, error) { return l.Watch() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := New()
				defer e.Close()
				link, err := e.Link(nil)
				require.NoError(t, err)
				node := link.Remote("node")
				all := watch(t, e)
				w, err := open(e, link)
				require.NoError(t, err)
				woken := func(want int, when string) {
					t.Helper()
					time.Sleep(time.Second)
					require.Len(t, w.wake, want, when)
				}
				waits := func() bool {
					e.pub.mu.Lock()
					defer e.pub.mu.Unlock()
					return slices.Contains(e.pub.watchers.sleepers, w)
				}
				changes := 0
				other := func() {
					t.Helper()
					drain(t, all) // so that it waits, too
					changes++
					if name != "local" {
						require.NoError(t, e.Join("other"))
					}
					require.NoError(t, node.Set(Part{Room: "other", Occupancy: Occupancy{Connections: changes}}))
				}
				drain(t, w) // from here on it waits
				require.True(t, waits())
				other()
				woken(0, "another room")
				require.NoError(t, e.Join("own"))
				require.NoError(t, e.Join("own too"))
				woken(1, "two rooms of its own")
				require.False(t, waits())
				require.NoError(t, e.Join("own"))
				woken(1, "it is awake")
				require.Len(t, drain(t, w), 2)
				woken(0, "nothing is left to read")
				other()
				woken(0, "another room, later")
				require.NoError(t, e.Leave("own"))
				woken(1, "a room of its own, later")
			})
		})
	}
}

// A hook may have created the cell of a room that has no version yet.
func TestWatcher_VersionOfSelectedRoomNeverDecreases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		w := watch(t, e, Rooms("room"))
		last := uint64(0)
		read := func(want Occupancy) {
			t.Helper()
			events := drain(t, w)
			require.Len(t, events, 1)
			require.Equal(t, RoomEvent{"room", Event{EventUpdated, want, events[0].Version}}, events[0])
			require.GreaterOrEqual(t, events[0].Version, last)
			last = events[0].Version
		}
		settle := func() { time.Sleep(time.Second) }
		read(Occupancy{})
		for range 3 {
			require.NoError(t, e.Join("room"))
			settle()
			read(Occupancy{1, 0, 0})
			require.NoError(t, e.Leave("room"))
			settle()
			require.Nil(t, e.rooms.live("room"))
			read(Occupancy{})

			_, err := e.rooms.obtain("room")
			require.NoError(t, err)
			require.NoError(t, w.Add("room"))
			read(Occupancy{})

			// A subscription that ends before anything is published.
			require.NoError(t, e.Join("room"))
			require.NoError(t, e.Join("other"))
			settle()
			read(Occupancy{1, 0, 0})
			unused := subscribe(t, e, "room")
			require.NoError(t, w.Add("room"))
			read(Occupancy{1, 0, 0})
			unused.Unsubscribe()
			require.NoError(t, w.Add("room"))
			read(Occupancy{1, 0, 0})
			require.NoError(t, e.Leave("room"))
			settle()
			read(Occupancy{})

			s := subscribe(t, e, "room")
			require.NoError(t, e.Join("another")) // the number of publications grows
			settle()
			require.NoError(t, w.Add("room"))
			read(Occupancy{})
			require.NoError(t, e.Join("room"))
			settle()
			read(Occupancy{1, 0, 0})
			s.Unsubscribe()
			for range 2 { // with and without the state of a subscription
				require.NoError(t, w.Add("room"))
				read(Occupancy{1, 0, 0})
				s = subscribe(t, e, "room")
				require.NoError(t, w.Add("room"))
				read(Occupancy{1, 0, 0})
				s.Unsubscribe()
				require.NoError(t, e.Join("another"))
				settle()
			}
			require.NoError(t, e.Leave("room"))
			settle()
			read(Occupancy{})
		}
	})
}

// The rooms that Add publishes early are returned by the other watchers at once, too.
func TestWatcher_AddPublishesToOtherWatchersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithInterval(time.Hour))
		defer e.Close()
		all := watch(t, e)
		defer all.Close()
		require.NoError(t, e.Join("room"))
		synctest.Wait()
		require.Len(t, drain(t, all), 1)
		require.NoError(t, e.Join("room")) // until the end of the interval
		synctest.Wait()
		require.Empty(t, drain(t, all))

		began := time.Now()
		got := make(chan []RoomEvent)
		go func() {
			events, _ := all.Next(context.Background())
			got <- events
		}()
		synctest.Wait()
		w := watch(t, e, Rooms("room"))
		defer w.Close()
		require.Equal(t, Occupancy{2, 0, 0}, (<-got)[0].Occupancy)
		require.Zero(t, time.Since(began))
	})
}

func TestWatcher_OfSelectedRoomsCreatesNoCell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New()
		defer e.Close()
		w := watch(t, e, Rooms("a", "b"))
		require.NoError(t, w.Add("c"))
		require.Len(t, drain(t, w), 3)
		require.NoError(t, e.Join("a"))
		require.NoError(t, e.Leave("a"))
		time.Sleep(time.Second)
		w.Remove("b")
		wantNothingKept(t, e)
		require.NoError(t, w.Close())
		require.Empty(t, e.pub.watchers.selected)
	})
}

// journalModel is a journal and, as a model of it, what each reader knows of each room.
type journalModel struct {
	t      *testing.T
	j      journal
	local  bool
	seq    uint64
	cells  []*cell
	unread map[*journalReader]map[*cell]bool
	known  map[*journalReader]map[*cell]bool // the rooms that the reader knows as not empty
}

func newJournalModel(t *testing.T, rooms int, local bool) *journalModel {
	d := &journalModel{t: t, unread: map[*journalReader]map[*cell]bool{}, known: map[*journalReader]map[*cell]bool{}}
	d.j = newJournal((*cell).lastTotal)
	if d.local = local; local {
		d.j = newJournal((*cell).lastLocal)
	}
	for range rooms {
		d.cells = append(d.cells, &cell{})
	}
	return d
}

// publish sets the last publication of a cell as the publisher does. gap is how many sequence numbers the other
// journal has used meanwhile.
func (d *journalModel) publish(c *cell, value, gap uint64) {
	d.seq += 1 + gap
	before := d.j.last(c)
	if x := c.extra.Load(); x != nil && !d.local {
		x.lastTotal = publication{counts{connections: uint32(value)}, d.seq}
	} else {
		c.last = localPublication{value * connection, d.seq}
	}
	d.j.add(c, before, d.j.last(c))
	for _, cells := range d.unread {
		cells[c] = true
	}
}

func (d *journalModel) join() *journalReader {
	w := &journalReader{next: d.seq + 1}
	d.j.addReader(w)
	d.unread[w], d.known[w] = map[*cell]bool{}, map[*cell]bool{}
	for _, c := range d.cells {
		d.known[w][c] = d.j.last(c).value != counts{} // from its backlog
	}
	return w
}

// read does what Next does, with at most so many entries.
func (d *journalModel) read(w *journalReader, most int) {
	next := w.next
	all := false
	for !all && most > 0 {
		unread := d.j.from(next)
		all = len(unread) == 0
		unread = unread[:min(most, len(unread))]
		most -= len(unread)
		for _, e := range unread {
			next = e.seq + 1
			if !d.j.outdated(e) {
				if !d.unread[w][e.c] {
					d.t.Fatal("the reader has read this room already")
				}
				delete(d.unread[w], e.c)
				d.known[w][e.c] = d.j.last(e.c).value != counts{}
			}
		}
	}
	if n := len(d.unread[w]); all && n > 0 {
		d.t.Fatalf("%d changed rooms are not listed", n)
	}
	if next != w.next {
		d.j.advance(w, next)
	}
}

func (d *journalModel) leave(w *journalReader) {
	delete(d.unread, w)
	delete(d.known, w)
	d.j.removeReader(w)
	d.j.trim()
}

func (d *journalModel) check() {
	oldest := ^uint64(0)
	for w := range d.unread {
		oldest = min(oldest, w.next)
		if !slices.Contains(d.j.readers, w) {
			d.t.Fatal("the journal does not have a reader")
		}
	}
	if len(d.unread) != len(d.j.readers) || d.j.oldest != oldest {
		d.t.Fatalf("%d readers, the oldest at %d; the journal has %d, the oldest at %d", len(d.unread), oldest, len(d.j.readers), d.j.oldest)
	}

	for _, c := range d.cells {
		knows, unread := false, false
		for w, cells := range d.unread {
			knows = knows || cells[c] && d.known[w][c]
			unread = unread || cells[c]
		}
		switch keep := d.j.mustKeep(c); {
		case knows && !keep:
			d.t.Fatal("mustKeep omits a room that a reader knows and has not read")
		case keep && !unread:
			d.t.Fatal("mustKeep has a room that all readers have read")
		}
	}
	if front := d.j.entries.front(); len(front) > 0 && front[0].seq < d.j.oldest {
		d.t.Fatal("an entry that all readers have read is kept")
	}
	if d.j.length != length(&d.j.entries) {
		d.t.Fatalf("%d entries, not %d", length(&d.j.entries), d.j.length)
	}
	if len(d.unread) == 0 && d.j.length > 0 {
		d.t.Fatalf("%d entries are kept without a reader", d.j.length)
	}
}

func TestJournal_EachReaderReadsEachChangedRoomOnce(t *testing.T) {
	for _, local := range []bool{false, true} {
		r := rand.New(rand.NewPCG(3, 4))
		d := newJournalModel(t, 20, local)
		for _, c := range d.cells[:10] {
			c.extra.Store(&extra{}) // with a separate publication of the total
		}
		var readers []*journalReader
		for range 20_000 {
			switch i := r.IntN(40); {
			case i < 30:
				d.publish(d.cells[r.IntN(len(d.cells))], uint64(r.IntN(2)), uint64(r.IntN(3)))
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

func TestJournal_LengthIsBoundedByTheRoomsThatChanged(t *testing.T) {
	const rooms = 2 * blockLen
	d := newJournalModel(t, rooms, false)
	stalled, reader := d.join(), d.join()
	for i := range 50 * rooms {
		d.publish(d.cells[i*7%rooms], 1, 0)
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
	d.read(stalled, 1<<20)
	d.read(reader, 1<<20)
	require.True(t, d.j.entries.empty(), "every reader has read all")
	require.Len(t, d.j.entries.blocks, 1, "the memory is released")

	d.join()
	for range 2 * rooms { // as many entries as the full journal had
		d.publish(d.cells[0], 1, 0)
		require.LessOrEqual(t, d.j.length, 2*blockLen, "after all was read")
	}
}

// A room must be kept for a reader that knows it, and for no other.
func TestJournal_KeepsEmptiedRoomForReadersThatKnowIt(t *testing.T) {
	d := newJournalModel(t, 3, false)
	keeps := func() (kept []int) {
		for i, c := range d.cells {
			if d.j.mustKeep(c) {
				kept = append(kept, i)
			}
		}
		return kept
	}
	d.publish(d.cells[0], 1, 0)
	require.Empty(t, d.j.entries.blocks, "without a reader")
	stalled := d.join()
	reader := d.join()
	d.publish(d.cells[1], 1, 5)
	d.read(reader, 1)
	for i := range d.cells {
		d.publish(d.cells[i], 2, 0)
		d.publish(d.cells[i], 0, 0)
	}
	require.Equal(t, []int{0, 1}, keeps(), "0 for both, 1 for the reader")
	d.read(reader, 100)
	require.Equal(t, []int{0}, keeps(), "for the stalled reader")
	d.publish(d.cells[1], 1, 0)
	d.read(reader, 100)
	d.publish(d.cells[1], 0, 0)
	require.Equal(t, []int{0, 1}, keeps())
	d.leave(reader)
	require.Equal(t, []int{0}, keeps())
	d.leave(stalled)
	require.Empty(t, keeps())
	require.True(t, d.j.entries.empty())
}

// A watcher of a link that has read only outdated entries of the journal does not return the value of
// a later entry: if the room ended before it read that entry, it would not return the end.
func TestWatcher_ReturnsEndOfRoomWhoseUsersChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, link := newLinkedWithUsers(t)
		defer e.Close()
		w, err := link.Watch()
		require.NoError(t, err)
		e.pub.mu.Lock()
		w.all.j.compactAt = 10 * maxScan
		e.pub.mu.Unlock()
		for range maxScan + 1 {
			require.NoError(t, e.Join("busy"))
			e.pub.mu.Lock()
			e.pub.refresh(e.rooms.live("busy"))
			e.pub.mu.Unlock()
		}
		lease, err := e.Connect("room", As("alice"))
		require.NoError(t, err)
		synctest.Wait() // the room is published, so its interval begins
		require.NoError(t, lease.Exit("alice"))
		require.NoError(t, lease.Enter("bob"))
		time.Sleep(time.Second)
		view := map[string]Occupancy{}
		batch, err := w.Next(t.Context())
		require.NoError(t, err)
		require.NoError(t, lease.Close())
		time.Sleep(time.Second)
		for _, ev := range append(batch, drain(t, w)...) {
			view[ev.Room] = ev.Occupancy
		}
		require.Equal(t, Occupancy{}, view["room"])
	})
}
