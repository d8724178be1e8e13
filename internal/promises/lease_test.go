package promises_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestLease_CountsOneConnectionAndItsClients(t *testing.T) {
	bubble(t, "Enter twice counts once", func(t *testing.T) {
		e := newEngine(t)
		c := connect(t, e, "r")
		require.Equal(t, occ(1, 0), e.Current("r"))
		for range 3 {
			for _, id := range []string{"a", "b", "c"} {
				must(t, c.Enter(id))
			}
		}
		require.Equal(t, occ(1, 3), e.Current("r"))
		for _, id := range []string{"b", "a"} { // in another order than they entered
			must(t, c.Exit(id))
			require.ErrorIs(t, c.Exit(id), occupancy.ErrNotEntered)
		}
		require.Equal(t, occ(1, 1), e.Current("r"))
		require.ErrorIs(t, c.Exit("nobody"), occupancy.ErrNotEntered)
		must(t, c.Enter("b"), c.Enter("c"))
		require.Equal(t, occ(1, 2), e.Current("r"))
		must(t, c.Exit("c"), c.Exit("b"))
		require.Equal(t, occ(1, 0), e.Current("r"))
		must(t, c.Close())
		require.Equal(t, occ(0, 0), e.Current("r"))
	})
	bubble(t, "two leases of one user are two connections and two members", func(t *testing.T) {
		e := newEngine(t)
		one, two := connect(t, e, "r"), connect(t, e, "r")
		must(t, one.Enter("user"), two.Enter("user"))
		require.Equal(t, occ(2, 2), e.Current("r"))
		must(t, one.Close())
		require.Equal(t, occ(1, 1), e.Current("r"))
		require.ErrorIs(t, one.Exit("user"), occupancy.ErrClosed)
		must(t, two.Exit("user"))
		require.Equal(t, occ(1, 0), e.Current("r"))
	})
	bubble(t, "Close exits every client and leaves the room in one step", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		s := subscribe(t, e, "r")
		receive(t, s)
		keep := connect(t, e, "r")
		must(t, keep.Enter("x"))
		c := connect(t, e, "r")
		for i := range 10 {
			must(t, c.Enter(strconv.Itoa(i)))
		}
		synctest.Wait()
		all := record(s)
		synctest.Wait()
		must(t, c.Close(), c.Close())
		synctest.Wait()
		must(t, c.Close())
		require.Equal(t, occ(1, 1), e.Current("r"))
		must(t, e.Close())
		got := <-all
		require.Len(t, got, 2) // before and after Close
		require.Equal(t, occ(2, 11), got[0].Occupancy)
		require.Equal(t, occ(1, 1), got[1].Occupancy)
	})
	bubble(t, "a closed lease refuses Enter and Exit", func(t *testing.T) {
		e := newEngine(t)
		c := connect(t, e, "r")
		must(t, c.Enter("a"), c.Close())
		for range 2 {
			require.ErrorIs(t, c.Enter("a"), occupancy.ErrClosed)
			require.ErrorIs(t, c.Enter("late"), occupancy.ErrClosed)
			require.ErrorIs(t, c.Enter(""), occupancy.ErrClosed)
			require.ErrorIs(t, c.Exit("a"), occupancy.ErrClosed)
			must(t, c.Close())
		}
		require.Equal(t, occ(0, 0), e.Current("r"))
		require.Zero(t, e.Stats().Rooms)
	})
	bubble(t, "Connect by handle", func(t *testing.T) {
		e := newEngine(t)
		r := e.Room("r")
		for range 3 {
			c, err := r.Connect()
			must(t, err, c.Enter("a"))
			require.Equal(t, occ(1, 1), r.Current())
			must(t, c.Close())
			require.Equal(t, occ(0, 0), r.Current())
			time.Sleep(2 * interval) // the room ends, the handle stays valid
		}
	})
	bubble(t, "after the engine's Close", func(t *testing.T) {
		e := newEngine(t)
		c, closed := connect(t, e, "r"), connect(t, e, "r")
		must(t, c.Enter("a"), closed.Close(), e.Close())
		require.ErrorIs(t, c.Enter("b"), occupancy.ErrClosed)
		require.ErrorIs(t, c.Exit("a"), occupancy.ErrClosed)
		must(t, c.Close(), c.Close(), closed.Close())
		require.ErrorIs(t, c.Enter("b"), occupancy.ErrClosed)
		require.Equal(t, occ(1, 1), e.Current("r"))
	})
}

