package occupancy_test

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

// abreast runs f in two goroutines, which begin each round as closely together as
// two processors can, and then check before the next: for a third of a second, since
// what a round takes on a machine that has other things to do differs a lot.
func abreast(f func(round, worker int), check func(round int)) {
	var at [3]atomic.Int64 // how many came to: the start, the end, the check's end
	await := func(i, n int) {
		for spins := 1; at[i].Load() < int64(n); spins++ {
			if spins%100 == 0 {
				runtime.Gosched() // there may be but one processor
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

// The storms of this package do other things between the hooks; here nothing but
// hooks meets, and what the publisher does to the rooms.
func TestPromise1_NoStepIsLostWhereHooksMeet(t *testing.T) {
	// loop calls all the hooks abreast, again and again, for a while.
	loop := func(t *testing.T, hooks ...func() error) (times int) {
		abreast(func(_, worker int) {
			for range 500 {
				if err := hooks[worker](); err != nil {
					t.Errorf("refused: %v", err)
					return
				}
			}
		}, func(int) { times += 500 })
		return times
	}
	for _, name := range []string{"by name", "by handle"} {
		t.Run(name, func(t *testing.T) {
			e := start(t, occupancy.WithInterval(time.Hour))
			must(t, e.Join("r"))
			v := byName(e, "r")
			if name == "by handle" {
				v = byHandle(e, "r")
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
	t.Run("with the publisher, which ends the room whenever it can", func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		visit := func(v verbs) func() error {
			return func() error { return errors.Join(v.join(), v.leave()) }
		}
		loop(t, visit(byName(e, "r")), visit(byHandle(e, "r")))
		require.Equal(t, occ(0, 0), e.Current("r"))
		require.Zero(t, e.Stats().Rooms)
	})
	t.Run("with subscribers and nodes, which hold the room at times", func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		v, node := byName(e, "r"), e.Remote("node")
		loop(t, func() error { return errors.Join(v.join(), v.leave()) }, func() error {
			s, err := e.Subscribe("r")
			if err != nil {
				return err
			}
			err = errors.Join(node.Set("r", occ(1, 1)), node.Set("r", occ(0, 0)))
			s.Unsubscribe()
			return err
		})
		require.Equal(t, occ(0, 0), e.Current("r"))
		require.Zero(t, e.Stats().Rooms)
	})
}

func TestPromise1_TheLastOfAKindIsTakenOnce(t *testing.T) {
	e := start(t, occupancy.WithInterval(time.Hour))
	must(t, e.Enter("r")) // so that the room goes on
	var accepted atomic.Int64
	must(t, e.Join("r"))
	abreast(func(int, int) {
		switch err := e.Leave("r"); err {
		case nil:
			accepted.Add(1)
		case occupancy.ErrNotJoined:
		default:
			t.Errorf("Leave: %v", err)
		}
	}, func(int) {
		if n, now := accepted.Swap(0), e.Current("r"); n != 1 || now != occ(0, 1) {
			t.Errorf("%d left; %+v", n, now)
		}
		if err := e.Join("r"); err != nil {
			t.Errorf("Join: %v", err)
		}
	})
}

// One leaves the room while another comes: whatever the room's end and the other's
// begin do to each other, the other is in.
func TestPromise1_NoJoinIsLostToARoomThatEnds(t *testing.T) {
	for _, d := range []time.Duration{0, time.Hour} {
		t.Run("interval "+d.String(), func(t *testing.T) {
			e := start(t, occupancy.WithInterval(d), occupancy.WithMaxRooms(3))
			room := func(round int) string { return strconv.Itoa(round % 3) }
			must(t, e.Join(room(0)))
			abreast(func(round, worker int) {
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

// Two rooms that were there a moment ago begin at once, where there may be one; or
// one room, where there may be one, by two: then neither may be refused.
func TestPromise8_MaxRoomsIsExactWhereJoinsMeet(t *testing.T) {
	for _, d := range []time.Duration{0, time.Hour} {
		t.Run("two rooms, interval "+d.String(), func(t *testing.T) {
			e := start(t, occupancy.WithMaxRooms(1), occupancy.WithInterval(d))
			names := [2]string{"a", "b"}
			var in [2]bool
			abreast(func(_, worker int) {
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
			e := start(t, occupancy.WithMaxRooms(1), occupancy.WithInterval(d))
			name := func(round int) string {
				if d > 0 {
					return "r" // which lingers
				}
				return strconv.Itoa(round)
			}
			abreast(func(round, _ int) {
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

func TestPromise8_ARefusedJoinLeavesNothingBehind(t *testing.T) {
	e := start(t, occupancy.WithMaxRooms(1), occupancy.WithInterval(0))
	name := func(round, worker int) string { return strconv.Itoa(2*round + worker) }
	var in [2]bool
	must(t, e.Join("r"), e.Leave("r"))
	before := heap()
	abreast(func(round, worker int) {
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
