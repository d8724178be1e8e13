package occupancy

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// boundaries returns the counts at which a field with this maximum borrows, carries or is
// nearly full.
func boundaries(most uint64) []uint64 {
	return []uint64{0, 1, 2, 1 << 15, most - 2, most - 1, most}
}

// words calls f with every combination of boundary counts and flags.
func words(f func(w uint64, n counts, flags uint64)) {
	for _, conns := range boundaries(maxLocal) {
		for _, mems := range boundaries(maxLocal) {
			for _, users := range boundaries(maxLocal) {
				for _, attached := range []uint64{0, queued, idle} {
					for _, flags := range []uint64{attached, attached | held, attached | tracked, attached | held | tracked} {
						f(conns*connection|mems*member|users*user|flags, counts{uint32(conns), uint32(mems), uint32(users)}, flags)
					}
				}
			}
		}
	}
}

func TestCounter_WordHoldsThreeCountsAndFourFlags(t *testing.T) {
	fields := []uint64{held, queued, tracked, userMask, memberMask, connectionMask, idle}
	sum, all := uint64(0), uint64(0)
	for _, f := range fields {
		sum, all = sum+f, all|f
	}
	require.Equal(t, uint64(math.MaxUint64), all, "the fields fill the word")
	require.Equal(t, all, sum, "and do not overlap")
	words(func(w uint64, n counts, flags uint64) {
		if countsOf(w) != n || w&^countMask != flags || withCounts(flags, n) != w || w == retired {
			t.Fatalf("%#x: %+v, flags %x; want %+v, %x", w, countsOf(w), w&^countMask, n, flags)
		}
	})
}

func TestCounter_PlusAndMinusChangeTheCounts(t *testing.T) {
	words(func(w uint64, n counts, flags uint64) {
		for _, d := range []counts{{1, 0, 0}, {0, 1, 0}, {0, 1, 1}, {1, 3, 2}, {}, {1, maxLocal, maxLocal}} {
			up, err := plus(w, d)
			if n.connections+d.connections > maxLocal || n.members+d.members > maxLocal {
				if err != ErrCount || up != w {
					t.Fatalf("%+v plus %+v: %+v, %v", n, d, countsOf(up), err)
				}
			} else if n.users+d.users <= n.members+d.members { // users never exceed members
				want := counts{n.connections + d.connections, n.members + d.members, n.users + d.users}
				if err != nil || countsOf(up) != want || up&^countMask != flags {
					t.Fatalf("%+v plus %+v: %+v, %v", n, d, countsOf(up), err)
				}
			}
			want := counts{
				n.connections - min(n.connections, d.connections), n.members - min(n.members, d.members), n.users - min(n.users, d.users),
			}
			if down := minus(w, d); countsOf(down) != want || down&^countMask != flags {
				t.Fatalf("%+v minus %+v: %+v", n, d, countsOf(down))
			}
		}
	})
}

func TestCounter_TryStepsAreExactOrRefuse(t *testing.T) {
	words(func(w uint64, n counts, flags uint64) {
		for _, s := range []struct {
			one, n   uint64
			what     counts
			up, down func(*counter) bool
		}{
			{connection, uint64(n.connections), counts{1, 0, 0}, (*counter).tryJoin, (*counter).tryLeave},
			{member, uint64(n.members), counts{0, 1, 0}, (*counter).tryEnter, (*counter).tryExit},
		} {
			// A step refuses to begin or end a room, to change an idle room, and to change the
			// members of a room whose users are counted.
			may := flags&idle == 0 && (s.one == connection || flags&tracked == 0)
			var c counter
			check := func(what string, step func(*counter) bool, want uint64) {
				c.word.Store(w)
				did := step(&c)
				allowed := may && w&occupiedMask != 0 && want&occupiedMask != 0 && want != w
				if did != allowed || !did && c.word.Load() != w || did && c.word.Load() != want {
					t.Fatalf("%s of %+v, flags %x: %v, %+v", what, n, flags, did, countsOf(c.word.Load()))
				}
			}
			up, _ := plus(w, s.what)
			if n.users <= n.members {
				check("up", s.up, up)
			}
			check("down", s.down, minus(w, s.what))
		}
	})
}

