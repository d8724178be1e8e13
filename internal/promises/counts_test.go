package promises_test

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// Every goroutine may call Leave and Exit here, whoever called Join and Enter: only the
// accepted calls count.
func TestCounts_EqualTheSumOfAcceptedCalls(t *testing.T) {
	bubble(t, "concurrent calls", func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		var mu sync.Mutex
		want := map[string]occupancy.Occupancy{}
		refused := 0
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 2))
				accepted := map[string]occupancy.Occupancy{}
				n := 0
				for range 5000 {
					room := strconv.Itoa(r.IntN(3))
					v, o := byName(e, room), accepted[room]
					var err, refusal error
					switch r.IntN(4) {
					case 0:
						if err = v.join(); err == nil {
							o.Connections++
						}
					case 1:
						if err = v.enter(); err == nil {
							o.PresenceMembers++
						}
					case 2:
						if err, refusal = v.leave(), occupancy.ErrNotJoined; err == nil {
							o.Connections--
						}
					case 3:
						if err, refusal = v.exit(), occupancy.ErrNotEntered; err == nil {
							o.PresenceMembers--
						}
					}
					accepted[room] = o
					if err != nil {
						n++
					}
					if err != nil && err != refusal {
						t.Errorf("%v", err)
					}
					if now := e.Current(room); now.Connections > 30000 || now.PresenceMembers > 30000 {
						t.Errorf("overflow: %+v", now)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				refused += n
				for room, o := range accepted {
					want[room] = occ(want[room].Connections+o.Connections, want[room].PresenceMembers+o.PresenceMembers)
				}
			})
		}
		wg.Wait()
		require.NotZero(t, refused)
		for room, o := range want {
			require.Equal(t, o, e.Current(room))
		}
	})

	bubble(t, "sequential calls", func(t *testing.T) {
		e := newEngine(t)
		r := rand.New(rand.NewPCG(1, 3))
		model := map[string]occupancy.Occupancy{}
		handles := map[string]*occupancy.Room{}
		for n := range 20000 {
			room := strconv.Itoa(r.IntN(4))
			if handles[room] == nil {
				handles[room] = e.Room(room)
			}
			v, o := byName(e, room), model[room]
			if r.IntN(2) == 0 {
				v = byHandle(handles[room])
			}
			var err, want error
			switch r.IntN(4) {
			case 0:
				err = v.join()
				o.Connections++
			case 1:
				err = v.enter()
				o.PresenceMembers++
			case 2:
				err = v.leave()
				if o.Connections--; o.Connections < 0 {
					o.Connections, want = 0, occupancy.ErrNotJoined
				}
			case 3:
				err = v.exit()
				if o.PresenceMembers--; o.PresenceMembers < 0 {
					o.PresenceMembers, want = 0, occupancy.ErrNotEntered
				}
			}
			model[room] = o
			if err != want || e.Current(room) != o || e.Local(room) != o || handles[room].Current() != o || handles[room].Local() != o {
				require.Fail(t, "wrong", "step %d: error %v, want %v; counts %+v, want %+v", n, err, want, e.Current(room), o)
			}
			if n%7 == 0 {
				time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
			}
		}
	})
}

func TestCounts_BothAreReadTogether(t *testing.T) {
	e := newEngine(t, occupancy.WithInterval(0))
	must(t, remote(t, e, "node").Set(part("r", occ(1000, 1000))))
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		for range 20000 { // every member has its connection
			if e.Join("r") != nil || e.Enter("r", "c") != nil || e.Exit("r", "c") != nil || e.Leave("r") != nil {
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
				if d := o.Connections - o.PresenceMembers; d < 0 || d > 1 {
					t.Errorf("counts of different moments: %+v", o)
					return
				}
			}
		}
	})
	wg.Wait()
}
