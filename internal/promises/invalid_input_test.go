package promises_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

var (
	invalid = []string{"", strings.Repeat("x", 1025), "\xff", "a\xc3", "\xed\xa0\x80", strings.Repeat("é", 513)}
	valid   = []string{"x", strings.Repeat("x", 1024), strings.Repeat("é", 512), "\x00", " ", "a/b c?&ä\n世界", "\ufffd"}
)

func TestInvalidInput_RoomNameIsRefusedAndChangesNothing(t *testing.T) {
	for i, name := range invalid {
		bubble(t, fmt.Sprintf("name %d", i), func(t *testing.T) {
			e := newEngine(t)
			must(t, e.Join("other"), e.Enter("other", "c"))
			w := watch(t, e)
			wantRooms(t, w, byRoom{"other": occ(1, 1)})
			time.Sleep(2 * interval)
			stats := quietStats(e)

			require.ErrorIs(t, occupancy.ValidRoom(name), occupancy.ErrInvalidRoom)
			r, ctx := e.Room(name), context.Background()
			require.Equal(t, name, r.Name())
			calls := map[string]func() error{
				"Join": func() error { return e.Join(name) }, "Leave": func() error { return e.Leave(name) },
				"Enter": func() error { return e.Enter(name, "c") }, "Exit": func() error { return e.Exit(name, "c") },
				"Room.Join": r.Join, "Room.Leave": r.Leave, "Room.Enter": func() error { return r.Enter("c") }, "Room.Exit": func() error { return r.Exit("c") },
				"Get":       func() error { _, err := e.Get(ctx, name); return err },
				"Room.Get":  func() error { _, err := r.Get(ctx); return err },
				"Set":       func() error { return remote(t, e, "node").Set(part(name, occ(1, 1))) },
				"Set empty": func() error { return remote(t, e, "node").Set(part(name, occ(0, 0))) },
				"Connect": func() error {
					c, err := e.Connect(name)
					require.Nil(t, c)
					return err
				},
				"Connect as":    func() error { _, err := e.Connect(name, occupancy.As("c")); return err },
				"Session.Join":  func() error { return e.Session("c").Join(name) },
				"Session.Leave": func() error { return e.Session("c").Leave(name) },
				"Session.Enter": func() error { return e.Session("c").Enter(name) },
				"Session.Exit":  func() error { return e.Session("c").Exit(name) },
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
				require.ErrorIs(t, f(), occupancy.ErrInvalidRoom, call)
				require.ErrorIs(t, f(), occupancy.ErrInvalidRoom, call)
			}
			for _, o := range []occupancy.Occupancy{e.Current(name), e.Local(name), r.Current(), r.Local()} {
				require.Equal(t, occ(0, 0), o)
			}
			time.Sleep(2 * interval)
			require.Equal(t, stats, quietStats(e))
			require.Equal(t, byRoom{"other": occ(1, 1)}, maps.Collect(e.All()))
			wantRooms(t, w, byRoom{})
		})
	}
	bubble(t, "valid names are accepted", func(t *testing.T) {
		e := newEngine(t)
		want := byRoom{}
		for _, name := range valid {
			must(t, occupancy.ValidRoom(name), e.Join(name), e.Room(name).Enter("c"), remote(t, e, "node").Set(part(name, occ(0, 0))))
			want[name] = occ(1, 1)
		}
		require.Equal(t, want, maps.Collect(e.All()))
	})
}

func TestInvalidInput_EachRefusalHasItsErrorAndChangesNothing(t *testing.T) {
	bubble(t, "Leave and Exit without a Join or Enter", func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		for _, v := range []hooks{byName(e, "r"), byHandle(e.Room("r"))} {
			// The room does not exist, has only members or connections, and has emptied.
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
		readAll(t, w)
		require.Empty(t, maps.Collect(e.All()))
	})
	bubble(t, "room without connections of this process", func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		receive(t, s)
		must(t, remote(t, e, "node").Set(part("r", occ(4, 4)))) // cannot be left by this process
		receive(t, s)
		require.ErrorIs(t, e.Leave("r"), occupancy.ErrNotJoined)
		require.ErrorIs(t, e.Exit("r", "c"), occupancy.ErrNotEntered)
		time.Sleep(2 * interval)
		noEvent(t, s)
		require.Equal(t, occ(4, 4), e.Current("r"))
	})
	bubble(t, "client ID", func(t *testing.T) {
		e := newEngine(t)
		c := connect(t, e, "r")
		for _, id := range invalid {
			require.ErrorIs(t, occupancy.ValidClientID(id), occupancy.ErrInvalidClientID)
			require.ErrorIs(t, c.Enter(id), occupancy.ErrInvalidClientID)
			require.ErrorIs(t, c.Exit(id), occupancy.ErrNotEntered)
			require.ErrorIs(t, e.Session(id).Enter("r"), occupancy.ErrInvalidClientID)
			_, err := e.Connect("r", occupancy.As(id))
			require.ErrorIs(t, err, occupancy.ErrInvalidClientID)
		}
		require.Equal(t, occ(1, 0), e.Current("r"))
		for i, id := range valid {
			must(t, occupancy.ValidClientID(id), c.Enter(id))
			require.Equal(t, occ(1, i+1), e.Current("r"))
		}
		must(t, c.Close())
		require.Equal(t, occ(0, 0), e.Current("r"))
	})
	t.Run("distinct errors", func(t *testing.T) {
		all := []occupancy.Error{
			occupancy.ErrClosed, occupancy.ErrInvalidRoom, occupancy.ErrInvalidClientID, occupancy.ErrTooManyRooms,
			occupancy.ErrRoomFull, occupancy.ErrNotJoined, occupancy.ErrNotEntered, occupancy.ErrCount, occupancy.ErrLinked,
		}
		for i, err := range all {
			require.True(t, strings.HasPrefix(err.Error(), "occupancy: "), err)
			for j, other := range all {
				require.Equal(t, i == j, errors.Is(fmt.Errorf("wrapped: %w", err), other))
			}
		}
	})
	t.Run("New panics on invalid options", func(t *testing.T) {
		require.Panics(t, func() { occupancy.New(occupancy.WithInterval(-1)) })
		require.Panics(t, func() { occupancy.New(occupancy.WithInterval(math.MinInt64)) })
		require.Panics(t, func() { occupancy.New(occupancy.WithMaxRooms(-1)) })
	})
}
