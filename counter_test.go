package occupancy

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// boundaries are the counts at which a field borrows, carries or is nearly full.
var boundaries = []uint64{0, 1, 2, 3, 1 << 15, maxCount - 3, maxCount - 2, maxCount - 1, maxCount}

// words calls f with every combination of boundary counts and flags.
func words(f func(w, conns, mems, flags uint64)) {
	for _, conns := range boundaries {
		for _, mems := range boundaries {
			if conns == maxCount && mems == maxCount {
				continue // not reachable: see plus
			}
			for _, flags := range []uint64{0, held, idle, held | idle} {
				f(conns*connection|mems*member|flags, conns, mems, flags)
			}
		}
	}
}

func TestCounter_WordHoldsTwoCountsAndTwoFlags(t *testing.T) {
	require.Equal(t, uint64(math.MaxUint64), counts|held|idle, "the fields fill the word")
	require.Zero(t, connections&members)
	require.Zero(t, counts&(held|idle))
	words(func(w, conns, mems, flags uint64) {
		require.Equal(t, Occupancy{int(conns), int(mems)}, unpack(w))
		packed, err := pack(unpack(w))
		require.NoError(t, err)
		require.Equal(t, w&counts, packed)
		require.Equal(t, flags, w&^counts)
	})
}

func TestCounter_PlusAndMinusChangeOneCount(t *testing.T) {
	words(func(w, conns, mems, flags uint64) {
		at := fmt.Sprintf("connections %d, members %d, flags %x", conns, mems, flags)
		for _, one := range []uint64{connection, member} {
			n, other := conns, mems
			if one == member {
				n, other = mems, conns
			}

			up, err := plus(w, one)
			if full := n == maxCount || n == maxCount-1 && other == maxCount; full {
				require.ErrorIs(t, err, ErrCount, at)
				require.Equal(t, w, up, at)
			} else {
				require.NoError(t, err, at)
				require.Equal(t, w+one, up, at)
				require.Equal(t, flags, up&^counts, at)
			}
			require.NotEqual(t, retired, up|idle|held, at)

			for _, many := range []uint64{0, 1, 2, maxCount} {
				want := w - min(n, many)*one
				require.Equal(t, want, minus(w, one, many), "%s, %d less", at, many)
			}
		}
	})
}

func TestCounter_TryStepsAreExactOrRefuse(t *testing.T) {
	words(func(w, conns, mems, flags uint64) {
		at := fmt.Sprintf("connections %d, members %d, flags %x", conns, mems, flags)
		for _, s := range []struct {
			one      uint64
			n        uint64
			up, down func(*counter) bool
		}{
			{connection, conns, (*counter).tryJoin, (*counter).tryLeave},
			{member, mems, (*counter).tryEnter, (*counter).tryExit},
		} {
			// A step refuses to begin or end a room, to change an idle room, and to bring
			// a count near its maximum.
			var c counter
			c.word.Store(w)
			busy, common := flags&idle == 0, s.n <= 1<<15
			up, err := plus(w, s.one)
			may := busy && w&counts != 0 && err == nil
			if s.up(&c) {
				require.True(t, may, at)
				require.Equal(t, up, c.word.Load(), at)
			} else {
				require.False(t, may && common, at)
				require.Equal(t, w, c.word.Load(), at)
			}

			c.word.Store(w)
			down := minus(w, s.one, 1)
			may = busy && s.n > 0 && down&counts != 0
			if s.down(&c) {
				require.True(t, may, at)
				require.Equal(t, down, c.word.Load(), at)
			} else {
				require.False(t, may && common, at)
				require.Equal(t, w, c.word.Load(), at)
			}
		}
	})
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
	ok, err := e.pub.change(c, func(uint64) (uint64, error) { panic("step called") })
	require.False(t, ok)
	require.NoError(t, err)
	require.Equal(t, retired, c.word.Load())

	// The name can be used again.
	e.rooms.cells.Store("r", c)
	require.Zero(t, e.Current("r"))
	require.ErrorIs(t, e.Leave("r"), ErrNotJoined)
	require.NoError(t, e.Join("r"))
	require.Equal(t, Occupancy{1, 0}, e.Current("r"))
	require.Equal(t, retired, c.word.Load())
}