func TestCell_Sizes(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(cell{}), uintptr(48))
	require.LessOrEqual(t, unsafe.Sizeof(extra{}), uintptr(96))
}

func TestCounter_RetiredWordNeverChanges(t *testing.T) {
	e := New()
	defer e.Close()
	c := &cell{name: "r"}
	c.word.Store(retired)
	require.False(t, c.tryJoin())
	require.False(t, c.tryLeave())
	require.False(t, c.tryEnter())
	require.False(t, c.tryExit())
	require.Zero(t, c.local())
	e.pub.change(c, func(uint64) (uint64, error) { panic("step called") })
	require.Equal(t, retired, c.word.Load())

	// The name can be used again.
	e.rooms.cells.Store("r", c)
	require.Zero(t, e.Current("r"))
	require.ErrorIs(t, e.Leave("r"), ErrNotJoined)
	require.NoError(t, e.Join("r"))
	require.Equal(t, Occupancy{1, 0, 0}, e.Current("r"))
	require.Equal(t, retired, c.word.Load())
}

func TestCounter_SumIsCappedAtTheMaximum(t *testing.T) {
	all := func(f func(n counts)) {
		for _, conns := range boundaries(maxCount) {
			for _, mems := range boundaries(maxCount) {
				for _, users := range boundaries(maxCount) {
					f(counts{uint32(conns), uint32(mems), uint32(users)})
				}
			}
		}
	}
	all(func(a counts) {
		all(func(b counts) {
			sum := func(a, b uint32) uint64 { return uint64(a) + uint64(b) }
			exact := [3]uint64{sum(a.connections, b.connections), sum(a.members, b.members), sum(a.users, b.users)}
			want := counts{uint32(min(exact[0], maxCount)), uint32(min(exact[1], maxCount)), uint32(min(exact[2], maxCount))}
			total, fits := a.plus(b)
			if total != want || fits != (exact[0] <= maxCount && exact[1] <= maxCount && exact[2] <= maxCount) {
				t.Fatalf("%+v plus %+v: %+v, %v", a, b, total, fits)
			}
		})
	})
}

func TestCounter_CountsRefuseImpossibleOccupancy(t *testing.T) {
	e := New(WithUsers())
	defer e.Close()
	wrong := []Occupancy{{-1, 0, 0}, {0, -1, 0}, {0, 0, -1}, {math.MinInt, 0, 0}, {0, math.MinInt, 0}, {5, 1, 2}}
	if most := maxCount; most < math.MaxInt { // an int of 32 bits has no larger value
		wrong = append(wrong, Occupancy{most + 1, 0, 0}, Occupancy{0, most + 1, 0}, Occupancy{math.MaxInt, math.MaxInt, 0})
	}
	for _, o := range wrong {
		n, err := e.counts(o)
		require.ErrorIs(t, err, ErrCount)
		require.Zero(t, n)
	}
	for _, o := range []Occupancy{{}, {1, 2, 1}, {maxCount, maxCount, maxCount}} {
		n, err := e.counts(o)
		require.NoError(t, err)
		require.Equal(t, o, n.occupancy())
	}
}

