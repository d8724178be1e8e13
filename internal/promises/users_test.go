package promises_test

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// Every goroutine may exit a client, whoever entered it. Some enter by hook and others by lease.
func TestUsers_AreTheDistinctClientsOfTheAcceptedCalls(t *testing.T) {
	bubble(t, "concurrent calls", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0), occupancy.WithUsers())
		type key struct{ room, client string }
		var mu sync.Mutex
		members, connections := map[key]int{}, map[string]int{}
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 3))
				entered, joined := map[key]int{}, map[string]int{}
				for range 5000 {
					k := key{strconv.Itoa(r.IntN(3)), strconv.Itoa(r.IntN(4))}
					switch r.IntN(4) {
					case 0:
						if err := e.Enter(k.room, k.client); err != nil {
							t.Errorf("Enter: %v", err)
						}
						entered[k]++
					case 1, 2:
						switch err := e.Exit(k.room, k.client); err {
						case nil:
							entered[k]--
						case occupancy.ErrNotEntered:
						default:
							t.Errorf("Exit: %v", err)
						}
					case 3:
						if _, err := e.Connect(k.room, occupancy.As(k.client)); err != nil {
							t.Errorf("Connect: %v", err)
						}
						entered[k]++
						joined[k.room]++
					}
					if o := e.Current(k.room); o.Users > o.PresenceMembers || o.Users > 4 || o.PresenceMembers > 0 && o.Users == 0 {
						t.Errorf("impossible: %+v", o)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for k, n := range entered {
					members[k] += n
				}
				for room, n := range joined {
					connections[room] += n
				}
			})
		}
		wg.Wait()
		want := byRoom{}
		for k, n := range members {
			require.GreaterOrEqual(t, n, 0, "%v was exited more often than it entered", k)
			o := want[k.room]
			o.Connections = connections[k.room]
			o.PresenceMembers += n
			if n > 0 {
				o.Users++
			}
			want[k.room] = o
		}
		for room, o := range want {
			require.Equal(t, o, e.Current(room))
		}
	})
}

func TestUsers_OneMemberOfTwo(t *testing.T) {
	bubble(t, "Exit and Close of one do not remove the user, of both they do, once", func(t *testing.T) {
		e := newEngine(t, occupancy.WithUsers())
		one, two := connectAs(t, e, "r", "ann"), connectAs(t, e, "r", "ann")
		connectAs(t, e, "r", "bob")
		require.Equal(t, counts(3, 3, 2), e.Current("r"))
		must(t, one.Exit("ann"))
		require.Equal(t, counts(3, 2, 2), e.Current("r"))
		must(t, one.Enter("ann"), one.Close())
		require.Equal(t, counts(2, 2, 2), e.Current("r"))
		must(t, two.Close(), two.Close())
		require.Equal(t, counts(1, 1, 1), e.Current("r"))
		require.ErrorIs(t, e.Exit("r", "ann"), occupancy.ErrNotEntered)
		require.Equal(t, counts(1, 1, 1), e.Current("r"))
	})
}

func TestUsers_AreNotCountedWithoutTheOption(t *testing.T) {
	bubble(t, "and the IDs of the hooks are ignored", func(t *testing.T) {
		e := newEngine(t)
		must(t, e.Enter("r", "ann"), e.Enter("r", ""), e.Exit("r", "bob"))
		connectAs(t, e, "r", "ann")
		require.Equal(t, occ(1, 2), e.Current("r"))
		require.Equal(t, occ(1, 2), statsTotal(e))
	})
}

func TestUsers_AllThreeAreReadTogether(t *testing.T) {
	e := newEngine(t, occupancy.WithInterval(0), occupancy.WithUsers())
	must(t, e.Join("r"), e.Enter("r", "bob")) // so that the room exists throughout
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		for range 20000 {
			l, err := e.Connect("r", occupancy.As("ann"))
			if err != nil || l.Close() != nil {
				t.Error("refused")
			}
		}
	})
	wg.Go(func() {
		handle := e.Room("r")
		for {
			select {
			case <-done:
				return
			default:
			}
			for _, o := range []occupancy.Occupancy{e.Current("r"), handle.Current(), e.Local("r")} {
				if o != counts(1, 1, 1) && o != counts(2, 2, 2) {
					t.Errorf("counts of different moments: %+v", o)
					return
				}
			}
		}
	})
	wg.Wait()
}

