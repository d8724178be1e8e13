package occupancy_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// verbs are the hooks of one room, whichever way they are called.
type verbs struct{ join, leave, enter, exit func() error }

func byName(e *occupancy.Engine, room string) verbs {
	by := func(hook func(string) error) func() error { return func() error { return hook(room) } }
	return verbs{by(e.Join), by(e.Leave), by(e.Enter), by(e.Exit)}
}

func byHandle(e *occupancy.Engine, room string) verbs { return onHandle(e.Room(room)) }

func onHandle(r *occupancy.Room) verbs { return verbs{r.Join, r.Leave, r.Enter, r.Exit} }

// guest is one goroutine's part of a room: it takes back only what it put there,
// so that none of its calls may ever be refused.
type guest struct {
	verbs
	mine    occupancy.Occupancy
	connect func() (*occupancy.Conn, error) // if set, it counts by leases
	leases  []*occupancy.Conn
	clients []int // of each lease
}

// step does something at random.
func (g *guest) step(r *rand.Rand) error {
	const most = 2 // few, so that rooms often begin and end
	if g.connect != nil {
		return g.stepByLease(r, most)
	}
	switch k := r.IntN(4); {
	case k == 0 && g.mine.Connections < most:
		g.mine.Connections++
		return g.join()
	case k == 1 && g.mine.PresenceMembers < most:
		g.mine.PresenceMembers++
		return g.enter()
	case k == 2 && g.mine.Connections > 0:
		g.mine.Connections--
		return g.leave()
	case k == 3 && g.mine.PresenceMembers > 0:
		g.mine.PresenceMembers--
		return g.exit()
	}
	return nil
}

func (g *guest) stepByLease(r *rand.Rand, most int) error {
	if len(g.leases) < most && r.IntN(3) == 0 {
		c, err := g.connect()
		g.leases, g.clients = append(g.leases, c), append(g.clients, 0)
		g.mine.Connections++
		return err
	}
	if len(g.leases) == 0 {
		return nil
	}
	i := r.IntN(len(g.leases))
	c := g.leases[i]
	switch k := r.IntN(3); {
	case k == 0:
		n := g.clients[i]
		g.leases = append(g.leases[:i], g.leases[i+1:]...)
		g.clients = append(g.clients[:i], g.clients[i+1:]...)
		g.mine.Connections--
		g.mine.PresenceMembers -= n
		return c.Close()
	case k == 1 && g.clients[i] < most:
		g.clients[i]++
		g.mine.PresenceMembers++
		return c.Enter(strconv.Itoa(g.clients[i]))
	case k == 2 && g.clients[i] > 0:
		g.clients[i]--
		g.mine.PresenceMembers--
		return c.Exit(strconv.Itoa(g.clients[i] + 1))
	}
	return nil
}

// Rooms begin and end all the time here, while subscribers, watchers and remote
// parts come and go: no call may be refused, no read may show less than the reader
// put there or more than there can be, and in the end it must all add up.
func TestPromise1_CountsAreExactInAStorm(t *testing.T) {
	const workers, most = 6, 2
	rooms := []string{"a", "b", "c"}
	ways := map[string]func(e *occupancy.Engine, shared map[string]*occupancy.Room, room string, i int) *guest{
		"by name": func(e *occupancy.Engine, _ map[string]*occupancy.Room, room string, _ int) *guest {
			return &guest{verbs: byName(e, room)}
		},
		"by a handle each": func(e *occupancy.Engine, _ map[string]*occupancy.Room, room string, _ int) *guest {
			return &guest{verbs: byHandle(e, room)}
		},
		"by shared handles": func(_ *occupancy.Engine, shared map[string]*occupancy.Room, room string, _ int) *guest {
			return &guest{verbs: onHandle(shared[room])}
		},
		"by lease": func(e *occupancy.Engine, _ map[string]*occupancy.Room, room string, _ int) *guest {
			return &guest{connect: func() (*occupancy.Conn, error) { return e.Connect(room) }}
		},
		"by all of them": func(e *occupancy.Engine, shared map[string]*occupancy.Room, room string, i int) *guest {
			switch i % 3 {
			case 0:
				return &guest{verbs: byName(e, room)}
			case 1:
				return &guest{verbs: onHandle(shared[room])}
			default:
				return &guest{connect: shared[room].Connect}
			}
		},
	}
	for way, invite := range ways {
		for _, d := range []time.Duration{0, time.Millisecond} {
			bubble(t, fmt.Sprintf("%s/interval %v", way, d), func(t *testing.T) {
				e := start(t, occupancy.WithInterval(d))
				shared := map[string]*occupancy.Room{}
				for _, room := range rooms {
					shared[room] = e.Room(room)
				}
				stopNoise := noise(t, e, rooms)

				sums := make([]map[string]occupancy.Occupancy, workers)
				var wg sync.WaitGroup
				for i := range workers {
					guests := map[string]*guest{}
					for _, room := range rooms {
						guests[room] = invite(e, shared, room, i)
					}
					wg.Go(func() {
						r := rand.New(rand.NewPCG(uint64(i), 1))
						for n := range 2500 {
							room := rooms[r.IntN(len(rooms))]
							g := guests[room]
							if err := g.step(r); err != nil {
								t.Errorf("refused: %v", err)
								return
							}
							now, limit := e.Local(room), workers*most*most
							if n%2 == 0 {
								now = shared[room].Local()
							}
							if now.Connections < g.mine.Connections || now.PresenceMembers < g.mine.PresenceMembers ||
								now.Connections > limit || now.PresenceMembers > limit {
								t.Errorf("reads %+v having put %+v", now, g.mine)
								return
							}
							if r.IntN(20) == 0 {
								time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond) // let rooms cool
							}
						}
						sums[i] = map[string]occupancy.Occupancy{}
						for room, g := range guests {
							sums[i][room] = g.mine
						}
					})
				}
				wg.Wait()
				stopNoise()
				if t.Failed() {
					return
				}

				want := map[string]occupancy.Occupancy{}
				var total occupancy.Occupancy
				for _, sum := range sums {
					for room, o := range sum {
						want[room] = occ(want[room].Connections+o.Connections, want[room].PresenceMembers+o.PresenceMembers)
						total = occ(total.Connections+o.Connections, total.PresenceMembers+o.PresenceMembers)
					}
				}
				maps.DeleteFunc(want, func(_ string, o occupancy.Occupancy) bool { return o == occ(0, 0) })
				time.Sleep(d)
				synctest.Wait()
				require.Equal(t, want, maps.Collect(e.All()))
				for _, room := range rooms {
					require.Equal(t, want[room], e.Current(room))
					require.Equal(t, want[room], shared[room].Current())
				}
				stats := e.Stats()
				require.Equal(t, len(want), stats.Rooms)
				require.Equal(t, total, totals(e))
				require.Zero(t, stats.Subscriptions)
				require.Zero(t, stats.Watchers)
			})
		}
	}
}