func TestCounter_FullRoomRefusesHooksAndDoesNotChange(t *testing.T) {
	hooks := map[string]func(e *Engine) (join, leave, enter, exit func() error){
		"name": func(e *Engine) (_, _, _, _ func() error) {
			return func() error { return e.Join("r") }, func() error { return e.Leave("r") },
				func() error { return e.Enter("r", "c") }, func() error { return e.Exit("r", "c") }
		},
		"handle": func(e *Engine) (_, _, _, _ func() error) {
			r := e.Room("r")
			return r.Join, r.Leave, func() error { return r.Enter("c") }, func() error { return r.Exit("c") }
		},
	}
	for name, of := range hooks {
		for at, flags := range map[string]uint64{"detached": 0, "queued": queued, "idle": idle} {
			t.Run(name+"/"+at, func(t *testing.T) {
				e := New()
				defer e.Close()
				require.NoError(t, e.Join("r"))
				c, _ := e.rooms.cells.Load("r")
				fill := func(conns, mems uint64) {
					c.word.Store(conns*connection | mems*member | flags)
				}
				full := func(conns, mems uint64) { require.Equal(t, Occupancy{int(conns), int(mems), 0}, e.Current("r")) }
				join, leave, enter, exit := of(e)

				fill(maxLocal-1, 7)
				require.NoError(t, join())
				full(maxLocal, 7)
				for range 3 {
					require.ErrorIs(t, join(), ErrCount)
				}
				_, err := e.Connect("r")
				require.ErrorIs(t, err, ErrCount)
				full(maxLocal, 7)
				require.NoError(t, enter())
				require.NoError(t, exit())
				full(maxLocal, 7)
				require.NoError(t, leave())
				full(maxLocal-1, 7)

				fill(7, maxLocal-1)
				require.NoError(t, enter())
				full(7, maxLocal)
				for range 3 {
					require.ErrorIs(t, enter(), ErrCount)
				}
				full(7, maxLocal)
				conn, err := e.Connect("r")
				require.NoError(t, err)
				full(8, maxLocal)
				require.ErrorIs(t, conn.Enter("late"), ErrCount)
				require.ErrorIs(t, conn.Exit("late"), ErrNotEntered)
				require.NoError(t, conn.Close())
				full(7, maxLocal)
				require.NoError(t, exit())
				full(7, maxLocal-1)

				fill(0, maxLocal)
				require.ErrorIs(t, leave(), ErrNotJoined) // does not borrow from the other field
				full(0, maxLocal)
				fill(maxLocal, 0)
				require.ErrorIs(t, exit(), ErrNotEntered)
				full(maxLocal, 0)
			})
		}
	}
}

func TestCounter_StateOfWord(t *testing.T) {
	words(func(w uint64, n counts, flags uint64) {
		want := absent
		switch {
		case n.connections|n.members != 0:
			want = occupied
		case flags&held != 0:
			want = heldOnly
		}
		if stateOf(w) != want {
			t.Fatalf("%+v, flags %x: state %d, want %d", n, flags, stateOf(w), want)
		}
	})
}

func TestCounter_RefusedFullCountIsPartOfStats(t *testing.T) {
	e := New()
	defer e.Close()
	require.NoError(t, e.Join("connections"))
	require.NoError(t, e.Enter("members", "c"))
	e.rooms.live("connections").word.Add(connectionMask - connection)
	e.rooms.live("members").word.Add(memberMask - member)
	require.ErrorIs(t, e.Join("connections"), ErrCount)
	require.ErrorIs(t, e.Enter("members", "c"), ErrCount)
	require.Equal(t, Refused{Count: 2}, e.Stats().Refused)
}

// No step of a cell leaves both flags, also if the limit of rooms refuses it.
func TestPublisher_RoomIsNeverIdleAndQueued(t *testing.T) {
	join := func(w uint64) (uint64, error) { return plus(w, counts{connections: 1}) }
	for i, step := range []func(uint64) (uint64, error){join, enqueue, attach, setHeld, clearHeld} {
		for _, flag := range []uint64{0, idle, queued} {
			for _, w := range []uint64{0, held, connection, held | connection} {
				r := &rooms{limit: 1}
				r.states.Store(stateWeight[occupied])
				c := &cell{}
				c.word.Store(w | flag)
				_, _, _ = c.step(r, step)
				require.NotEqual(t, idle|queued, c.word.Load()&(idle|queued), "step %d from %#x", i, w|flag)
			}
		}
	}
}

