package occupancy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestUsers_AreDistinctClientsAmongTheMembers(t *testing.T) {
	e := New(WithUsers())
	defer e.Close()
	want := func(conns, members, users int) {
		t.Helper()
		require.Equal(t, Occupancy{conns, members, users}, e.Current("room"))
		require.Equal(t, Occupancy{conns, members, users}, e.Room("room").Current())
		require.Equal(t, Occupancy{conns, members, users}, e.Local("room"))
	}
	require.NoError(t, e.Enter("room", "ann"))
	want(0, 1, 1)
	require.NoError(t, e.Room("room").Enter("ann"))
	want(0, 2, 1)
	l, err := e.Connect("room", As("bob"), As("ann"), As("bob"), As("ann"))
	require.NoError(t, err)
	want(1, 4, 2)
	require.NoError(t, l.Enter("eve"))
	require.NoError(t, l.Enter("eve"))
	want(1, 5, 3)
	require.NoError(t, l.Exit("bob"))
	want(1, 4, 2)
	require.ErrorIs(t, l.Exit("bob"), ErrNotEntered)
	require.ErrorIs(t, e.Exit("room", "bob"), ErrNotEntered)
	require.ErrorIs(t, e.Room("room").Exit("bob"), ErrNotEntered)
	require.ErrorIs(t, e.Exit("another", "ann"), ErrNotEntered)
	want(1, 4, 2)
	require.NoError(t, e.Exit("room", "ann"))
	require.NoError(t, e.Exit("room", "ann"))
	want(1, 2, 2)
	require.NoError(t, l.Close())
	want(0, 0, 0)
	require.ErrorIs(t, e.Exit("room", "ann"), ErrNotEntered)
	require.ErrorIs(t, e.Enter("room", ""), ErrInvalidClientID)
	_, err = e.Connect("room", As("\xff"))
	require.ErrorIs(t, err, ErrInvalidClientID)
	want(0, 0, 0)
	require.Zero(t, tableSize(e))
}

// Engine.Exit may remove a member that a lease has entered, because it does not know the leases.
func TestUsers_LeaseWhoseMemberWasExited(t *testing.T) {
	e := New(WithUsers())
	defer e.Close()
	require.NoError(t, e.Enter("room", "eve"))
	l, err := e.Connect("room", As("ann"), As("bob"))
	require.NoError(t, err)
	require.NoError(t, e.Exit("room", "ann"))
	require.Equal(t, Occupancy{1, 2, 2}, e.Current("room"))
	require.NoError(t, l.Exit("ann"))
	require.Equal(t, Occupancy{1, 2, 2}, e.Current("room"))
	require.NoError(t, l.Close())
	require.Equal(t, Occupancy{0, 1, 1}, e.Current("room"))
}

// Without the option, clients are not checked, counted or kept.
func TestUsers_AreZeroWithoutTheOption(t *testing.T) {
	e := New()
	defer e.Close()
	require.NoError(t, e.Enter("room", ""))
	l, err := e.Connect("room", As("ann"))
	require.NoError(t, err)
	require.Equal(t, Occupancy{1, 2, 0}, e.Current("room"))
	link, err := e.Link(nil)
	require.NoError(t, err)
	require.NoError(t, link.Remote("node").Set(Part{Room: "room", Occupancy: Occupancy{3, 2, 1}}))
	require.Equal(t, Occupancy{4, 4, 0}, e.Current("room"))
	require.NoError(t, e.Exit("room", "somebody"))
	require.NoError(t, l.Close())
	require.Equal(t, Occupancy{3, 2, 0}, e.Current("room"))
}

func TestUsers_OfOtherNodesAreAdded(t *testing.T) {
	e := New(WithUsers())
	defer e.Close()
	s := subscribe(t, e, "room")
	<-s.Events()
	link, err := e.Link(nil)
	require.NoError(t, err)
	remote := link.Remote("node")
	require.NoError(t, remote.Set(Part{Room: "room", Occupancy: Occupancy{3, 2, 1}}))
	require.Equal(t, Occupancy{3, 2, 1}, (<-s.Events()).Occupancy)
	require.NoError(t, e.Enter("room", "ann"))
	require.Equal(t, Occupancy{3, 3, 2}, e.Current("room"))
	require.Equal(t, Part{Room: "room", Occupancy: Occupancy{3, 2, 1}}, remote.Get("room"))
	err = remote.Set(Part{Room: "room", Occupancy: Occupancy{3, 1, 2}})
	require.ErrorIs(t, err, ErrCount, "more users than members")
	for _, n := range []int{maxCount, maxCount - 1} { // the new part replaces the old one
		require.NoError(t, remote.Set(Part{Room: "full", Occupancy: Occupancy{n, n, n}}))
		require.Equal(t, Occupancy{n, n, n}, e.Current("full"))
	}
	require.NoError(t, link.Close())
	require.Equal(t, Occupancy{0, 1, 1}, e.Current("room"))
}

