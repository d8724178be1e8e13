package occupancy

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// Members of few clients come and go concurrently, by every method. Users must be exact
// whenever all callers have returned.
func TestUsers_ConcurrentEntersAndExits(t *testing.T) {
	const callers, rounds, calls = 8, 40, 60
	e := New(WithUsers())
	defer e.Close()
	ids := []string{"ann", "bob", "eve"}
	rooms := []string{"a", "b"}
	for range rounds {
		var mu sync.Mutex
		var leases []*Lease
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), rand.Uint64()))
				mine := map[*Lease]bool{}
				for range calls {
					room, id := rooms[r.IntN(2)], ids[r.IntN(3)]
					switch r.IntN(6) {
					case 0, 1:
						_ = e.Enter(room, id)
					case 2:
						_ = e.Exit(room, id)
					case 3:
						l, err := e.Connect(room, As(id), As(ids[r.IntN(3)]))
						if err != nil {
							panic(err)
						}
						mine[l] = true
					default:
						for l := range mine {
							_ = l.Close()
							delete(mine, l)
							break
						}
					}
				}
				mu.Lock()
				defer mu.Unlock()
				leases = slices.AppendSeq(leases, maps.Keys(mine))
			})
		}
		wg.Wait()
		for _, room := range rooms {
			o := e.Current(room)
			users, sum := tableOf(e, room)
			require.Equal(t, Occupancy{o.Connections, sum, users}, o)
		}
		for _, l := range leases {
			require.NoError(t, l.Close())
		}
		for _, room := range rooms {
			for _, id := range ids {
				for e.Exit(room, id) == nil {
				}
			}
			require.Zero(t, e.Current(room))
		}
		require.Zero(t, tableSize(e))
	}
}

// The engine keeps copies of the IDs, which may be slices of large messages.
func TestUsers_TableOwnsItsIDs(t *testing.T) {
	e := New(WithUsers())
	defer e.Close()
	id := func() string { return (strings.Repeat("x", 1000) + "ann")[1000:] }
	given := []string{id(), id(), id(), id()}
	owned := func() {
		t.Helper()
		eachClient(e, func(c roomClient, _ uint32) {
			for _, g := range given {
				require.NotSame(t, unsafe.StringData(g), unsafe.StringData(c.id))
			}
		})
	}
	require.NoError(t, e.Enter("room", given[0]))
	owned()
	require.NoError(t, e.Enter("room", given[1]))
	owned()
	l, err := e.Connect("room", As(given[2]))
	require.NoError(t, err)
	owned()
	require.NoError(t, e.Exit("room", given[3]))
	owned()
	require.NoError(t, l.Close())
	owned()
}

func TestUsers_MemoryOfManyClientsIsReleased(t *testing.T) {
	e := New(WithUsers())
	defer e.Close()
	const n = 100_000
	empty := heapSize()
	for i := range n {
		require.NoError(t, e.Enter("room", fmt.Sprint(i)))
	}
	full := heapSize()
	for i := range n {
		require.NoError(t, e.Exit("room", fmt.Sprint(i)))
		if i%(n/20) == 0 {
			for j := range e.pub.users.shards {
				s := &e.pub.users.shards[j]
				require.GreaterOrEqual(t, s.most, len(s.members))
			}
		}
	}
	require.Less(t, heapSize()-empty, (full-empty)/10)
	for i := range n { // churn
		id := fmt.Sprint(n + i)
		require.NoError(t, e.Enter("room", id))
		require.NoError(t, e.Exit("room", id))
	}
	require.Less(t, heapSize()-empty, (full-empty)/10)
	runtime.KeepAlive(e)
}

func TestUsers_ClosedEngineKeepsNoClients(t *testing.T) {
	e := New(WithUsers())
	require.NoError(t, e.Enter("room", "ann"))
	require.NoError(t, e.Close())
	require.Equal(t, Occupancy{0, 1, 1}, e.Current("room"))
	require.Zero(t, tableSize(e))
	require.ErrorIs(t, e.Enter("room", ""), ErrClosed)
	_, err := e.Connect("room", As(""))
	require.ErrorIs(t, err, ErrClosed)
}

