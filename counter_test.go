package occupancy

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// edges are the counts where a field begins, borrows, carries or is full.
var edges = []uint64{0, 1, 2, 3, 1 << 15, maxCount - 3, maxCount - 2, maxCount - 1, maxCount}

// words calls f with every word that a room near an edge can have.
func words(f func(w, conns, mems, flags uint64)) {
	for _, conns := range edges {
		for _, mems := range edges {
			if conns == maxCount && mems == maxCount {
				continue // no room gets there: see plus
			}
			for _, flags := range []uint64{0, held, idle, held | idle} {
				f(conns*connection|mems*member|flags, conns, mems, flags)
			}
		}
	}
}

func TestPromise1_AWordHoldsTwoCountsAndTwoFlags(t *testing.T) {
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

func TestPromise1_AStepMovesOneCountByOneOrNothing(t *testing.T) {
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

func TestPromise1_ThePlainStepsAreExactOrRefuse(t *testing.T) {
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
			// They leave to others what begins or ends a room, what the publisher does
			// not have, and what is near the end of its field.
			var c counter
			c.word.Store(w)
			attended, common := flags&idle == 0, s.n <= 1<<15
			up, err := plus(w, s.one)
			may := attended && !absent(w) && err == nil
			if s.up(&c) {
				require.True(t, may, at)
				require.Equal(t, up, c.word.Load(), at)
			} else {
				require.False(t, may && common, at)
				require.Equal(t, w, c.word.Load(), at)
			}

			c.word.Store(w)
			down := minus(w, s.one, 1)
			may = attended && s.n > 0 && !absent(down)
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

func TestPromise1_ARetiredWordNeverChanges(t *testing.T) {
	e := New()
	defer e.Close()
	c := &cell{name: "r"}
	c.word.Store(retired)
	require.False(t, c.tryJoin())
	require.False(t, c.tryLeave())
	require.False(t, c.tryEnter())
	require.False(t, c.tryExit())
	require.Zero(t, c.local())
	ok, err := e.pub.change(c, func(uint64) (uint64, error) { panic("asked for a step") })
	require.False(t, ok)
	require.NoError(t, err)
	require.Equal(t, retired, c.word.Load())

	// Nor does it stand in the way of its name.
	e.rooms.cells.Store("r", c)
	require.Zero(t, e.Current("r"))
	require.ErrorIs(t, e.Leave("r"), ErrNotJoined)
	require.NoError(t, e.Join("r"))
	require.Equal(t, Occupancy{1, 0}, e.Current("r"))
	require.Equal(t, retired, c.word.Load())
}

func TestPromise1_SumsStopAtWhatARoomHolds(t *testing.T) {
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

func TestPromise8_CountsThatCannotBeAreRefused(t *testing.T) {
	wrong := []Occupancy{{-1, 0}, {0, -1}, {math.MinInt, 0}, {0, math.MinInt}}
	if most := maxCount; most < math.MaxInt { // an int of 32 bits cannot say more
		wrong = append(wrong, Occupancy{most + 1, 0}, Occupancy{0, most + 1}, Occupancy{math.MaxInt, math.MaxInt})
	}
	for _, o := range wrong {
		w, err := pack(o)
		require.ErrorIs(t, err, ErrCount)
		require.Zero(t, w)
	}
}

// A room that nobody could fill in a test's time, by all three kinds of hooks.
func TestPromise1_AFullRoomRefusesAndStaysAsItIs(t *testing.T) {
	verbs := map[string]func(e *Engine) (join, leave, enter, exit func() error){
		"name": func(e *Engine) (_, _, _, _ func() error) {
			by := func(f func(string) error) func() error { return func() error { return f("r") } }
			return by(e.Join), by(e.Leave), by(e.Enter), by(e.Exit)
		},
		"handle": func(e *Engine) (_, _, _, _ func() error) {
			r := e.Room("r")
			return r.Join, r.Leave, r.Enter, r.Exit
		},
	}
	for name, of := range verbs {
		for _, free := range []bool{false, true} { // whether the publisher has let go of it
			t.Run(fmt.Sprintf("%s/free=%v", name, free), func(t *testing.T) {
				e := New()
				defer e.Close()
				require.NoError(t, e.Join("r"))
				c, _ := e.rooms.find("r")
				fill := func(conns, mems uint64) {
					flags := uint64(0)
					if free {
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
				require.ErrorIs(t, leave(), ErrNotJoined) // borrows nothing
				full(0, maxCount)
				fill(maxCount, 0)
				require.ErrorIs(t, exit(), ErrNotEntered)
				full(maxCount, 0)
			})
		}
	}
}
