package occupancy_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

var (
	badNames  = []string{"", strings.Repeat("x", 1025), "\xff", "a\xc3", "\xed\xa0\x80", strings.Repeat("é", 513)}
	goodNames = []string{"x", strings.Repeat("x", 1024), strings.Repeat("é", 512), "\x00", " ", "a/b c?&ä\n世界", "\ufffd"}
)

func TestPromise8_ABadRoomNameIsRefusedAndChangesNothing(t *testing.T) {
	for i, name := range badNames {
		bubble(t, fmt.Sprintf("bad %d", i), func(t *testing.T) {
			e := start(t)
			must(t, e.Join("there"), e.Enter("there"))
			w := watch(t, e)
			hears(t, w, byRoom{"there": occ(1, 1)})
			time.Sleep(2 * interval)
			stats := holds(e)

			r, ctx := e.Room(name), context.Background()
			require.Equal(t, name, r.Name())
			calls := map[string]func() error{
				"Join": func() error { return e.Join(name) }, "Leave": func() error { return e.Leave(name) },
				"Enter": func() error { return e.Enter(name) }, "Exit": func() error { return e.Exit(name) },
				"Room.Join": r.Join, "Room.Leave": r.Leave, "Room.Enter": r.Enter, "Room.Exit": r.Exit,
				"Get":       func() error { _, err := e.Get(ctx, name); return err },
				"Room.Get":  func() error { _, err := r.Get(ctx); return err },
				"Set":       func() error { return e.Remote("node").Set(name, occ(1, 1)) },
				"Set empty": func() error { return e.Remote("node").Set(name, occ(0, 0)) },
				"Connect": func() error {
					c, err := e.Connect(name)
					require.Nil(t, c)
					return err
				},
				"Room.Connect": func() error {
					c, err := r.Connect()
					require.Nil(t, c)
					return err
				},
				"Subscribe": func() error {
					s, err := e.Subscribe(name)
					require.Nil(t, s)
					return err
				},
				"Room.Subscribe": func() error {
					s, err := r.Subscribe()
					require.Nil(t, s)
					return err
				},
			}
			for call, f := range calls {
				require.ErrorIs(t, f(), occupancy.ErrRoomName, call)
				require.ErrorIs(t, f(), occupancy.ErrRoomName, call)
			}
			for _, o := range []occupancy.Occupancy{e.Current(name), e.Local(name), r.Current(), r.Local()} {
				require.Equal(t, occ(0, 0), o)
			}
			time.Sleep(2 * interval)
			require.Equal(t, stats, holds(e))
			require.Equal(t, byRoom{"there": occ(1, 1)}, maps.Collect(e.All()))
			hears(t, w, byRoom{})
		})
	}
	bubble(t, "but every good one is taken", func(t *testing.T) {
		e := start(t)
		want := byRoom{}
		for _, name := range goodNames {
			must(t, e.Join(name), e.Room(name).Enter())
			want[name] = occ(1, 1)
		}
		require.Equal(t, want, maps.Collect(e.All()))
	})
}

