package promises_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

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

// usersPart returns a node's part of the room "room", in which these clients have one member each.
func usersPart(ids ...string) occupancy.Part {
	return occupancy.Part{Room: "room", Occupancy: occ(len(ids), len(ids)), Users: hashes(ids...)}
}

func newLinkedWithUsers(t testing.TB, opts ...occupancy.Option) (*occupancy.Engine, *occupancy.Link) {
	e := newEngine(t, append(opts, occupancy.WithUsers())...)
	l, err := e.Link(nil, occupancy.WithUserHash(testHash))
	require.NoError(t, err)
	return e, l
}

func TestUnion_UserOnThreeNodesCountsOnce(t *testing.T) {
	e, l := newLinkedWithUsers(t)
	two, three := l.Remote("two"), l.Remote("three")
	want := func(members, users, local int) {
		t.Helper()
		require.Equal(t, counts(members, members, users), e.Current("room"))
		require.Equal(t, counts(members, members, users), e.Room("room").Current())
		require.Equal(t, counts(local, local, local), e.Local("room"))
	}
	require.NoError(t, two.Set(usersPart("ann", "bob")))
	want(2, 2, 0)
	require.NoError(t, three.Set(usersPart("ann")))
	want(3, 2, 0)
	ann, err := e.Connect("room", occupancy.As("ann"))
	require.NoError(t, err)
	want(4, 2, 1)
	require.NoError(t, two.Set(usersPart("bob")))
	want(3, 2, 1)
	require.NoError(t, three.Close())
	want(2, 2, 1)
	require.NoError(t, ann.Close())
	want(1, 1, 0)
	require.NoError(t, l.Close())
	want(0, 0, 0)
}

// The room has the size of the union after every change, for any order of changes. The numbers
// are compared with sets.
func TestUnion_MatchesSets(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		e := occupancy.New(occupancy.WithUsers(), occupancy.WithInterval(0))
		var l *occupancy.Link
		var remotes []*occupancy.Remote
		parts := map[*occupancy.Remote][]string{}
		local := map[string]int{}
		reported := map[uint64]bool{}
		id := func() string { return strconv.Itoa(r.IntN(12)) }
		for i := range 400 {
			switch k := r.IntN(12); {
			case k < 4:
				who := id()
				require.NoError(t, e.Enter("room", who))
				local[who]++
			case k < 8:
				who := id()
				if e.Exit("room", who) == nil {
					local[who]--
				}
			case l == nil:
				var err error
				l, err = e.Link(nil, occupancy.WithUserHash(testHash))
				require.NoError(t, err)
				clear(reported)
				for range 3 {
					remotes = append(remotes, l.Remote("node"))
				}
			case k < 11:
				node := remotes[r.IntN(3)]
				var ids []string
				for i := range 12 {
					if r.IntN(3) == 0 {
						ids = append(ids, strconv.Itoa(i))
					}
				}
				if r.IntN(4) == 0 {
					ids = nil
				}
				require.NoError(t, node.Set(usersPart(ids...)))
				parts[node] = ids
			case r.IntN(10) == 0:
				require.NoError(t, l.Close())
				l, remotes = nil, nil
				clear(parts)
			}
			users, members, mine := map[string]bool{}, 0, map[uint64]bool{}
			want := occupancy.Occupancy{}
			for who, n := range local {
				if members += n; n > 0 {
					users[who], mine[testHash(who)] = true, true
				}
			}
			require.Equal(t, counts(0, members, len(users)), e.Local("room"), "seed %d, step %d", seed, i)
			for _, ids := range parts {
				want.Connections += len(ids)
				members += len(ids)
				for _, who := range ids {
					users[who] = true
				}
			}
			want.PresenceMembers, want.Users = members, len(users)
			require.Equal(t, want, e.Current("room"), "seed %d, step %d", seed, i)
			if l != nil && r.IntN(3) == 0 {
				entered, exited := l.UserChanges("room")
				for _, h := range entered {
					require.False(t, reported[h])
					reported[h] = true
				}
				for _, h := range exited {
					require.True(t, reported[h])
					delete(reported, h)
				}
				require.Equal(t, mine, reported)
			}
		}
		require.NoError(t, e.Close())
	}
}