func TestLease_ConcurrentCloseCountsOnce(t *testing.T) {
	bubble(t, "together with Enter and Exit", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		stay := connect(t, e, "r")
		must(t, stay.Enter("stay"))
		for n := range 300 {
			c := connect(t, e, "r")
			must(t, c.Enter("a"))
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					if err := c.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
				wg.Go(func() {
					id := strconv.Itoa(i % 3)
					if err := c.Enter(id); err != nil && err != occupancy.ErrClosed {
						t.Errorf("Enter: %v", err)
					}
					if err := c.Exit(id); err != nil && err != occupancy.ErrClosed && err != occupancy.ErrNotEntered {
						t.Errorf("Exit: %v", err)
					}
				})
			}
			wg.Wait()
			require.Equal(t, occ(1, 1), e.Current("r"), n)
		}
	})
}

// A program that also calls Leave and Exit by name for the connection of a lease must not
// make counts negative, nor remove another connection.
func TestLease_LeaveAndExitByNameAreNotCountedTwice(t *testing.T) {
	// The engine may drop the room before the lease is closed, or not.
	for name, pause := range map[string]time.Duration{"before the room is dropped": 0, "after the room was dropped": 3 * interval} {
		bubble(t, "Leave and Exit, "+name, func(t *testing.T) {
			e := newEngine(t)
			c := connect(t, e, "r")
			must(t, c.Enter("a"), c.Enter("b"))
			must(t, e.Exit("r", "c"), e.Exit("r", "c"), e.Leave("r"))
			require.Equal(t, occ(0, 0), e.Current("r"))
			time.Sleep(pause)
			must(t, c.Exit("a"), c.Close(), c.Close())
			require.Equal(t, occ(0, 0), e.Current("r"))
			require.Zero(t, e.Stats().Rooms)
			time.Sleep(interval)
			synctest.Wait()
			require.Equal(t, occ(0, 0), statsTotal(e))
		})
		bubble(t, "Leave alone, "+name, func(t *testing.T) {
			e := newEngine(t)
			c := connect(t, e, "r")
			must(t, c.Enter("a"), e.Leave("r"))
			require.Equal(t, occ(0, 1), e.Current("r"))
			time.Sleep(pause)
			must(t, c.Close())
			require.Equal(t, occ(0, 0), e.Current("r"))
			require.ErrorIs(t, e.Leave("r"), occupancy.ErrNotJoined)
		})
		bubble(t, "Exit alone, "+name, func(t *testing.T) {
			e := newEngine(t)
			c, other := connect(t, e, "r"), connect(t, e, "r")
			must(t, c.Enter("a"), e.Exit("r", "c"))
			time.Sleep(pause)
			must(t, c.Close())
			require.Equal(t, occ(1, 0), e.Current("r"))
			must(t, other.Close())
			require.Equal(t, occ(0, 0), e.Current("r"))
		})
	}
	bubble(t, "a new room of the same name is not changed", func(t *testing.T) {
		e := newEngine(t)
		c := connect(t, e, "r")
		must(t, c.Enter("a"), e.Leave("r"), e.Exit("r", "c"))
		time.Sleep(3 * interval)
		must(t, e.Join("r"), e.Enter("r", "c"))
		must(t, c.Exit("a"), c.Close())
		require.Equal(t, occ(1, 1), e.Current("r"))
	})
	bubble(t, "Enter begins the room again and Close ends it", func(t *testing.T) {
		e := newEngine(t, occupancy.WithMaxRooms(1))
		c := connect(t, e, "r")
		must(t, c.Enter("a"), e.Leave("r"), e.Exit("r", "c"))
		time.Sleep(3 * interval)
		must(t, e.Join("other"))
		require.ErrorIs(t, c.Enter("b"), occupancy.ErrTooManyRooms)
		require.ErrorIs(t, c.Exit("b"), occupancy.ErrNotEntered)
		must(t, e.Leave("other"), c.Enter("b"))
		require.Equal(t, occ(0, 1), e.Current("r"))
		must(t, e.Join("r"), c.Close()) // the Join is of another connection
		require.Equal(t, occ(1, 0), e.Current("r"))
	})
	bubble(t, "Enter begins the room again and Close removes no other connection", func(t *testing.T) {
		e := newEngine(t)
		c := connect(t, e, "r")
		must(t, e.Leave("r"))
		time.Sleep(3 * interval)
		must(t, c.Enter("a"), c.Exit("a"), e.Join("r"), e.Join("r"), c.Close())
		require.Equal(t, occ(2, 0), e.Current("r"))
	})
	bubble(t, "concurrent calls", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 13))
				for range 2000 {
					room := strconv.Itoa(r.IntN(2))
					c, err := e.Connect(room)
					if err != nil || c.Enter("a") != nil {
						t.Errorf("Connect: %v", err)
						return
					}
					if r.IntN(2) == 0 {
						_ = e.Leave(room)
						_ = e.Exit(room, "c")
					}
					if r.IntN(2) == 0 && c.Enter("b") != nil {
						t.Error("Enter refused")
					}
					if c.Close() != nil {
						t.Error("Close refused")
					}
					if o := e.Current(room); o.Connections > 4 || o.PresenceMembers > 8 {
						t.Errorf("too many: %+v", o)
					}
				}
			})
		}
		wg.Wait()
		for i := range 2 {
			require.Equal(t, occ(0, 0), e.Current(strconv.Itoa(i)))
		}
		require.Zero(t, e.Stats().Rooms)
	})
}