// A Connect that is refused costs nothing, and leaves nothing behind of a room that does not exist.
func TestConnect_RefusedCostsNothing(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		_, err := e.Connect("room", As("ann"), Max(0))
		require.ErrorIs(t, err, ErrRoomFull)
		require.Zero(t, e.Stats().Rooms)
		time.Sleep(time.Second)
		require.Nil(t, e.rooms.live("room"))

		connect(t, e, "room")
		time.Sleep(time.Second)
		rounds := e.Stats().Rounds
		for range 10 {
			_, err := e.Connect("room", Max(1))
			require.ErrorIs(t, err, ErrRoomFull)
			synctest.Wait()
		}
		require.Equal(t, rounds, e.Stats().Rounds, "nothing changed, so no room is visited")
	})
}

func eachClient(e *Engine, f func(c roomClient, members uint32)) {
	if e.pub.users == nil {
		return
	}
	for i := range e.pub.users.shards {
		s := &e.pub.users.shards[i]
		func() {
			s.mu.Lock()
			defer s.mu.Unlock() // also if f fails the test
			for c, members := range s.members {
				f(c, members)
			}
		}()
	}
}

func tableSize(e *Engine) (n int) {
	eachClient(e, func(roomClient, uint32) { n++ })
	return n
}

// tableOf returns how many users and members of the room the table has.
func tableOf(e *Engine, room string) (users, members int) {
	eachClient(e, func(c roomClient, n uint32) {
		if c.room.name == room {
			users++
			members += int(n)
		}
	})
	return users, members
}

// A part that fits into a word of this process is stored in less memory.
func TestRemote_PartsOfAnySize(t *testing.T) {
	e := New(WithUsers())
	defer e.Close()
	link, err := e.Link(nil)
	require.NoError(t, err)
	remote := link.Remote("node")
	const large = maxLocal + 1
	for _, o := range []Occupancy{
		{maxLocal, maxLocal, maxLocal}, {large, 0, 0}, {0, 1, 1}, {0, large, 0}, {1, large, large}, {},
		{maxCount, maxCount, maxCount}, {1, 0, 0}, {large, 2, 1}, {},
	} {
		require.NoError(t, remote.Set(Part{Room: "room", Occupancy: o}))
		require.Equal(t, o, remote.Get("room").Occupancy)
		require.Equal(t, o, e.Current("room"))
		parts := slices.Collect(remote.All())
		if o == (Occupancy{}) {
			require.Empty(t, parts)
			require.Empty(t, remote.parts)
		} else {
			require.Equal(t, []Part{{Room: "room", Occupancy: o}}, parts)
		}
		require.LessOrEqual(t, len(remote.large), 1)
	}
	require.Empty(t, remote.large)
}

// testHash is a hash of client IDs. It is not keyed.
func testHash(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	x := h.Sum64() * 0x9e3779b97f4a7c15
	return x ^ x>>29
}

// hashes returns the sorted hashes of the clients.
func hashes(ids ...string) (all []uint64) {
	for _, id := range ids {
		all = append(all, testHash(id))
	}
	slices.Sort(all)
	return all
}

func newLinkedWithUsers(t testing.TB, opts ...Option) (*Engine, *Link) {
	e := New(append(opts, WithUsers())...)
	t.Cleanup(func() { _ = e.Close() })
	l, err := e.Link(nil, WithUserHash(testHash))
	require.NoError(t, err)
	return e, l
}

// A hook that exits a user who is also on another node changes the word first. At this moment the
// word counts the user without a member.
func TestUnion_LocalNeverHasMoreUsersThanMembers(t *testing.T) {
	e, l := newLinkedWithUsers(t)
	_, err := e.Connect("room", As("ann"))
	require.NoError(t, err)
	require.NoError(t, l.Remote("two").Set(Part{"room", Occupancy{1, 1, 1}, hashes("ann")}))
	c := e.rooms.live("room")
	exited := c.word.Load() - member
	require.Equal(t, counts{connections: 1}, countsOf(c.localOf(exited)))
}

