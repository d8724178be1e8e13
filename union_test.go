package occupancy

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
func usersPart(ids ...string) Part {
	return Part{Room: "room", Occupancy: Occupancy{Connections: len(ids), PresenceMembers: len(ids)}, Users: hashes(ids...)}
}

func newLinkedWithUsers(t testing.TB, opts ...Option) (*Engine, *Link) {
	e := New(append(opts, WithUsers())...)
	t.Cleanup(func() { _ = e.Close() })
	l, err := e.Link(nil, WithUserHash(testHash))
	require.NoError(t, err)
	return e, l
}

func TestUnion_UserOnThreeNodesCountsOnce(t *testing.T) {
	e, l := newLinkedWithUsers(t)
	two, three := l.Remote("two"), l.Remote("three")
	want := func(members, users, local int) {
		t.Helper()
		require.Equal(t, Occupancy{members, members, users}, e.Current("room"))
		require.Equal(t, Occupancy{members, members, users}, e.Room("room").Current())
		require.Equal(t, Occupancy{local, local, local}, e.Local("room"))
	}
	require.NoError(t, two.Set(usersPart("ann", "bob")))
	want(2, 2, 0)
	require.NoError(t, three.Set(usersPart("ann")))
	want(3, 2, 0)
	ann, err := e.Connect("room", As("ann"))
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
		e := New(WithUsers(), WithInterval(0))
		var l *Link
		var remotes []*Remote
		parts := map[*Remote][]string{}
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
				l, err = e.Link(nil, WithUserHash(testHash))
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
				require.Nil(t, e.pub.index)
				l, remotes = nil, nil
				clear(parts)
			}
			users, members, mine := map[string]bool{}, 0, map[uint64]bool{}
			want := Occupancy{}
			for who, n := range local {
				if members += n; n > 0 {
					users[who], mine[testHash(who)] = true, true
				}
			}
			require.Equal(t, Occupancy{0, members, len(users)}, e.Local("room"), "seed %d, step %d", seed, i)
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
	e, l := newLinkedWithUsers(t, WithInterval(0))
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
		lease, err := e.Connect("room", As("ann"))
		require.NoError(t, err)
		require.NoError(t, node.Set(Part{Room: "room"}))
		require.NoError(t, node.Set(usersPart("ann")))
		require.NoError(t, lease.Close())
	}
	close(done)
	wg.Wait()
}

// Hooks and updates of other nodes change the same users at the same time. The counts are
// possible throughout, and exact in the end.
func TestUnion_ConcurrentChanges(t *testing.T) {
	e, l := newLinkedWithUsers(t, WithInterval(0))
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
	for i := range e.pub.users.shards {
		require.Nil(t, e.pub.users.shards[i].index)
	}
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
			events, _ := w.takeAll()
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
		require.Empty(t, e.pub.index.changed)
	})
}

// The publisher visits a room after a hook has changed the counts and before it has changed the
// index. The change of the users has an event nevertheless.
func TestUnion_ChangeDuringVisitHasAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(WithUsers(), WithInterval(time.Second))
		defer e.Close()
		l, err := e.Link(nil, WithUserHash(func(id string) uint64 {
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
	e, l := newLinkedWithUsers(t, WithInterval(time.Millisecond))
	_, err := l.Watch() // so that changes of this process's users have visits
	require.NoError(t, err)
	report := func(node *Remote, from, to int) {
		var all []uint64
		for i := from; i < to; i++ {
			all = append(all, testHash(fmt.Sprint("client", i)))
		}
		slices.Sort(all)
		n := len(all)
		require.NoError(t, node.Set(Part{"room", Occupancy{n, n, n}, all[:min(n, k)]}))
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
	for _, p := range []Part{
		{"room", Occupancy{1, 1, 1}, hashes("a", "b", "c")},
		{"room", Occupancy{0, 0, 0}, hashes("a", "b", "c")},
		{"room", Occupancy{1, maxCount, maxCount}, []uint64{0}},
		{"room", Occupancy{1, 5, 5}, []uint64{0, 0, ^uint64(0)}},
	} {
		require.NoError(t, two.Set(p))
		o := e.Current("room")
		require.LessOrEqual(t, o.Users, o.PresenceMembers)
		require.GreaterOrEqual(t, o.Users, 20_000)
	}
	require.ErrorIs(t, two.Set(Part{"room", Occupancy{1, 5, 5}, []uint64{2, 1}}), ErrCount)
	require.NoError(t, two.Close())
	require.Equal(t, Occupancy{0, 20_000, 20_000}, e.Current("room"))
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

// A lease that lingers ends when its client is reported by another node.
func TestUnion_LingeringLeaseEndsWhenClientIsElsewhere(t *testing.T) {
	for _, linked := range []bool{false, true} { // when the lease begins to linger
		e := New(WithUsers())
		var l *Link
		link := func() {
			var err error
			l, err = e.Link(nil, WithUserHash(testHash))
			require.NoError(t, err)
		}
		if linked {
			link()
		}
		var leases []*Lease
		for _, id := range []string{"ann", "ann", "bob"} {
			c, err := e.Connect("room", As(id))
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
		require.Equal(t, Occupancy{4, 4, 3}, e.Current("room"))
		require.NoError(t, node.Set(usersPart("ann", "eve")))
		require.Equal(t, Occupancy{3, 3, 3}, e.Current("room"))
		require.Equal(t, 1, e.Stats().Lingering)
		back, err := e.Connect("room", As("bob")) // takes over
		require.NoError(t, err)
		require.Equal(t, Occupancy{3, 3, 3}, e.Current("room"))
		require.NoError(t, back.Close())
		require.Equal(t, Occupancy{2, 2, 2}, e.Current("room"))
		require.NoError(t, e.Close())
	}
}

// Without a hash, the users of the nodes are added.
func TestUnion_WithoutHash(t *testing.T) {
	e := New(WithUsers())
	defer e.Close()
	l, err := e.Link(nil)
	require.NoError(t, err)
	require.NoError(t, e.Enter("room", "ann"))
	require.NoError(t, l.Remote("node").Set(usersPart("ann", "bob")))
	require.Equal(t, Occupancy{2, 3, 3}, e.Current("room"))
	in, out := l.UserChanges("room")
	require.Empty(t, in)
	require.Empty(t, out)
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
	require.False(t, e.pub.tryPublish(c, false))
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
