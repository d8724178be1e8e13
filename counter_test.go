package occupancy

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// boundaries returns the counts at which a field with this maximum borrows, carries or is
// nearly full.
func boundaries(most uint64) []uint64 {
	return []uint64{0, 1, 2, 1 << 15, most - 2, most - 1, most}
}

// words calls f with every combination of boundary counts and flags.
func words(f func(w uint64, n counts, flags uint64)) {
	for _, conns := range boundaries(maxLocal) {
		for _, mems := range boundaries(maxLocal) {
			for _, users := range boundaries(maxLocal) {
				for _, attached := range []uint64{0, queued, idle} {
					for _, flags := range []uint64{attached, attached | held, attached | tracked, attached | held | tracked} {
						f(conns*connection|mems*member|users*user|flags, counts{uint32(conns), uint32(mems), uint32(users)}, flags)
					}
				}
			}
		}
	}
}

func TestCounter_WordHoldsThreeCountsAndFourFlags(t *testing.T) {
	fields := []uint64{held, queued, tracked, userMask, memberMask, connectionMask, idle}
	sum, all := uint64(0), uint64(0)
	for _, f := range fields {
		sum, all = sum+f, all|f
	}
	require.Equal(t, uint64(math.MaxUint64), all, "the fields fill the word")
	require.Equal(t, all, sum, "and do not overlap")
	words(func(w uint64, n counts, flags uint64) {
		if countsOf(w) != n || w&^countMask != flags || withCounts(flags, n) != w || w == retired {
			t.Fatalf("%#x: %+v, flags %x; want %+v, %x", w, countsOf(w), w&^countMask, n, flags)
		}
	})
}

func TestCounter_PlusAndMinusChangeTheCounts(t *testing.T) {
	words(func(w uint64, n counts, flags uint64) {
		for _, d := range []counts{{1, 0, 0}, {0, 1, 0}, {0, 1, 1}, {1, 3, 2}, {}, {1, maxLocal, maxLocal}} {
			up, err := plus(w, d)
			if n.connections+d.connections > maxLocal || n.members+d.members > maxLocal {
				if err != ErrCount || up != w {
					t.Fatalf("%+v plus %+v: %+v, %v", n, d, countsOf(up), err)
				}
			} else if n.users+d.users <= n.members+d.members { // users never exceed members
				want := counts{n.connections + d.connections, n.members + d.members, n.users + d.users}
				if err != nil || countsOf(up) != want || up&^countMask != flags {
					t.Fatalf("%+v plus %+v: %+v, %v", n, d, countsOf(up), err)
				}
			}
			want := counts{
				n.connections - min(n.connections, d.connections), n.members - min(n.members, d.members), n.users - min(n.users, d.users),
			}
			if down := minus(w, d); countsOf(down) != want || down&^countMask != flags {
				t.Fatalf("%+v minus %+v: %+v", n, d, countsOf(down))
			}
		}
	})
}