func TestUsers_ArePartOfTheTotals(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *Engine) {
		users := 0
		if e.pub.users != nil {
			users = 3
		}
		connect(t, e, "a", As("ann"))
		connect(t, e, "a", As("ann"))
		connect(t, e, "b", As("ann"), As("bob"))
		time.Sleep(2 * maxLag)
		require.Equal(t, Occupancy{3, 4, users}, e.Stats().Total)
		require.Equal(t, Occupancy{3, 4, users}, e.Stats().Local)
	})
}

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

// Two leases of a user are closed at the same moment, while a third one may come.
func TestUsers_ConcurrentClosesRemoveTheUserOnce(t *testing.T) {
	e := New(WithUsers())
	defer e.Close()
	for range 3000 {
		a, err := e.Connect("room", As("ann"))
		require.NoError(t, err)
		b, err := e.Connect("room", As("ann"))
		require.NoError(t, err)
		require.Equal(t, Occupancy{2, 2, 1}, e.Current("room"))
		var wg sync.WaitGroup
		for _, l := range []*Lease{a, b, a} {
			wg.Go(func() { _ = l.Close() })
		}
		var c *Lease
		wg.Go(func() { c, _ = e.Connect("room", As("ann")) })
		wg.Wait()
		require.Equal(t, Occupancy{1, 1, 1}, e.Current("room"))
		require.NoError(t, c.Close())
		require.Zero(t, e.Current("room"))
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

func TestConnect_MaxRefusesAFullRoom(t *testing.T) {
	for _, opts := range [][]Option{nil, {WithUsers()}} {
		e := New(opts...)
		var leases []*Lease
		for range 3 {
			l, err := e.Connect("room", Max(3), As("ann"))
			require.NoError(t, err)
			leases = append(leases, l)
		}
		before := e.Current("room")
		for range 2 {
			_, err := e.Connect("room", As("bob"), Max(3))
			require.ErrorIs(t, err, ErrRoomFull)
		}
		for _, opts := range [][]ConnectOption{{Max(5), Max(2)}, {Max(2), Max(5)}} {
			_, err := e.Room("room").Connect(opts...)
			require.ErrorIs(t, err, ErrRoomFull)
		}
		require.Equal(t, before, e.Current("room"))
		if e.pub.users != nil {
			require.Equal(t, 1, tableSize(e))
		}
		for _, most := range []int{0, -1} {
			_, err := e.Connect("empty", Max(most))
			require.ErrorIs(t, err, ErrRoomFull)
		}
		require.Equal(t, Refused{RoomFull: 6}, e.Stats().Refused)
		require.NoError(t, leases[0].Close())
		link, err := e.Link(nil)
		require.NoError(t, err)
		remote := link.Remote("node")
		require.NoError(t, remote.Set(Part{Room: "room", Occupancy: Occupancy{1, 0, 0}}))
		_, err = e.Connect("room", Max(3))
		require.ErrorIs(t, err, ErrRoomFull, "connections of other nodes count, too")
		require.NoError(t, remote.Close())
		_, err = e.Connect("room", Max(3))
		require.NoError(t, err)
		require.NoError(t, e.Close())
	}
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

// At no time does the room have more connections than Max allows, and no Connect is refused
// while a place was free throughout.
func TestConnect_MaxIsExactUnderConcurrency(t *testing.T) {
	const callers, most, attempts = 16, 10, 20_000
	e := New(WithUsers())
	defer e.Close()
	var refused atomic.Int64
	run := func(callers int) {
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for range attempts {
					l, err := e.Connect("room", Max(most), As(fmt.Sprint("client", i)))
					if now := e.Current("room"); now.Connections > most {
						panic(fmt.Sprint(now))
					}
					if err != nil {
						refused.Add(1)
						continue
					}
					_ = l.Close()
				}
			})
		}
		wg.Wait()
		require.Zero(t, e.Current("room"))
	}
	run(most)
	require.Zero(t, refused.Load(), "a place was free for each")
	run(callers)
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