func TestCounter_AddIsCappedAtTheMaximum(t *testing.T) {
	words(func(a, ac, am, _ uint64) {
		words(func(b, bc, bm, flags uint64) {
			if flags != 0 {
				return
			}
			want := Occupancy{int(min(ac+bc, maxCount)), int(min(am+bm, maxCount))}
			total, fits := add(a&counts, b)
			require.Equal(t, want, unpack(total))
			require.Equal(t, ac+bc <= maxCount && am+bm <= maxCount, fits)
		})
	})
}

func TestCounter_PackRefusesImpossibleCounts(t *testing.T) {
	wrong := []Occupancy{{-1, 0}, {0, -1}, {math.MinInt, 0}, {0, math.MinInt}}
	if most := maxCount; most < math.MaxInt { // an int of 32 bits has no larger value
		wrong = append(wrong, Occupancy{most + 1, 0}, Occupancy{0, most + 1}, Occupancy{math.MaxInt, math.MaxInt})
	}
	for _, o := range wrong {
		w, err := pack(o)
		require.ErrorIs(t, err, ErrCount)
		require.Zero(t, w)
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
		for _, quiet := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/idle=%v", name, quiet), func(t *testing.T) {
				e := New()
				defer e.Close()
				require.NoError(t, e.Join("r"))
				c, _ := e.rooms.find("r")
				fill := func(conns, mems uint64) {
					flags := uint64(0)
					if quiet {
						flags = idle
					}
					c.word.Store(conns*connection | mems*member | flags)
				}
				full := func(conns, mems int) { require.Equal(t, Occupancy{conns, mems}, e.Current("r")) }
				join, leave, enter, exit := of(e)

				fill(maxCount-1, 7)
				require.NoError(t, join())
				full(maxCount, 7)
				for range 3 {
					require.ErrorIs(t, join(), ErrCount)
				}
				_, err := e.Connect("r")
				require.ErrorIs(t, err, ErrCount)
				full(maxCount, 7)
				require.NoError(t, enter())
				require.NoError(t, exit())
				full(maxCount, 7)
				require.NoError(t, leave())
				full(maxCount-1, 7)

				fill(7, maxCount-1)
				require.NoError(t, enter())
				full(7, maxCount)
				for range 3 {
					require.ErrorIs(t, enter(), ErrCount)
				}
				full(7, maxCount)
				conn, err := e.Connect("r")
				require.NoError(t, err)
				full(8, maxCount)
				require.ErrorIs(t, conn.Enter("late"), ErrCount)
				require.ErrorIs(t, conn.Exit("late"), ErrNotEntered)
				require.NoError(t, conn.Close())
				full(7, maxCount)
				require.NoError(t, exit())
				full(7, maxCount-1)

				fill(0, maxCount)
				require.ErrorIs(t, leave(), ErrNotJoined) // does not borrow from the other field
				full(0, maxCount)
				fill(maxCount, 0)
				require.ErrorIs(t, exit(), ErrNotEntered)
				full(maxCount, 0)
			})
		}
	}
}

func TestCounter_StateOfWord(t *testing.T) {
	words(func(w, conns, mems, flags uint64) {
		want := absent
		switch {
		case conns > 0 || mems > 0:
			want = occupied
		case flags&held != 0:
			want = heldOnly
		}
		require.Equal(t, want, stateOf(w), "connections %d, members %d, flags %x", conns, mems, flags)
	})
}

func TestCounter_RefusedFullCountIsPartOfStats(t *testing.T) {
	e := New()
	defer e.Close()
	require.NoError(t, e.Join("connections"))
	require.NoError(t, e.Enter("members", "c"))
	e.rooms.live("connections").word.Add(connections - connection)
	e.rooms.live("members").word.Add(members - member)
	require.ErrorIs(t, e.Join("connections"), ErrCount)
	require.ErrorIs(t, e.Enter("members", "c"), ErrCount)
	require.Equal(t, Refused{Count: 2}, e.Stats().Refused)
}