// The counts are the same after one user was replaced by another, but the watcher of the link has an event.
func TestUnion_ReplacedUserHasAnEventForOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := newLinkedWithUsers(t)
		w, err := l.Watch()
		require.NoError(t, err)
		all, err := e.Watch()
		require.NoError(t, err)
		next := func(w *Watcher) []RoomEvent {
			time.Sleep(time.Second)
			w.p.mu.Lock()
			defer w.p.mu.Unlock()
			events, _ := w.all.take()
			return events
		}
		require.NoError(t, e.Enter("room", "ann"))
		require.Len(t, next(w), 1)
		require.Len(t, next(all), 1)
		in, out := l.UserChanges("room")
		require.Equal(t, hashes("ann"), in)
		require.Empty(t, out)
		require.NoError(t, e.Enter("room", "bob"))
		require.Len(t, next(w), 1) // and the room waits for its interval
		require.Len(t, next(all), 1)
		l.UserChanges("room")
		require.NoError(t, e.Enter("room", "eve"))
		require.NoError(t, e.Exit("room", "bob"))
		events := next(w)
		require.Len(t, events, 1)
		require.Equal(t, Occupancy{0, 2, 2}, events[0].Occupancy)
		in, out = l.UserChanges("room")
		require.Equal(t, [][]uint64{hashes("eve"), hashes("bob")}, [][]uint64{in, out})
		require.Empty(t, next(w))
		require.NoError(t, e.Enter("room", "bob"))
		require.NoError(t, e.Exit("room", "bob"))
		require.Empty(t, next(w))
		require.NoError(t, e.Exit("room", "ann"))
		require.NoError(t, e.Exit("room", "eve"))
		require.Len(t, next(w), 1)
		in, out = l.UserChanges("room")
		require.Empty(t, in)
		require.Equal(t, hashes("ann", "eve"), out)
		require.Empty(t, e.pub.index.changes.rooms)
	})
}

// The number of users of a single node is known, even if it publishes few of them. Only the number
// of users in common with this process is estimated.
func TestUnion_EstimateOfOneNodeIsExactWithoutCommonUsers(t *testing.T) {
	e, l := newLinkedWithUsers(t)
	p, node := e.pub, l.Remote("others")
	set := func(from int) {
		var all []uint64
		for i := from; i < from+10_000; i++ {
			all = append(all, testHash(fmt.Sprint("client", i)))
		}
		slices.Sort(all)
		require.NoError(t, node.Set(Part{"room", Occupancy{10_000, 10_000, 10_000}, all[:256]}))
		c, _ := p.rooms.cells.Load("room")
		p.mu.Lock()
		defer p.mu.Unlock()
		p.estimateUsers(c, c.extra.Load())
	}
	for i := range 300 {
		require.NoError(t, e.Enter("room", fmt.Sprint("client", i)))
	}
	set(1000)
	require.Equal(t, 10_300, e.Current("room").Users)
	set(0)
	require.InDelta(t, 10_000, e.Current("room").Users, 400)
}

// The standard error of estimates is at most 1/√4096, and they have no bias.
func TestUnion_StandardErrorOfEstimates(t *testing.T) {
	_, l := newLinkedWithUsers(t)
	p := l.e.pub
	one, two := l.Remote("one"), l.Remote("two")
	r := rand.New(rand.NewPCG(1, 1))
	const trials, union = 100, 35_000
	sum, squares := 0.0, 0.0
	for range trials {
		users := make([]uint64, union)
		for i := range users {
			users[i] = r.Uint64()
		}
		for node, part := range map[*Remote][]uint64{one: slices.Clone(users[:20_000]), two: slices.Clone(users[10_000:])} {
			slices.Sort(part)
			n := len(part)
			require.NoError(t, node.Set(Part{"room", Occupancy{n, n, n}, part[:4096]}))
		}
		c, _ := p.rooms.cells.Load("room")
		p.mu.Lock()
		p.estimateUsers(c, c.extra.Load())
		p.mu.Unlock()
		e := float64(l.e.Current("room").Users)/union - 1
		sum, squares = sum+e, squares+e*e
	}
	require.InDelta(t, 0, sum/trials, 3*0.016/math.Sqrt(trials))
	require.Less(t, math.Sqrt(squares/trials), 1.0/64)
}