func TestUsers_OfSeveralNodesCountOnce(t *testing.T) {
	bubble(t, "in every event, while the user moves from node to node", func(t *testing.T) {
		e := newEngine(t, occupancy.WithUsers(), occupancy.WithInterval(0))
		link, err := e.Link(nil, occupancy.WithUserHash(func(id string) uint64 { return uint64(len(id)) }))
		must(t, err)
		nodes := []*occupancy.Remote{link.Remote("two"), link.Remote("three")}
		ann := occupancy.Part{Room: "r", Occupancy: occ(1, 1), Users: []uint64{3}}
		lease := connectAs(t, e, "r", "ann")
		sub := subscribe(t, e, "r")
		for range 10 {
			for _, node := range nodes {
				must(t, node.Set(ann), lease.Close())
				require.Equal(t, counts(1, 1, 1), e.Current("r"))
				lease = connectAs(t, e, "r", "ann")
				must(t, node.Set(occupancy.Part{Room: "r"}))
			}
			for synctest.Wait(); len(sub.Events()) > 0; {
				require.Equal(t, 1, (<-sub.Events()).Occupancy.Users)
			}
		}
		must(t, lease.Close())
		require.Equal(t, occ(0, 0), e.Current("r"))
	})
	bubble(t, "and a lease that lingers ends when another node reports its client", func(t *testing.T) {
		e := newEngine(t, occupancy.WithUsers())
		link, err := e.Link(nil, occupancy.WithUserHash(func(id string) uint64 { return uint64(len(id)) }))
		must(t, err)
		connectAs(t, e, "r", "ann").Linger(time.Hour)
		connectAs(t, e, "r", "eveline").Linger(time.Hour)
		must(t, link.Remote("two").Set(occupancy.Part{Room: "r", Occupancy: occ(1, 1), Users: []uint64{3}}))
		require.Equal(t, counts(2, 2, 2), e.Current("r"))
		require.Equal(t, counts(1, 1, 1), e.Local("r"))
	})
}

func TestUsers_AreDistinctClientsAmongTheMembers(t *testing.T) {
	e := occupancy.New(occupancy.WithUsers())
	defer e.Close()
	want := func(conns, members, users int) {
		t.Helper()
		require.Equal(t, counts(conns, members, users), e.Current("room"))
		require.Equal(t, counts(conns, members, users), e.Room("room").Current())
		require.Equal(t, counts(conns, members, users), e.Local("room"))
	}
	require.NoError(t, e.Enter("room", "ann"))
	want(0, 1, 1)
	require.NoError(t, e.Room("room").Enter("ann"))
	want(0, 2, 1)
	l, err := e.Connect("room", occupancy.As("bob"), occupancy.As("ann"), occupancy.As("bob"), occupancy.As("ann"))
	require.NoError(t, err)
	want(1, 4, 2)
	require.NoError(t, l.Enter("eve"))
	require.NoError(t, l.Enter("eve"))
	want(1, 5, 3)
	require.NoError(t, l.Exit("bob"))
	want(1, 4, 2)
	require.ErrorIs(t, l.Exit("bob"), occupancy.ErrNotEntered)
	require.ErrorIs(t, e.Exit("room", "bob"), occupancy.ErrNotEntered)
	require.ErrorIs(t, e.Room("room").Exit("bob"), occupancy.ErrNotEntered)
	require.ErrorIs(t, e.Exit("another", "ann"), occupancy.ErrNotEntered)
	want(1, 4, 2)
	require.NoError(t, e.Exit("room", "ann"))
	require.NoError(t, e.Exit("room", "ann"))
	want(1, 2, 2)
	require.NoError(t, l.Close())
	want(0, 0, 0)
	require.ErrorIs(t, e.Exit("room", "ann"), occupancy.ErrNotEntered)
	require.ErrorIs(t, e.Enter("room", ""), occupancy.ErrInvalidClientID)
	_, err = e.Connect("room", occupancy.As("\xff"))
	require.ErrorIs(t, err, occupancy.ErrInvalidClientID)
	want(0, 0, 0)
}

