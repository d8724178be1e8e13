package occupancy

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// The maximum of each field of a word.
const (
	maxConns   uint64 = 1<<31 - 1
	maxMembers uint64 = 1<<30 - 1
)

// boundaries returns the counts at which a field with this maximum borrows, carries or is
// nearly full.
func boundaries(most uint64) []uint64 {
	return []uint64{0, 1, 2, 3, 1 << 15, most - 3, most - 2, most - 1, most}
}

// words calls f with every combination of boundary counts and flags.
func words(f func(w, conns, mems, flags uint64)) {
	for _, conns := range boundaries(maxConns) {
		for _, mems := range boundaries(maxMembers) {
			if conns == maxConns && mems == maxMembers {
				continue // not reachable: see plus
			}
			for _, attached := range []uint64{0, queued, idle, queued | idle} {
				for _, flags := range []uint64{attached, attached | held} {
					f(conns*connection|mems*member|flags, conns, mems, flags)
				}
			}
		}
	}
}

func TestCounter_WordHoldsTwoCountsAndThreeFlags(t *testing.T) {
	fields := []uint64{held, queued, memberMask, connectionMask, idle}
	sum, all := uint64(0), uint64(0)
	for _, f := range fields {
		sum, all = sum+f, all|f
	}
	require.Equal(t, uint64(math.MaxUint64), all, "the fields fill the word")
	require.Equal(t, all, sum, "and do not overlap")
	require.Equal(t, countMask, connectionMask|memberMask)
	words(func(w, conns, mems, flags uint64) {
		require.Equal(t, Occupancy{int(conns), int(mems)}, unpack(countsOf(w)))
		packed, err := pack(Occupancy{int(conns), int(mems)})
		require.NoError(t, err)
		require.Equal(t, packed, countsOf(w))
		require.Equal(t, flags, w&^countMask)
	})
}

func TestCounter_PackedOccupancyHoldsLargerCountsThanAWord(t *testing.T) {
	for _, conns := range boundaries(maxCount) {
		for _, mems := range boundaries(maxCount) {
			o := Occupancy{int(conns), int(mems)}
			packed, err := pack(o)
			require.NoError(t, err)
			require.Equal(t, o, unpack(packed))
		}
	}
}

func TestCounter_PlusAndMinusChangeOneCount(t *testing.T) {
	words(func(w, conns, mems, flags uint64) {
		at := fmt.Sprintf("connections %d, members %d, flags %x", conns, mems, flags)
		for _, s := range []struct{ one, n, most, other, otherMost uint64 }{
			{connection, conns, maxConns, mems, maxMembers},
			{member, mems, maxMembers, conns, maxConns},
		} {
			up, err := plus(w, s.one)
			if full := s.n == s.most || s.n == s.most-1 && s.other == s.otherMost; full {
				require.ErrorIs(t, err, ErrCount, at)
				require.Equal(t, w, up, at)
			} else {
				require.NoError(t, err, at)
				require.Equal(t, w+s.one, up, at)
				require.Equal(t, flags, up&^countMask, at)
			}
			require.NotEqual(t, retired, up|idle|queued|held, at)

			for _, many := range []uint64{0, 1, 2, maxCount} {
				want := w - min(s.n, many)*s.one
				require.Equal(t, want, minus(w, s.one, many), "%s, %d less", at, many)
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
			may := busy && w&countMask != 0 && err == nil
			if s.up(&c) {
				require.True(t, may, at)
				require.Equal(t, up, c.word.Load(), at)
			} else {
				require.False(t, may && common, at)
				require.Equal(t, w, c.word.Load(), at)
			}

			c.word.Store(w)
			down := minus(w, s.one, 1)
			may = busy && s.n > 0 && down&countMask != 0
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
	ok, err := e.pub.change(c, true, func(uint64) (uint64, error) { panic("step called") })
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
	packed := func(f func(packed, conns, mems uint64)) {
		for _, conns := range boundaries(maxCount) {
			for _, mems := range boundaries(maxCount) {
				f(conns<<32|mems, conns, mems)
			}
		}
	}
	packed(func(a, ac, am uint64) {
		packed(func(b, bc, bm uint64) {
			want := Occupancy{int(min(ac+bc, maxCount)), int(min(am+bm, maxCount))}
			total, fits := add(a, b)
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
		for at, flags := range map[string]uint64{"detached": 0, "queued": queued, "idle": idle} {
			t.Run(name+"/"+at, func(t *testing.T) {
				e := New()
				defer e.Close()
				require.NoError(t, e.Join("r"))
				c, _ := e.rooms.find("r")
				fill := func(conns, mems uint64) {
					c.word.Store(conns*connection | mems*member | flags)
				}
				full := func(conns, mems uint64) { require.Equal(t, Occupancy{int(conns), int(mems)}, e.Current("r")) }
				join, leave, enter, exit := of(e)

				fill(maxConns-1, 7)
				require.NoError(t, join())
				full(maxConns, 7)
				for range 3 {
					require.ErrorIs(t, join(), ErrCount)
				}
				_, err := e.Connect("r")
				require.ErrorIs(t, err, ErrCount)
				full(maxConns, 7)
				require.NoError(t, enter())
				require.NoError(t, exit())
				full(maxConns, 7)
				require.NoError(t, leave())
				full(maxConns-1, 7)

				fill(7, maxMembers-1)
				require.NoError(t, enter())
				full(7, maxMembers)
				for range 3 {
					require.ErrorIs(t, enter(), ErrCount)
				}
				full(7, maxMembers)
				conn, err := e.Connect("r")
				require.NoError(t, err)
				full(8, maxMembers)
				require.ErrorIs(t, conn.Enter("late"), ErrCount)
				require.ErrorIs(t, conn.Exit("late"), ErrNotEntered)
				require.NoError(t, conn.Close())
				full(7, maxMembers)
				require.NoError(t, exit())
				full(7, maxMembers-1)

				fill(0, maxMembers)
				require.ErrorIs(t, leave(), ErrNotJoined) // does not borrow from the other field
				full(0, maxMembers)
				fill(maxConns, 0)
				require.ErrorIs(t, exit(), ErrNotEntered)
				full(maxConns, 0)
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
	e.rooms.live("connections").word.Add(connectionMask - connection)
	e.rooms.live("members").word.Add(memberMask - member)
	require.ErrorIs(t, e.Join("connections"), ErrCount)
	require.ErrorIs(t, e.Enter("members", "c"), ErrCount)
	require.Equal(t, Refused{Count: 2}, e.Stats().Refused)
}