// wantSettled requires that the engine comes to rest, and then checks the invariants of
// every cell. No other goroutine may use the engine meanwhile. watchers are the open ones.
func wantSettled(t *testing.T, e *Engine, watchers ...*Watcher) {
	t.Helper()
	require.Eventually(t, func() bool {
		noneQueued := settled(e) && e.lingering.first() > e.pub.now()+time.Minute
		e.rooms.cells.Range(func(c *cell) bool { // the goroutine may have taken it from a queue
			noneQueued = noneQueued && c.word.Load()&queued == 0
			return noneQueued
		})
		return noneQueued
	}, 10*time.Second, time.Millisecond, "a room is still queued, or a lease has not ended")
	wantLingering(t, e, e.lingering.len())
	inTable := map[*cell]counts{}
	eachClient(e, func(c roomClient, members uint32) {
		n := inTable[c.room]
		inTable[c.room] = counts{members: n.members + members, users: n.users + 1}
	})
	p := e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	var total, local Occupancy
	number := map[state]int64{}
	names := 0
	e.rooms.cells.Range(func(c *cell) bool {
		x, w := c.extra.Load(), c.word.Load()
		at := fmt.Sprintf("%.20q: word %#x, last published %+v, extra %+v", c.name, w, c.last, x)
		require.NotEqual(t, retired, w, "a retired cell is in the map: %s", at)
		number[stateOf(w)]++
		if n := countsOf(w); w&tracked != 0 {
			require.Equal(t, inTable[c], counts{members: n.members, users: n.users}, "the clients in the table: %s", at)
			delete(inTable, c)
		} else {
			require.Zero(t, n.users, at)
		}

		heard := x != nil && len(x.subs.list) > 0 || len(p.watchers.selected[c.name]) > 0
		for _, reader := range watchers {
			heard = heard || reader.all != nil && strings.HasPrefix(c.name, reader.all.prefix) && !slices.Contains(reader.all.backlog, c)
		}
		if heard {
			require.NotZero(t, w&idle, "a room with a listener is detached: %s", at)
		}
		if stateOf(w) == absent {
			require.Equal(t, idle, w&^tracked, "an emptied cell that no visit will drop: %s", at)
			require.True(t, p.watchers.mustKeep(c), "an emptied cell was not dropped: %s", at)
		}
		if w&idle != 0 {
			require.Equal(t, c.totalOf(w), c.lastTotal().value, "idle and not published: %s", at)
			require.Equal(t, c.localOf(w), c.last.word, "idle and not published: %s", at)
		}
		require.Equal(t, x != nil && x.holds(), w&held != 0, "held: %s", at)
		if x != nil {
			require.Zero(t, x.subs.passed, at)
			for i, s := range x.subs.list {
				require.Equal(t, i, s.sub.index, at)
				require.Equal(t, x.lastTotal.value, s.last, "not delivered: %s", at)
			}
		}
		for _, reader := range p.watchers.selected[c.name] {
			require.Contains(t, reader.rooms, c.name)
		}
		names++
		total, local = plusOccupancy(total, c.lastTotal().value.occupancy()), plusOccupancy(local, c.lastLocal().value.occupancy())
		return true
	})
	require.Empty(t, inTable, "clients of rooms that were dropped")
	require.Equal(t, names, e.rooms.cells.Size())
	require.Equal(t, number[occupied], e.rooms.number(occupied), "occupied rooms")
	require.Equal(t, number[heldOnly], e.rooms.number(heldOnly), "rooms that are only held")
	require.Equal(t, total, p.total.read(), "the sum of all published totals")
	require.Equal(t, local, p.local.read(), "the sum of all published local counts")
	for name, readers := range p.watchers.selected {
		require.NotEmpty(t, readers, name)
	}
}

func plusOccupancy(a, b Occupancy) Occupancy {
	return Occupancy{a.Connections + b.Connections, a.PresenceMembers + b.PresenceMembers, a.Users + b.Users}
}

// reader is a watcher and the newest value of each room that it returned.
type reader struct {
	w          *Watcher
	view       map[string]Occupancy
	interested map[string]bool // by room; only for the watchers of a link
}

func newReader(w *Watcher) *reader { return &reader{w, map[string]Occupancy{}, map[string]bool{}} }