// Engine.Exit may remove a member that a lease has entered, because it does not know the leases.
func TestUsers_LeaseWhoseMemberWasExited(t *testing.T) {
	e := occupancy.New(occupancy.WithUsers())
	defer e.Close()
	require.NoError(t, e.Enter("room", "eve"))
	l, err := e.Connect("room", occupancy.As("ann"), occupancy.As("bob"))
	require.NoError(t, err)
	require.NoError(t, e.Exit("room", "ann"))
	require.Equal(t, counts(1, 2, 2), e.Current("room"))
	require.NoError(t, l.Exit("ann"))
	require.Equal(t, counts(1, 2, 2), e.Current("room"))
	require.NoError(t, l.Close())
	require.Equal(t, counts(0, 1, 1), e.Current("room"))
}

// Without the option, clients are not checked, counted or kept.
func TestUsers_AreZeroWithoutTheOption(t *testing.T) {
	e := occupancy.New()
	defer e.Close()
	require.NoError(t, e.Enter("room", ""))
	l, err := e.Connect("room", occupancy.As("ann"))
	require.NoError(t, err)
	require.Equal(t, counts(1, 2, 0), e.Current("room"))
	link, err := e.Link(nil)
	require.NoError(t, err)
	require.NoError(t, link.Remote("node").Set(occupancy.Part{Room: "room", Occupancy: counts(3, 2, 1)}))
	require.Equal(t, counts(4, 4, 0), e.Current("room"))
	require.NoError(t, e.Exit("room", "somebody"))
	require.NoError(t, l.Close())
	require.Equal(t, counts(3, 2, 0), e.Current("room"))
}

func TestUsers_OfOtherNodesAreAdded(t *testing.T) {
	e := occupancy.New(occupancy.WithUsers())
	defer e.Close()
	s := subscribe(t, e, "room")
	<-s.Events()
	link, err := e.Link(nil)
	require.NoError(t, err)
	remote := link.Remote("node")
	require.NoError(t, remote.Set(occupancy.Part{Room: "room", Occupancy: counts(3, 2, 1)}))
	require.Equal(t, counts(3, 2, 1), (<-s.Events()).Occupancy)
	require.NoError(t, e.Enter("room", "ann"))
	require.Equal(t, counts(3, 3, 2), e.Current("room"))
	require.Equal(t, occupancy.Part{Room: "room", Occupancy: counts(3, 2, 1)}, remote.Get("room"))
	err = remote.Set(occupancy.Part{Room: "room", Occupancy: counts(3, 1, 2)})
	require.ErrorIs(t, err, occupancy.ErrCount, "more users than members")
	for _, n := range []int{most, most - 1} { // the new part replaces the old one
		require.NoError(t, remote.Set(occupancy.Part{Room: "full", Occupancy: counts(n, n, n)}))
		require.Equal(t, counts(n, n, n), e.Current("full"))
	}
	require.NoError(t, link.Close())
	require.Equal(t, counts(0, 1, 1), e.Current("room"))
}

func TestUsers_ArePartOfTheTotals(t *testing.T) {
	withAndWithoutUsers(t, func(t *testing.T, e *occupancy.Engine) {
		users := 0
		if _, ok := withUsers.Load(e); ok {
			users = 3
		}
		connect(t, e, "a", occupancy.As("ann"))
		connect(t, e, "a", occupancy.As("ann"))
		connect(t, e, "b", occupancy.As("ann"), occupancy.As("bob"))
		time.Sleep(2 * time.Second)
		require.Equal(t, counts(3, 4, users), e.Stats().Total)
		require.Equal(t, counts(3, 4, users), e.Stats().Local)
	})
}

// Two leases of a user are closed at the same moment, while a third one may come.
func TestUsers_ConcurrentClosesRemoveTheUserOnce(t *testing.T) {
	e := occupancy.New(occupancy.WithUsers())
	defer e.Close()
	for range 3000 {
		a, err := e.Connect("room", occupancy.As("ann"))
		require.NoError(t, err)
		b, err := e.Connect("room", occupancy.As("ann"))
		require.NoError(t, err)
		require.Equal(t, counts(2, 2, 1), e.Current("room"))
		var wg sync.WaitGroup
		for _, l := range []*occupancy.Lease{a, b, a} {
			wg.Go(func() { _ = l.Close() })
		}
		var c *occupancy.Lease
		wg.Go(func() { c, _ = e.Connect("room", occupancy.As("ann")) })
		wg.Wait()
		require.Equal(t, counts(1, 1, 1), e.Current("room"))
		require.NoError(t, c.Close())
		require.Zero(t, e.Current("room"))
	}
}
