package occupancy

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

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
			heard = heard || reader.selected == nil && strings.HasPrefix(c.name, reader.prefix) && !slices.Contains(reader.backlog, c)
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
			require.Contains(t, reader.selected.rooms, c.name)
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
	w    *Watcher
	view map[string]Occupancy
}

// read reads all that Next would return without blocking.
func (r *reader) read() {
	for {
		batch, more, err := r.w.take(context.Background())
		if err != nil || len(batch) == 0 && !more {
			return
		}
		for _, ev := range batch {
			r.view[ev.Room] = ev.Occupancy
		}
	}
}

// concerns reports whether the watcher returns the room.
func (r *reader) concerns(room string) bool {
	if r.w.selected != nil {
		_, ok := r.w.selected.rooms[room]
		return ok
	}
	return strings.HasPrefix(room, r.w.prefix)
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
	link, err := e.Link(nil)
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
					mine = append(mine, &reader{w, map[string]Occupancy{}})
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