// read reads all that Next would return without blocking.
func (r *reader) read() {
	for {
		batch, more, err := r.w.take(context.Background())
		if err != nil || len(batch) == 0 && !more {
			return
		}
		for _, ev := range batch {
			r.view[ev.Room] = ev.Occupancy
			if r.w.link != nil {
				r.interested[ev.Room] = r.w.link.Interested(ev.Room)
			}
		}
	}
}

// concerns reports whether the watcher returns the room.
func (r *reader) concerns(room string) bool {
	if r.w.selected != nil {
		_, ok := r.w.selected.rooms[room]
		return ok
	}
	return strings.HasPrefix(room, r.w.all.prefix)
}

// The test calls every operation concurrently. Afterwards the invariants must hold, and
// the engine must be empty once everything is removed.
func TestStress_InvariantsHold(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond} {
		for _, limit := range []int{0, 4} {
			// Without a watcher of all rooms, rooms are detached.
			for listeners, kinds := range map[string][]string{
				"no watchers":       nil,
				"selected rooms":    {"selected"},
				"all kinds of them": {"all", "local", "prefix", "selected"},
			} {
				for _, users := range []bool{false, true} {
					t.Run(fmt.Sprintf("interval %v, limit %d, users %v, %s", interval, limit, users, listeners), func(t *testing.T) {
						storm(t, interval, limit, users, kinds)
					})
				}
			}
		}
	}
}