func TestCounter_TryStepsAreExactOrRefuse(t *testing.T) {
	words(func(w uint64, n counts, flags uint64) {
		for _, s := range []struct {
			one, n   uint64
			what     counts
			up, down func(*counter) bool
		}{
			{connection, uint64(n.connections), counts{1, 0, 0}, (*counter).tryJoin, (*counter).tryLeave},
			{member, uint64(n.members), counts{0, 1, 0}, (*counter).tryEnter, (*counter).tryExit},
		} {
			// A step refuses to begin or end a room, to change an idle room, and to change the
			// members of a room whose users are counted.
			may := flags&idle == 0 && (s.one == connection || flags&tracked == 0)
			var c counter
			check := func(what string, step func(*counter) bool, want uint64) {
				c.word.Store(w)
				did := step(&c)
				allowed := may && w&occupiedMask != 0 && want&occupiedMask != 0 && want != w
				if did != allowed || !did && c.word.Load() != w || did && c.word.Load() != want {
					t.Fatalf("%s of %+v, flags %x: %v, %+v", what, n, flags, did, countsOf(c.word.Load()))
				}
			}
			up, _ := plus(w, s.what)
			if n.users <= n.members {
				check("up", s.up, up)
			}
			check("down", s.down, minus(w, s.what))
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
	e.pub.change(c, func(uint64) (uint64, error) { panic("step called") })
	require.Equal(t, retired, c.word.Load())

	// The name can be used again.
	e.rooms.cells.Store("r", c)
	require.Zero(t, e.Current("r"))
	require.ErrorIs(t, e.Leave("r"), ErrNotJoined)
	require.NoError(t, e.Join("r"))
	require.Equal(t, Occupancy{1, 0, 0}, e.Current("r"))
	require.Equal(t, retired, c.word.Load())
}

func TestCounter_SumIsCappedAtTheMaximum(t *testing.T) {
	all := func(f func(n counts)) {
		for _, conns := range boundaries(maxCount) {
			for _, mems := range boundaries(maxCount) {
				for _, users := range boundaries(maxCount) {
					f(counts{uint32(conns), uint32(mems), uint32(users)})
				}
			}
		}
	}
	all(func(a counts) {
		all(func(b counts) {
			sum := func(a, b uint32) uint64 { return uint64(a) + uint64(b) }
			exact := [3]uint64{sum(a.connections, b.connections), sum(a.members, b.members), sum(a.users, b.users)}
			want := counts{uint32(min(exact[0], maxCount)), uint32(min(exact[1], maxCount)), uint32(min(exact[2], maxCount))}
			total, fits := a.plus(b)
			if total != want || fits != (exact[0] <= maxCount && exact[1] <= maxCount && exact[2] <= maxCount) {
				t.Fatalf("%+v plus %+v: %+v, %v", a, b, total, fits)
			}
		})
	})
}

func TestCounter_CountsRefuseImpossibleOccupancy(t *testing.T) {
	wrong := []Occupancy{{-1, 0, 0}, {0, -1, 0}, {0, 0, -1}, {math.MinInt, 0, 0}, {0, math.MinInt, 0}, {5, 1, 2}}
	if most := maxCount; most < math.MaxInt { // an int of 32 bits has no larger value
		wrong = append(wrong, Occupancy{most + 1, 0, 0}, Occupancy{0, most + 1, 0}, Occupancy{math.MaxInt, math.MaxInt, 0})
	}
	for _, o := range wrong {
		n, err := o.counts()
		require.ErrorIs(t, err, ErrCount)
		require.Zero(t, n)
	}
	for _, o := range []Occupancy{{}, {1, 2, 1}, {maxCount, maxCount, maxCount}} {
		n, err := o.counts()
		require.NoError(t, err)
		require.Equal(t, o, n.occupancy())
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
				c, _ := e.rooms.cells.Load("r")
				fill := func(conns, mems uint64) {
					c.word.Store(conns*connection | mems*member | flags)
				}
				full := func(conns, mems uint64) { require.Equal(t, Occupancy{int(conns), int(mems), 0}, e.Current("r")) }
				join, leave, enter, exit := of(e)

				fill(maxLocal-1, 7)
				require.NoError(t, join())
				full(maxLocal, 7)
				for range 3 {
					require.ErrorIs(t, join(), ErrCount)
				}
				_, err := e.Connect("r")
				require.ErrorIs(t, err, ErrCount)
				full(maxLocal, 7)
				require.NoError(t, enter())
				require.NoError(t, exit())
				full(maxLocal, 7)
				require.NoError(t, leave())
				full(maxLocal-1, 7)

				fill(7, maxLocal-1)
				require.NoError(t, enter())
				full(7, maxLocal)
				for range 3 {
					require.ErrorIs(t, enter(), ErrCount)
				}
				full(7, maxLocal)
				conn, err := e.Connect("r")
				require.NoError(t, err)
				full(8, maxLocal)
				require.ErrorIs(t, conn.Enter("late"), ErrCount)
				require.ErrorIs(t, conn.Exit("late"), ErrNotEntered)
				require.NoError(t, conn.Close())
				full(7, maxLocal)
				require.NoError(t, exit())
				full(7, maxLocal-1)

				fill(0, maxLocal)
				require.ErrorIs(t, leave(), ErrNotJoined) // does not borrow from the other field
				full(0, maxLocal)
				fill(maxLocal, 0)
				require.ErrorIs(t, exit(), ErrNotEntered)
				full(maxLocal, 0)
			})
		}
	}
}

func TestCounter_StateOfWord(t *testing.T) {
	words(func(w uint64, n counts, flags uint64) {
		want := absent
		switch {
		case n.connections|n.members != 0:
			want = occupied
		case flags&held != 0:
			want = heldOnly
		}
		if stateOf(w) != want {
			t.Fatalf("%+v, flags %x: state %d, want %d", n, flags, stateOf(w), want)
		}
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