// noise has subscribers, watchers and remote parts come and go until stopped.
func noise(t *testing.T, e *occupancy.Engine, rooms []string) (stop func()) {
	quit := make(chan struct{})
	var wg sync.WaitGroup
	again := func(f func(r *rand.Rand)) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(7, 7))
			for {
				select {
				case <-quit:
					return
				case <-time.After(time.Duration(r.IntN(300)) * time.Microsecond):
					f(r)
				}
			}
		})
	}
	again(func(r *rand.Rand) {
		s, err := e.Subscribe(rooms[r.IntN(len(rooms))])
		if err != nil {
			t.Errorf("Subscribe: %v", err)
			return
		}
		<-s.Events()
		s.Unsubscribe()
	})
	again(func(*rand.Rand) { e.Watch().Close() })
	again(func(r *rand.Rand) {
		node := e.Remote("node")
		if err := node.Set(rooms[r.IntN(len(rooms))], occ(3, 2)); err != nil {
			t.Errorf("Set: %v", err)
		}
		node.Close()
	})
	return func() { close(quit); wg.Wait() }
}

// Anybody may call Leave and Exit here, however many there are: what was accepted
// is what counts.
func TestPromise1_AcceptedCallsAddUpAndRefusedOnesChangeNothing(t *testing.T) {
	bubble(t, "in parallel", func(t *testing.T) {
		e := start(t, occupancy.WithInterval(0))
		var mu sync.Mutex
		want := map[string]occupancy.Occupancy{}
		refused := 0
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 2))
				accepted := map[string]occupancy.Occupancy{}
				no := 0
				for range 5000 {
					room := strconv.Itoa(r.IntN(3))
					v, o := byName(e, room), accepted[room]
					err, good := error(nil), error(nil)
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
						if err, good = v.leave(), occupancy.ErrNotJoined; err == nil {
							o.Connections--
						}
					case 3:
						if err, good = v.exit(), occupancy.ErrNotEntered; err == nil {
							o.PresenceMembers--
						}
					}
					accepted[room] = o
					if err != nil {
						no++
					}
					if err != nil && err != good {
						t.Errorf("%v", err)
					}
					if now := e.Current(room); now.Connections > 30000 || now.PresenceMembers > 30000 {
						t.Errorf("wrapped: %+v", now)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				refused += no
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

	bubble(t, "one after the other", func(t *testing.T) {
		e := start(t)
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
				v = onHandle(handles[room])
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
				require.Fail(t, "differs", "step %d: %v, not %v; %+v, not %+v", n, err, want, e.Current(room), o)
			}
			if n%7 == 0 {
				time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
			}
		}
	})
}

func TestPromise1_BothCountsAreReadTogether(t *testing.T) {
	e := start(t, occupancy.WithInterval(0))
	must(t, e.Remote("node").Set("r", occ(1000, 1000)))
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		defer close(done)
		for range 20000 { // a member never without its connection
			if e.Join("r") != nil || e.Enter("r") != nil || e.Exit("r") != nil || e.Leave("r") != nil {
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
					t.Errorf("torn: %+v", o)
					return
				}
			}
		}
	})
	wg.Wait()
}