// ann is on this node, on the other node, or on both, and never on neither. So no event has
// another number of users than one.
func TestUnion_NoEventHasUserTwice(t *testing.T) {
	e, l := newLinkedWithUsers(t, occupancy.WithInterval(0))
	node := l.Remote("node")
	require.NoError(t, node.Set(usersPart("ann")))
	sub, err := e.Subscribe("room")
	require.NoError(t, err)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case ev := <-sub.Events():
				if ev.Occupancy.Users != 1 {
					t.Errorf("event %+v", ev.Occupancy)
				}
			case <-done:
				return
			}
			if o := e.Current("room"); o.Users > 1 {
				t.Errorf("current %+v", o)
			}
		}
	})
	for range 20_000 {
		lease, err := e.Connect("room", occupancy.As("ann"))
		require.NoError(t, err)
		require.NoError(t, node.Set(occupancy.Part{Room: "room"}))
		require.NoError(t, node.Set(usersPart("ann")))
		require.NoError(t, lease.Close())
	}
	close(done)
	wg.Wait()
}

// Hooks and updates of other nodes change the same users at the same time. The counts are
// possible throughout, and exact in the end.
func TestUnion_ConcurrentChanges(t *testing.T) {
	e, l := newLinkedWithUsers(t, occupancy.WithInterval(0))
	const clients = 40
	watch, err := l.Watch()
	require.NoError(t, err)
	var mu sync.Mutex
	members, parts := map[string]int{}, [3][]string{}
	var wg sync.WaitGroup
	for i := range 3 {
		node := l.Remote("node")
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 1500 {
				parts[i] = nil
				for c := range clients {
					if r.IntN(2) == 0 {
						parts[i] = append(parts[i], strconv.Itoa(c))
					}
				}
				if r.IntN(5) == 0 {
					parts[i] = nil
				}
				if err := node.Set(usersPart(parts[i]...)); err != nil {
					t.Error(err)
				}
				if o := e.Current("room"); o.Users > o.PresenceMembers || o.Users > clients {
					t.Errorf("impossible: %+v", o)
				}
			}
		})
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 2))
			entered := map[string]int{}
			for range 10_000 {
				id := strconv.Itoa(r.IntN(clients))
				if r.IntN(2) == 0 {
					if err := e.Enter("room", id); err != nil {
						t.Error(err)
					}
					entered[id]++
				} else if e.Exit("room", id) == nil {
					entered[id]--
				}
				if o := e.Local("room"); o.Users > o.PresenceMembers || o.Users < 0 {
					t.Errorf("impossible: %+v", o)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			for id, n := range entered {
				members[id] += n
			}
		})
	}
	reported := map[uint64]bool{}
	drain := func() {
		in, out := l.UserChanges("room")
		for _, h := range in {
			reported[h] = true
		}
		for _, h := range out {
			delete(reported, h)
		}
	}
	wg.Wait()
	union, local := map[string]bool{}, map[string]bool{}
	for id, n := range members {
		if n > 0 {
			union[id], local[id] = true, true
		}
	}
	for _, ids := range parts {
		for _, id := range ids {
			union[id] = true
		}
	}
	require.Equal(t, len(union), e.Current("room").Users)
	require.Equal(t, len(local), e.Local("room").Users)
	for len(reported) != len(local) { // every change has an event
		_, err := watch.Next(t.Context())
		require.NoError(t, err)
		drain()
	}
	for id := range local {
		require.True(t, reported[testHash(id)])
	}
	require.NoError(t, l.Close())
	require.Equal(t, e.Local("room"), e.Current("room"))
}

// The publisher visits a room after a hook has changed the counts and before it has changed the
// index. The change of the users has an event nevertheless.
func TestUnion_ChangeDuringVisitHasAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := occupancy.New(occupancy.WithUsers(), occupancy.WithInterval(time.Second))
		defer e.Close()
		l, err := e.Link(nil, occupancy.WithUserHash(func(id string) uint64 {
			if e.Local("room").PresenceMembers == 2 {
				time.Sleep(time.Minute) // the room becomes idle
			}
			return testHash(id)
		}))
		require.NoError(t, err)
		w, err := l.Watch()
		require.NoError(t, err)
		reported := 0
		go func() {
			for {
				if _, err := w.Next(t.Context()); err != nil {
					return
				}
				in, _ := l.UserChanges("room")
				reported += len(in)
			}
		}()
		require.NoError(t, e.Enter("room", "ann"))
		synctest.Wait()
		require.NoError(t, e.Enter("room", "bob")) // the room waits for its interval
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 2, reported)
	})
}

