package stress

import (
	"errors"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// simultaneously calls f in two goroutines, round after round, for a third of a second. Both
// begin each round as simultaneously as two processors can, and check runs after it.
func simultaneously(f func(round, worker int), check func(round int)) {
	var at [3]atomic.Int64 // how often the start, the end, and the end of the check were reached
	await := func(i, n int) {
		for spins := 1; at[i].Load() < int64(n); spins++ {
			if spins%100 == 0 {
				runtime.Gosched() // there may be only one processor
			}
		}
	}
	begin, over := time.Now(), false
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for round := 0; !over; round++ {
				at[0].Add(1)
				await(0, 2*round+2)
				f(round, w)
				if at[1].Add(1) == int64(2*round+2) {
					check(round)
					over = time.Since(begin) > time.Second/3
					at[2].Add(1)
				}
				await(2, round+1)
			}
		})
	}
	wg.Wait()
}

// Only hooks and the publisher run here, so that two hooks of one room are simultaneous as
// often as possible.
func TestHooks_SimultaneousCallsAreAllCounted(t *testing.T) {
	// loop calls the two hooks simultaneously and returns how often.
	loop := func(t *testing.T, calls ...func() error) (times int) {
		simultaneously(func(_, worker int) {
			for range 500 {
				if times >= 250_000 { // with more, the counts would reach their maximum
					return
				}
				if err := calls[worker](); err != nil {
					t.Errorf("refused: %v", err)
					return
				}
			}
		}, func(int) {
			if times < 250_000 {
				times += 500
			}
		})
		return times
	}
	for _, name := range []string{"by name", "by handle"} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(time.Hour))
			must(t, e.Join("r"))
			v := byName(e, "r")
			if name == "by handle" {
				v = byHandle(e.Room("r"))
			}
			twice := func(hook, back func() error) func() error {
				return func() error { return errors.Join(hook(), hook(), back()) }
			}
			n := loop(t, twice(v.join, v.leave), twice(v.enter, v.exit))
			require.Equal(t, occ(n+1, n), e.Current("r"))
			n += loop(t, twice(v.join, v.leave), twice(v.join, v.leave)) * 2
			require.Equal(t, n+1, e.Current("r").Connections)
		})
	}
	t.Run("with the publisher, which drops the room", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		visit := func(v hooks) func() error {
			return func() error { return errors.Join(v.join(), v.leave()) }
		}
		loop(t, visit(byName(e, "r")), visit(byHandle(e.Room("r"))))
		require.Equal(t, occ(0, 0), e.Current("r"))
		require.Zero(t, e.Stats().Rooms)
	})
	t.Run("with a subscriber and a remote part", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		v, node := byName(e, "r"), remote(t, e, "node")
		loop(t, func() error { return errors.Join(v.join(), v.leave()) }, func() error {
			s, err := e.Subscribe("r")
			if err != nil {
				return err
			}
			err = errors.Join(node.Set(part("r", occ(1, 1))), node.Set(part("r", occ(0, 0))))
			s.Unsubscribe()
			return err
		})
		require.Equal(t, occ(0, 0), e.Current("r"))
		require.Zero(t, e.Stats().Rooms)
	})
}

func TestHooks_OneOfTwoSimultaneousLeavesSucceeds(t *testing.T) {
	e := newEngine(t, occupancy.WithInterval(time.Hour))
	must(t, e.Enter("r", "c")) // so that the room stays
	var accepted atomic.Int64
	must(t, e.Join("r"))
	simultaneously(func(int, int) {
		switch err := e.Leave("r"); err {
		case nil:
			accepted.Add(1)
		case occupancy.ErrNotJoined:
		default:
			t.Errorf("Leave: %v", err)
		}
	}, func(int) {
		if n, now := accepted.Swap(0), e.Current("r"); n != 1 || now != occ(0, 1) {
			t.Errorf("%d calls of Leave were accepted; %+v", n, now)
		}
		if err := e.Join("r"); err != nil {
			t.Errorf("Join: %v", err)
		}
	})
}

// One connection leaves the room while another joins. The Join must be counted also if the
// room becomes empty in between.
func TestHooks_JoinIsCountedWhileRoomBecomesEmpty(t *testing.T) {
	for _, d := range []time.Duration{0, time.Hour} {
		t.Run("interval "+d.String(), func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(d), occupancy.WithMaxRooms(3))
			room := func(round int) string { return strconv.Itoa(round % 3) }
			must(t, e.Join(room(0)))
			simultaneously(func(round, worker int) {
				hook := e.Leave
				if worker == 0 {
					hook = e.Join
				}
				if err := hook(room(round)); err != nil {
					t.Errorf("refused: %v", err)
				}
			}, func(round int) {
				if now := e.Current(room(round)); now != occ(1, 0) {
					t.Errorf("%+v", now)
				}
				if e.Leave(room(round)) != nil || e.Join(room(round+1)) != nil {
					t.Error("refused")
				}
			})
			require.Equal(t, 1, e.Stats().Rooms)
		})
	}
}

// With a limit of one room, two simultaneous Joins of different rooms: one is refused. Of
// the same room: none is.
func TestRoomLimit_ExactInSimultaneousJoins(t *testing.T) {
	for _, d := range []time.Duration{0, time.Hour} {
		t.Run("two rooms, interval "+d.String(), func(t *testing.T) {
			e := newEngine(t, occupancy.WithMaxRooms(1), occupancy.WithInterval(d))
			names := [2]string{"a", "b"}
			var in [2]bool
			simultaneously(func(_, worker int) {
				in[worker] = e.Join(names[worker]) == nil
			}, func(round int) {
				if n := e.Stats().Rooms; in[0] == in[1] || n != 1 {
					t.Errorf("round %d: %v, %d rooms", round, in, n)
				}
				for w, in := range in {
					if in && e.Leave(names[w]) != nil {
						t.Error("refused")
					}
				}
			})
		})
		t.Run("one room, interval "+d.String(), func(t *testing.T) {
			e := newEngine(t, occupancy.WithMaxRooms(1), occupancy.WithInterval(d))
			name := func(round int) string {
				if d > 0 {
					return "r" // which waits for the interval
				}
				return strconv.Itoa(round)
			}
			simultaneously(func(round, _ int) {
				if err := e.Join(name(round)); err != nil {
					t.Errorf("refused: %v", err)
				}
			}, func(round int) {
				if now := e.Current(name(round)); now != occ(2, 0) {
					t.Errorf("%+v", now)
				}
				if e.Leave(name(round)) != nil || e.Leave(name(round)) != nil {
					t.Error("refused")
				}
			})
		})
	}
}

func TestRoomLimit_RefusedJoinUsesNoMemory(t *testing.T) {
	e := newEngine(t, occupancy.WithMaxRooms(1), occupancy.WithInterval(0))
	name := func(round, worker int) string { return strconv.Itoa(2*round + worker) }
	var in [2]bool
	must(t, e.Join("r"), e.Leave("r"))
	before := heap()
	simultaneously(func(round, worker int) {
		in[worker] = e.Join(name(round, worker)) == nil
	}, func(round int) {
		if in[0] == in[1] {
			t.Errorf("round %d: %v", round, in)
		}
		for w, in := range in {
			if in && e.Leave(name(round, w)) != nil {
				t.Error("refused")
			}
		}
	})
	require.Less(t, heap(), before+128<<10)
}