func TestPromise8_EveryRefusalHasItsErrorAndChangesNothing(t *testing.T) {
	bubble(t, "by hooks", func(t *testing.T) {
		e := start(t)
		w := watch(t, e)
		for _, v := range []verbs{byName(e, "r"), byHandle(e, "r")} {
			// In a room that is not, one of the other kind only, and one that emptied.
			for range 2 {
				require.ErrorIs(t, v.leave(), occupancy.ErrNotJoined)
				require.ErrorIs(t, v.exit(), occupancy.ErrNotEntered)
				require.Zero(t, e.Stats().Rooms)
				must(t, v.join())
				require.ErrorIs(t, v.exit(), occupancy.ErrNotEntered)
				require.Equal(t, occ(1, 0), e.Current("r"))
				must(t, v.leave(), v.enter())
				require.ErrorIs(t, v.leave(), occupancy.ErrNotJoined)
				require.Equal(t, occ(0, 1), e.Current("r"))
				must(t, v.exit())
				require.ErrorIs(t, v.exit(), occupancy.ErrNotEntered)
				require.ErrorIs(t, v.leave(), occupancy.ErrNotJoined)
				require.Equal(t, occ(0, 0), e.Current("r"))
				time.Sleep(2 * interval)
			}
		}
		news(t, w)
		require.Empty(t, maps.Collect(e.All()))
	})
	bubble(t, "in a room that is only listened to", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		waiting(t, s)
		must(t, e.Remote("node").Set("r", occ(4, 4))) // another node's are not ours to leave
		waiting(t, s)
		require.ErrorIs(t, e.Leave("r"), occupancy.ErrNotJoined)
		require.ErrorIs(t, e.Exit("r"), occupancy.ErrNotEntered)
		time.Sleep(2 * interval)
		silent(t, s)
		require.Equal(t, occ(4, 4), e.Current("r"))
	})
	bubble(t, "by a bad client id", func(t *testing.T) {
		e := start(t)
		c, err := e.Connect("r")
		must(t, err)
		for _, id := range badNames {
			require.ErrorIs(t, c.Enter(id), occupancy.ErrClientID)
			require.ErrorIs(t, c.Exit(id), occupancy.ErrNotEntered)
		}
		require.Equal(t, occ(1, 0), e.Current("r"))
		for i, id := range goodNames {
			must(t, c.Enter(id))
			require.Equal(t, occ(1, i+1), e.Current("r"))
		}
		must(t, c.Close())
		require.Equal(t, occ(0, 0), e.Current("r"))
	})
	t.Run("with errors that say whose they are", func(t *testing.T) {
		all := []occupancy.Error{
			occupancy.ErrClosed, occupancy.ErrRoomName, occupancy.ErrClientID, occupancy.ErrTooManyRooms,
			occupancy.ErrNotJoined, occupancy.ErrNotEntered, occupancy.ErrCount,
		}
		for i, err := range all {
			require.True(t, strings.HasPrefix(err.Error(), "occupancy: "), err)
			for j, other := range all {
				require.Equal(t, i == j, errors.Is(fmt.Errorf("wrapped: %w", err), other))
			}
		}
	})
	t.Run("and options that mean nothing panic", func(t *testing.T) {
		require.Panics(t, func() { occupancy.New(occupancy.WithInterval(-1)) })
		require.Panics(t, func() { occupancy.New(occupancy.WithInterval(math.MinInt64)) })
		require.Panics(t, func() { occupancy.New(occupancy.WithMaxRooms(-1)) })
	})
}

func TestPromise8_MaxRoomsIsExact(t *testing.T) {
	bubble(t, "a room is free with its last Leave, at once", func(t *testing.T) {
		e := start(t, occupancy.WithMaxRooms(2))
		w := watch(t, e) // which never reads
		conn, err := e.Connect("a")
		must(t, err, conn.Enter("x"), conn.Enter("y"), e.Enter("b"))
		full := func(room string) {
			t.Helper()
			v := byHandle(e, room)
			_, subErr := e.Subscribe(room)
			_, connErr := e.Connect(room)
			for _, err := range []error{e.Join(room), e.Enter(room), v.join(), v.enter(), subErr, connErr, e.Remote("node").Set(room, occ(1, 0))} {
				require.ErrorIs(t, err, occupancy.ErrTooManyRooms)
			}
			require.Equal(t, 2, e.Stats().Rooms)
			require.Equal(t, occ(0, 0), e.Current(room))
		}
		full("c")
		must(t, e.Join("a"), e.Join("b"), e.Leave("b")) // those that exist take more
		full("c")
		must(t, e.Exit("b"), e.Join("c"))
		full("b")
		must(t, conn.Close())
		full("b")
		must(t, e.Leave("a"), e.Enter("b"))
		full("a")

		s := subscribe(t, e, "b")
		must(t, e.Exit("b"))
		full("a") // the subscription holds it
		s.Unsubscribe()
		node := e.Remote("node")
		must(t, node.Set("a", occ(0, 1)))
		full("b") // the other node's part holds it
		must(t, e.Join("a"), e.Leave("a"))
		full("b")
		must(t, node.Set("a", occ(0, 0)))
		s = subscribe(t, e, "b")
		full("a")
		must(t, e.Close())
		s.Unsubscribe()
		_ = w
	})
	bubble(t, "for rooms that begin and end while others wait for the end of the interval", func(t *testing.T) {
		e := start(t, occupancy.WithMaxRooms(1))
		for i := range 1000 {
			must(t, e.Join(room(i)))
			require.ErrorIs(t, e.Join("other"), occupancy.ErrTooManyRooms)
			must(t, e.Leave(room(i)))
		}
		must(t, e.Remote("node").Set("other", occ(1, 1)))
		require.ErrorIs(t, e.Join("one"), occupancy.ErrTooManyRooms)
	})
	bubble(t, "and zero is no limit", func(t *testing.T) {
		e := start(t, occupancy.WithMaxRooms(0))
		for i := range 1000 {
			must(t, e.Join(room(i)))
		}
	})
	bubble(t, "and a room refused leaves nothing behind", func(t *testing.T) {
		e := start(t, occupancy.WithMaxRooms(1))
		must(t, e.Join("r"))
		w, r, node := watch(t, e), e.Room("handle"), e.Remote("node")
		hears(t, w, byRoom{"r": occ(1, 0)})
		before := heap()
		for i := range 30_000 {
			_, err := e.Subscribe(room(i))
			if e.Join(room(i)) == nil || e.Enter(room(i)) == nil || r.Join() == nil || err == nil || node.Set(room(i), occ(1, 1)) == nil {
				t.Fatal("accepted")
			}
		}
		require.Less(t, heap(), before+128<<10)
		names := make([]string, 10_000)
		for i := range names {
			names[i] = "another " + room(i)
		}
		allocs := mallocs()
		for _, name := range names {
			if e.Join(name) == nil {
				t.Fatal("accepted")
			}
		}
		require.Less(t, mallocs()-allocs, uint64(len(names)/10)) // not even for a moment
		hears(t, w, byRoom{})
		require.Equal(t, byRoom{"r": occ(1, 0)}, maps.Collect(e.All()))
	})
}