// Hooks enter and exit users while another node's report that removes these users is applied.
func TestUnion_HooksDuringReport(t *testing.T) {
	numbers := map[string]uint64{"ann": 1, "bob": 2, "new": 3, "last": 4}
	e := New(WithUsers())
	defer e.Close()
	l, err := e.Link(nil, WithUserHash(func(id string) uint64 { return numbers[id] }))
	require.NoError(t, err)
	node := l.Remote("node")
	report := func(users ...uint64) {
		require.NoError(t, node.Set(Part{"room", Occupancy{9, 9, len(users)}, users}))
	}
	report(1, 2, 4)
	require.NoError(t, e.Enter("room", "ann"))
	shard := func(id string) *indexShard { return l.index.shard(numbers[id]) }
	shard("last").mu.Lock() // the report waits when it has applied the others
	done := make(chan struct{})
	go func() {
		defer close(done)
		report(3)
	}()
	require.Eventually(t, func() bool {
		s := shard("new")
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.users) > 0
	}, time.Minute, time.Millisecond)
	require.NoError(t, e.Enter("room", "bob"))
	during := e.Current("room").Users
	require.NoError(t, e.Exit("room", "bob"))
	require.NoError(t, e.Exit("room", "ann"))
	shard("last").mu.Unlock()
	<-done
	require.Equal(t, 3, during) // as before the report
	require.Equal(t, Occupancy{9, 9, 1}, e.Current("room"))
	require.Equal(t, Occupancy{}, e.Local("room"))
}

// A hook does not estimate users, even if it could publish the room, because that takes long.
func TestUnion_HookDoesNotEstimate(t *testing.T) {
	e, l := newLinkedWithUsers(t, WithInterval(0))
	_, err := e.Subscribe("room")
	require.NoError(t, err)
	require.NoError(t, l.Remote("node").Set(Part{"room", Occupancy{9, 9, 9}, hashes("ann", "bob")}))
	c, _ := e.rooms.cells.Load("room")
	require.False(t, e.sched.tryPublish(c, false))
}

// Set does not estimate the users of its rooms, because it locks the publisher for all of them. A
// visit of the room does, and the publisher unlocks after each.
func TestUnion_SetDoesNotEstimate(t *testing.T) {
	e, l := newLinkedWithUsers(t)
	node, other, p := l.Remote("node"), l.Remote("other"), e.pub
	p.mu.Lock()
	defer p.mu.Unlock()
	require.NoError(t, other.set(Part{"room", Occupancy{1, 1, 1}, hashes("carl")}))
	require.NoError(t, node.set(Part{"room", Occupancy{9, 9, 9}, hashes("ann", "bob")}))
	require.Equal(t, 9, e.Current("room").Users)
	c, _ := p.rooms.cells.Load("room")
	require.GreaterOrEqual(t, p.visit(c, p.now(), 0, false), quantum)
	require.NotEqual(t, 9, e.Current("room").Users)
	require.NoError(t, other.set(Part{Room: "room"}))
	require.NoError(t, node.set(Part{"room", Occupancy{9, 9, 2}, hashes("ann", "bob")}))
	require.Equal(t, 2, e.Current("room").Users)
	require.Zero(t, c.extra.Load().sampled) // visits do not estimate any more
	require.NoError(t, node.set(Part{"room", Occupancy{9, 0, 0}, hashes("ann", "bob")}))
	require.Empty(t, node.users) // without members
}