func storm(t *testing.T, interval time.Duration, limit int, users bool, kinds []string) {
	const goroutines, rooms = 6, 8
	clients := []string{"a", "b", "c"}
	steps := 5_000
	if testing.Short() {
		steps = 1_000
	}
	opts := []Option{WithInterval(interval), WithMaxRooms(limit)}
	if users {
		opts = append(opts, WithUsers())
	}
	e := New(opts...)
	defer e.Close()
	link, err := e.Link(nil, WithInterest())
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var readers []*reader
	for g := range goroutines {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), uint64(interval)))
			name := func() string { return fmt.Sprint(r.IntN(2), "/", r.IntN(rooms/2)) }
			id := func() string { return clients[r.IntN(len(clients))] }
			options := func() (opts []ConnectOption) {
				for range r.IntN(3) {
					opts = append(opts, As(id()))
				}
				if r.IntN(3) == 0 {
					opts = append(opts, Max(r.IntN(5)))
				}
				return opts
			}
			linger := func() time.Duration {
				if r.IntN(20) == 0 {
					return time.Hour
				}
				return time.Duration(r.IntN(int(time.Millisecond)))
			}
			node := link.Remote("node")
			var leases []*Lease
			session := e.Session(id())
			var subs []*Subscription
			var mine []*reader
			drop := func(i int) {
				_ = mine[i].w.Close()
				mine = slices.Delete(mine, i, i+1)
			}
			for range steps {
				room := name()
				switch r.IntN(24) {
				case 0, 1, 2:
					_ = e.Join(room)
				case 3, 4, 5, 6:
					_ = e.Leave(room)
				case 7:
					_ = e.Enter(room, id())
				case 8, 9:
					_ = e.Exit(room, id())
				case 10:
					if l, err := e.Connect(room, options()...); err == nil {
						leases = append(leases, l)
					}
				case 11, 12:
					n := len(leases)
					if n == 0 {
						continue
					}
					switch l := leases[r.IntN(n)]; r.IntN(8) {
					case 0:
						_ = l.Exit(id())
					case 1:
						_ = l.Enter(id())
					case 2, 3:
						l.Linger(linger())
					case 4:
						_ = l.Close()
					default:
						_ = leases[n-1].Close()
						leases = leases[:n-1]
					}
				case 20:
					_ = session.Join(room, options()...)
				case 21:
					_ = session.Enter(room)
				case 22:
					if r.IntN(2) == 0 {
						_ = session.Exit(room)
					} else {
						_ = session.Leave(room)
					}
				case 23:
					if session.Linger(linger()); r.IntN(4) == 0 {
						_ = session.Close()
					}
					session = e.Session(id())
				case 13:
					if s, err := e.Subscribe(room); err == nil {
						subs = append(subs, s)
					}
				case 14, 15:
					if len(subs) > 0 {
						subs[0].Unsubscribe()
						subs = subs[1:]
					}
				case 16:
					_ = node.Set(Part{Room: room, Occupancy: Occupancy{r.IntN(3) / 2, 0, 0}})
				case 17:
					if len(kinds) == 0 {
						continue
					}
					if len(mine) == 3 {
						drop(r.IntN(3))
					}
					var w *Watcher
					var err error
					switch kinds[r.IntN(len(kinds))] {
					case "all":
						w, err = e.Watch()
					case "local":
						w, err = link.Watch()
					case "prefix":
						w, err = e.Watch(WithPrefix("1"))
					case "selected":
						w, err = e.Watch(Rooms(room, name()))
					}
					if err != nil {
						t.Error(err)
						return
					}
					mine = append(mine, newReader(w))
				case 18:
					for _, m := range mine {
						if m.w.selected != nil {
							_ = m.w.Add(room)
							m.w.Remove(name())
						}
						if r.IntN(2) == 0 {
							m.read()
						}
						m.w.CaughtUp()
					}
				case 19:
					if r.IntN(100) == 0 {
						e.Stats()
					} else if r.IntN(20) == 0 {
						for len(mine) > 0 {
							drop(0)
						}
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			readers = append(readers, mine...)
			for _, s := range subs[:len(subs)/2] {
				s.Unsubscribe()
			}
		})
	}
	wg.Wait()
	var watchers []*Watcher
	for _, r := range readers {
		watchers = append(watchers, r.w)
	}
	wantSettled(t, e, watchers...)
	e.pub.mu.Lock()
	e.sched.totalsUpdatedAt -= maxLag
	e.pub.mu.Unlock()
	stats, want := e.Stats(), Occupancy{}
	for _, o := range e.All() {
		want = plusOccupancy(want, o)
	}
	require.Equal(t, want, stats.Total)

	for _, r := range readers {
		r.read()
		want := map[string]Occupancy{}
		e.rooms.cells.Range(func(c *cell) bool {
			o := e.Current(c.name)
			if r.w.link != nil {
				o = e.Local(c.name)
			}
			if r.concerns(c.name) && o != (Occupancy{}) {
				want[c.name] = o
			}
			return true
		})
		maps.DeleteFunc(r.view, func(name string, o Occupancy) bool { return o == Occupancy{} || !r.concerns(name) })
		require.Equal(t, want, r.view, "what the watcher returned, %+v", r.w)
		for i := range rooms {
			if name := fmt.Sprint(i%2, "/", i/2); r.w.link != nil {
				require.Equal(t, link.Interested(name), r.interested[name], "the interest in %s", name)
			}
		}
	}
	wantSettled(t, e, watchers...)

	// Remove everything.
	require.NoError(t, link.Close())
	for len(e.lingering.heap) > 0 { // no goroutine changes it now
		_ = e.lingering.heap[0].lease.Close()
	}
	e.rooms.cells.Range(func(c *cell) bool {
		for e.Leave(c.name) == nil {
		}
		for _, id := range clients {
			for e.Exit(c.name, id) == nil {
			}
		}
		e.pub.mu.Lock()
		var subs []*Subscription
		if x := c.extra.Load(); x != nil {
			for _, s := range x.subs.list {
				subs = append(subs, s.sub)
			}
		}
		e.pub.mu.Unlock()
		for _, s := range subs {
			s.Unsubscribe()
		}
		return true
	})
	wantSettled(t, e, watchers...)
	for _, w := range watchers {
		_ = w.Close()
	}
	wantSettled(t, e)
	wantNothingKept(t, e)
	require.Empty(t, e.pub.watchers.selected)
	require.Empty(t, e.pub.watchers.sleepers)
	wantLingering(t, e, 0)
}