// If a node reports the smallest hashes of its users only, the number of users is an estimate.
func TestUnion_EstimatesUsersOfLargeRooms(t *testing.T) {
	const k = 4096
	e, l := newLinkedWithUsers(t, occupancy.WithInterval(time.Millisecond))
	_, err := l.Watch() // so that changes of this process's users have visits
	require.NoError(t, err)
	report := func(node *occupancy.Remote, from, to int) {
		var all []uint64
		for i := from; i < to; i++ {
			all = append(all, testHash(fmt.Sprint("client", i)))
		}
		slices.Sort(all)
		n := len(all)
		require.NoError(t, node.Set(occupancy.Part{Room: "room", Occupancy: counts(n, n, n), Users: all[:min(n, k)]}))
	}
	near := func(want int) {
		t.Helper()
		require.Eventually(t, func() bool { // after the next visit
			return math.Abs(float64(e.Current("room").Users)/float64(want)-1) < 0.05
		}, 10*time.Second, time.Millisecond)
	}
	one, two, three := l.Remote("one"), l.Remote("two"), l.Remote("three")
	report(one, 0, k)
	require.Equal(t, k, e.Current("room").Users) // exact
	report(one, 0, 100_000)
	near(100_000)
	report(two, 50_000, 250_000)
	near(250_000)
	for i := range 20_000 { // half of them are known elsewhere
		require.NoError(t, e.Enter("room", fmt.Sprint("client", 240_000+i)))
	}
	report(three, 0, 1000) // some are known
	near(260_000)
	for i := range 50_000 { // all of them are known elsewhere, but few are in a sample
		require.NoError(t, e.Enter("room", fmt.Sprint("client", 60_000+i)))
	}
	near(260_000)
	for i := range 50_000 {
		require.NoError(t, e.Exit("room", fmt.Sprint("client", 60_000+i)))
	}
	report(one, 0, 0)
	near(211_000)
	report(two, 0, 10)
	report(three, 0, 0)
	require.Equal(t, 20_010, e.Current("room").Users) // exact again
	// Reports that cannot be true.
	for _, p := range []occupancy.Part{
		{Room: "room", Occupancy: counts(1, 1, 1), Users: hashes("a", "b", "c")},
		{Room: "room", Occupancy: counts(0, 0, 0), Users: hashes("a", "b", "c")},
		{Room: "room", Occupancy: counts(1, most, most), Users: []uint64{0}},
		{Room: "room", Occupancy: counts(1, 5, 5), Users: []uint64{0, 0, ^uint64(0)}},
	} {
		require.NoError(t, two.Set(p))
		o := e.Current("room")
		require.LessOrEqual(t, o.Users, o.PresenceMembers)
		require.GreaterOrEqual(t, o.Users, 20_000)
	}
	require.ErrorIs(t, two.Set(occupancy.Part{Room: "room", Occupancy: counts(1, 5, 5), Users: []uint64{2, 1}}), occupancy.ErrCount)
	require.NoError(t, two.Close())
	require.Equal(t, counts(0, 20_000, 20_000), e.Current("room"))
}

// A lease that lingers ends when its client is reported by another node.
func TestUnion_LingeringLeaseEndsWhenClientIsElsewhere(t *testing.T) {
	for _, linked := range []bool{false, true} { // when the lease begins to linger
		e := occupancy.New(occupancy.WithUsers())
		var l *occupancy.Link
		link := func() {
			var err error
			l, err = e.Link(nil, occupancy.WithUserHash(testHash))
			require.NoError(t, err)
		}
		if linked {
			link()
		}
		var leases []*occupancy.Lease
		for _, id := range []string{"ann", "ann", "bob"} {
			c, err := e.Connect("room", occupancy.As(id))
			require.NoError(t, err)
			leases = append(leases, c)
		}
		for _, c := range leases {
			c.Linger(time.Hour)
		}
		if !linked {
			link()
		}
		node := l.Remote("node")
		require.NoError(t, node.Set(usersPart("eve")))
		require.Equal(t, counts(4, 4, 3), e.Current("room"))
		require.NoError(t, node.Set(usersPart("ann", "eve")))
		require.Equal(t, counts(3, 3, 3), e.Current("room"))
		require.Equal(t, 1, e.Stats().Lingering)
		back, err := e.Connect("room", occupancy.As("bob")) // takes over
		require.NoError(t, err)
		require.Equal(t, counts(3, 3, 3), e.Current("room"))
		require.NoError(t, back.Close())
		require.Equal(t, counts(2, 2, 2), e.Current("room"))
		require.NoError(t, e.Close())
	}
}

// Without a hash, the users of the nodes are added.
func TestUnion_WithoutHash(t *testing.T) {
	e := occupancy.New(occupancy.WithUsers())
	defer e.Close()
	l, err := e.Link(nil)
	require.NoError(t, err)
	require.NoError(t, e.Enter("room", "ann"))
	require.NoError(t, l.Remote("node").Set(usersPart("ann", "bob")))
	require.Equal(t, counts(2, 3, 3), e.Current("room"))
	in, out := l.UserChanges("room")
	require.Empty(t, in)
	require.Empty(t, out)
}