// All calls that change users run at the same time, also with a hash that has few values, and with
// reports that cannot be true. Whenever the calls have returned, the counts are exact. In the end
// nothing is left.
func TestUnion_Storm(t *testing.T) {
	few := func(id string) uint64 { return testHash(id) % 3 }
	e := New(WithUsers(), WithInterval(0))
	defer e.Close()
	rooms := []string{"a", "b"}
	var subs []*Subscription
	for _, room := range rooms {
		s, err := e.Subscribe(room)
		require.NoError(t, err)
		subs = append(subs, s)
	}
	all, err := e.Watch()
	require.NoError(t, err)
	var wg sync.WaitGroup
	check := func(o Occupancy) {
		if o.Users < 0 || o.Users > o.PresenceMembers {
			t.Errorf("impossible: %+v", o)
		}
	}
	var last [2]Occupancy
	for i, s := range subs {
		wg.Go(func() {
			for ev := range s.Events() {
				check(ev.Occupancy)
				last[i] = ev.Occupancy
			}
		})
	}
	wg.Go(func() {
		for {
			events, err := all.Next(t.Context())
			if err != nil {
				return
			}
			for _, ev := range events {
				check(ev.Occupancy)
			}
		}
	})
	for round := range 40 {
		hash := []func(string) uint64{testHash, few}[round%2]
		l, err := e.Link(nil, WithUserHash(hash)) // closes the link of a round that has released it
		require.NoError(t, err)
		var kept [3][]*Lease
		var parts [2][2]Part // by node and room
		var changes sync.WaitGroup
		for i := range kept {
			r := rand.New(rand.NewPCG(uint64(round), uint64(i)))
			id := func() string { return strconv.Itoa(r.IntN(10)) }
			changes.Go(func() {
				for range 150 {
					lease, err := e.Connect(rooms[r.IntN(2)], As(id()))
					if err != nil {
						t.Error(err)
						return
					}
					if round%2 == 0 { // a step counts several clients with the same hash wrongly
						_ = lease.Enter(id())
						_ = lease.Exit(id())
					}
					switch r.IntN(4) {
					case 0:
						lease.Linger(time.Duration(r.IntN(1000)) * time.Microsecond)
					case 1:
						lease.Linger(time.Hour)
						kept[i] = append(kept[i], lease)
					case 2:
						s := e.Session(id())
						_ = s.Enter(lease.Room())
						_ = lease.Close()
						_ = s.Close()
					default:
						kept[i] = append(kept[i], lease)
					}
				}
				for _, lease := range kept[i][len(kept[i])/8:] { // the others remain, or linger
					_ = lease.Close()
				}
			})
		}
		for i := range parts {
			node := l.Remote("node")
			r := rand.New(rand.NewPCG(uint64(round), 10+uint64(i)))
			changes.Go(func() {
				for range 300 {
					k := r.IntN(2)
					part := Part{Room: rooms[k], Occupancy: Occupancy{r.IntN(9), 100, 0}}
					for c := range 12 {
						if r.IntN(3) == 0 {
							part.Users = append(part.Users, hash(strconv.Itoa(c))) // few: the same hash several times
						}
					}
					slices.Sort(part.Users)
					if r.IntN(9) == 0 {
						part = Part{Room: rooms[k]}
					}
					if err := node.Set(part); err != nil {
						t.Error(err)
					}
					parts[i][k] = part
					if r.IntN(9) == 0 { // refused, or an estimate that is replaced later
						_ = node.Set(Part{rooms[k], Occupancy{1 << 28, 1 << 28, 1 << 28}, part.Users})
						_ = node.Set(part)
					}
				}
			})
		}
		changes.Wait()
		for i := 0; e.Stats().Lingering > 0 && i < 3; i++ {
			for _, lease := range kept[i] {
				_ = lease.Close()
			}
		}
		for k, room := range rooms {
			c, _ := e.rooms.cells.Load(room)
			require.Eventually(t, func() bool { return e.Stats().Lingering == 0 && c.word.Load()&idle != 0 }, time.Minute, time.Millisecond)
			clients, elsewhere, mine := map[uint64]int{}, map[uint64]bool{}, 0
			for i := range e.pub.users.shards {
				for u := range e.pub.users.shards[i].members {
					if u.room == c {
						clients[hash(u.id)]++
						mine++
					}
				}
			}
			for _, node := range parts {
				for _, h := range node[k].Users {
					elsewhere[h] = true
				}
			}
			users := mine
			for h := range elsewhere {
				if clients[h] == 0 {
					users++
				}
			}
			require.Equal(t, users, e.Current(room).Users, "round %d", round)
			require.Equal(t, mine, e.Local(room).Users)
		}
		for _, leases := range kept {
			for _, lease := range leases {
				_ = lease.Close()
			}
		}
		for _, room := range rooms {
			require.Equal(t, Occupancy{}, e.Local(room))
		}
		if round%4 < 2 {
			l.Release()
			continue
		}
		require.NoError(t, l.Close())
		for i := range l.index.shards {
			require.Empty(t, l.index.shards[i].users)
			require.Nil(t, e.pub.users.shards[i].index)
			require.Empty(t, e.pub.users.shards[i].members)
		}
		require.Equal(t, Occupancy{}, e.Current("a"))
	}
	for _, s := range subs {
		require.Eventually(t, func() bool { return e.Current(s.Room()) == Occupancy{} }, time.Minute, time.Millisecond)
	}
	require.NoError(t, e.Close())
	wg.Wait()
	require.Equal(t, [2]Occupancy{}, last)
}