// As many workers as rooms, each in one at a time: nobody may be refused. With more
// workers, no more may be in than the limit.
func TestPromise8_MaxRoomsIsExactInAStorm(t *testing.T) {
	const limit = 4
	for workers, refusals := range map[int]bool{limit: false, 3 * limit: true} {
		bubble(t, fmt.Sprintf("%d workers", workers), func(t *testing.T) {
			e := start(t, occupancy.WithInterval(0), occupancy.WithMaxRooms(limit))
			var in, refused atomic.Int64
			var wg sync.WaitGroup
			for i := range workers {
				node := e.Remote(strconv.Itoa(i))
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 12))
					for n := range 3000 {
						// Its own, so that its last Leave ends it; often of the same name as before.
						name := fmt.Sprint(i, "/", r.IntN(2))
						var err error
						var leave func() error
						switch r.IntN(5) {
						case 0:
							err, leave = e.Join(name), func() error { return e.Leave(name) }
						case 1:
							h := e.Room(name)
							err, leave = h.Enter(), h.Exit
						case 2:
							var c *occupancy.Conn
							c, err = e.Connect(name)
							leave = func() error { return errors.Join(c.Enter("a"), c.Close()) }
						case 3:
							var s *occupancy.Subscription
							s, err = e.Subscribe(name)
							leave = func() error { s.Unsubscribe(); return nil }
						case 4:
							err = node.Set(name, occ(1, 1))
							leave = func() error { return node.Set(name, occ(0, 0)) }
						}
						if err != nil {
							if refused.Add(1); !refusals || !errors.Is(err, occupancy.ErrTooManyRooms) {
								t.Errorf("refused: %v", err)
							}
							continue
						}
						if now := in.Add(1); now > limit {
							t.Errorf("%d rooms are there", now)
						}
						if now := e.Stats().Rooms; now < 1 || now > limit {
							t.Errorf("%d rooms are said to be there", now)
						}
						if n%50 == 0 {
							time.Sleep(time.Microsecond)
						}
						in.Add(-1)
						if err := leave(); err != nil {
							t.Errorf("leave: %v", err)
						}
					}
				})
			}
			wg.Wait()
			synctest.Wait()
			require.Equal(t, refusals, refused.Load() > 0)
			require.Zero(t, e.Stats().Rooms)
			for i := range limit {
				must(t, e.Join(room(i)))
			}
			require.ErrorIs(t, e.Join("more"), occupancy.ErrTooManyRooms)
		})
	}
}