// Random calls of several leases, compared with a model.
func TestLease_EqualsItsModel(t *testing.T) {
	bubble(t, "random calls", func(t *testing.T) {
		e := newEngine(t)
		r := rand.New(rand.NewPCG(1, 14))
		type lease struct {
			*occupancy.Lease
			room   string
			in     map[string]bool
			closed bool
		}
		var leases []*lease
		want := byRoom{}
		add := func(room string, c, m int) {
			want[room] = occ(want[room].Connections+c, want[room].PresenceMembers+m)
		}
		for n := range 20_000 {
			var l *lease
			if len(leases) < 5 {
				room := strconv.Itoa(r.IntN(3))
				l = &lease{connect(t, e, room), room, map[string]bool{}, false}
				leases = append(leases, l)
				add(room, 1, 0)
			}
			i := r.IntN(len(leases))
			l = leases[i]
			id := strconv.Itoa(r.IntN(4))
			var err, wantErr error
			switch k := r.IntN(10); {
			case k < 5:
				if err = l.Enter(id); l.closed {
					wantErr = occupancy.ErrClosed
				} else if !l.in[id] {
					l.in[id] = true
					add(l.room, 0, 1)
				}
			case k < 9:
				if err = l.Exit(id); l.closed {
					wantErr = occupancy.ErrClosed
				} else if !l.in[id] {
					wantErr = occupancy.ErrNotEntered
				} else {
					delete(l.in, id)
					add(l.room, 0, -1)
				}
			default:
				if err = l.Close(); !l.closed {
					l.closed = true
					add(l.room, -1, -len(l.in))
				} else if r.IntN(2) == 0 {
					leases = append(leases[:i], leases[i+1:]...)
				}
			}
			if err != wantErr || e.Current(l.room) != want[l.room] {
				require.Fail(t, "wrong", "step %d: error %v, want %v; counts %+v, want %+v", n, err, wantErr, e.Current(l.room), want[l.room])
			}
			if n%9 == 0 {
				time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
			}
		}
	})
}

func TestLease_NilCloseDoesNothing(t *testing.T) {
	var l *occupancy.Lease
	must(t, l.Close(), l.Close())
}

func TestLease_RoomIsItsName(t *testing.T) {
	bubble(t, "open, closed, and after the engine's Close", func(t *testing.T) {
		e := newEngine(t)
		byName := connect(t, e, "lobby")
		byHandle, err := e.Room("attic").Connect()
		must(t, err)
		rooms := func() []string { return []string{byName.Room(), byHandle.Room()} }
		require.Equal(t, []string{"lobby", "attic"}, rooms())
		must(t, byName.Close())
		time.Sleep(3 * interval) // the room is dropped
		require.Equal(t, []string{"lobby", "attic"}, rooms())
		must(t, e.Close(), byHandle.Close())
		require.Equal(t, []string{"lobby", "attic"}, rooms())
	})
}

func TestLease_HasAnyNumberOfClients(t *testing.T) {
	for _, clients := range []int{1, 2, 8, 9, 10, 11, 100} {
		for _, reverse := range []bool{false, true} {
			e := occupancy.New()
			l, err := e.Connect("room")
			require.NoError(t, err)
			id := func(i int) string { return fmt.Sprint("client", i) }
			want := func(members int) {
				t.Helper()
				require.Equal(t, counts(1, members, 0), e.Current("room"), "%d clients", clients)
			}
			for range 2 { // the second time after all have exited
				for i := range clients {
					require.NoError(t, l.Enter(id(i)))
					require.NoError(t, l.Enter(id(i)), "again")
					require.NoError(t, l.Enter(id(0)), "again")
					want(i + 1)
				}
				for i := range clients {
					k := i
					if reverse {
						k = clients - 1 - i
					}
					require.NoError(t, l.Exit(id(k)))
					require.ErrorIs(t, l.Exit(id(k)), occupancy.ErrNotEntered)
					want(clients - 1 - i)
				}
			}
			for i := range clients {
				require.NoError(t, l.Enter(id(i)))
			}
			want(clients)
			require.NoError(t, l.Close())
			require.Equal(t, occupancy.Occupancy{}, e.Current("room"))
			require.NoError(t, e.Close())
		}
	}
}
