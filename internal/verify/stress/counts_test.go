package stress

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

// client is what one goroutine does in one room. It removes only what it added, so none of
// its calls may be refused.
type client struct {
	hooks
	added   occupancy.Occupancy
	connect func(...occupancy.ConnectOption) (*occupancy.Lease, error) // if set, the client uses leases
	leases  []*occupancy.Lease
	members []int // of each lease
}

// step makes a random call.
func (g *client) step(r *rand.Rand) error {
	const most = 2 // so that rooms often begin and end
	if g.connect != nil {
		return g.stepByLease(r, most)
	}
	switch k := r.IntN(4); {
	case k == 0 && g.added.Connections < most:
		g.added.Connections++
		return g.join()
	case k == 1 && g.added.PresenceMembers < most:
		g.added.PresenceMembers++
		return g.enter()
	case k == 2 && g.added.Connections > 0:
		g.added.Connections--
		return g.leave()
	case k == 3 && g.added.PresenceMembers > 0:
		g.added.PresenceMembers--
		return g.exit()
	}
	return nil
}

func (g *client) stepByLease(r *rand.Rand, most int) error {
	if len(g.leases) < most && r.IntN(3) == 0 {
		c, err := g.connect()
		g.leases, g.members = append(g.leases, c), append(g.members, 0)
		g.added.Connections++
		return err
	}
	if len(g.leases) == 0 {
		return nil
	}
	i := r.IntN(len(g.leases))
	c := g.leases[i]
	switch k := r.IntN(3); {
	case k == 0:
		n := g.members[i]
		g.leases = append(g.leases[:i], g.leases[i+1:]...)
		g.members = append(g.members[:i], g.members[i+1:]...)
		g.added.Connections--
		g.added.PresenceMembers -= n
		return c.Close()
	case k == 1 && g.members[i] < most:
		g.members[i]++
		g.added.PresenceMembers++
		return c.Enter(strconv.Itoa(g.members[i]))
	case k == 2 && g.members[i] > 0:
		g.members[i]--
		g.added.PresenceMembers--
		return c.Exit(strconv.Itoa(g.members[i] + 1))
	}
	return nil
}

// Rooms begin and end all the time, while subscribers, watchers and remote parts come and
// go. No call may be refused, no goroutine may read less than it added or more than is
// possible, and at the end the counts must equal the sum of all calls.
func TestCounts_ExactUnderConcurrentCalls(t *testing.T) {
	const workers, most = 6, 2
	rooms := []string{"a", "b", "c"}
	ways := map[string]func(e *occupancy.Engine, shared map[string]*occupancy.Room, room string, i int) *client{
		"by name": func(e *occupancy.Engine, _ map[string]*occupancy.Room, room string, _ int) *client {
			return &client{hooks: byName(e, room)}
		},
		"by one handle for each goroutine": func(e *occupancy.Engine, _ map[string]*occupancy.Room, room string, _ int) *client {
			return &client{hooks: byHandle(e.Room(room))}
		},
		"by shared handles": func(_ *occupancy.Engine, shared map[string]*occupancy.Room, room string, _ int) *client {
			return &client{hooks: byHandle(shared[room])}
		},
		"by lease": func(e *occupancy.Engine, _ map[string]*occupancy.Room, room string, _ int) *client {
			return &client{connect: func(opts ...occupancy.ConnectOption) (*occupancy.Lease, error) {
				return e.Connect(room, opts...)
			}}
		},
		"by all of these": func(e *occupancy.Engine, shared map[string]*occupancy.Room, room string, i int) *client {
			switch i % 3 {
			case 0:
				return &client{hooks: byName(e, room)}
			case 1:
				return &client{hooks: byHandle(shared[room])}
			default:
				return &client{connect: shared[room].Connect}
			}
		},
	}
	for way, newClient := range ways {
		for _, d := range []time.Duration{0, time.Millisecond} {
			bubble(t, fmt.Sprintf("%s/interval %v", way, d), func(t *testing.T) {
				e := newEngine(t, occupancy.WithInterval(d))
				shared := map[string]*occupancy.Room{}
				for _, room := range rooms {
					shared[room] = e.Room(room)
				}
				stop := comeAndGo(t, e, rooms)

				sums := make([]map[string]occupancy.Occupancy, workers)
				var wg sync.WaitGroup
				for i := range workers {
					clients := map[string]*client{}
					for _, room := range rooms {
						clients[room] = newClient(e, shared, room, i)
					}
					wg.Go(func() {
						r := rand.New(rand.NewPCG(uint64(i), 1))
						for n := range 2500 {
							room := rooms[r.IntN(len(rooms))]
							g := clients[room]
							if err := g.step(r); err != nil {
								t.Errorf("refused: %v", err)
								return
							}
							now, limit := e.Local(room), workers*most*most
							if n%2 == 0 {
								now = shared[room].Local()
							}
							if now.Connections < g.added.Connections || now.PresenceMembers < g.added.PresenceMembers ||
								now.Connections > limit || now.PresenceMembers > limit {
								t.Errorf("reads %+v, has added %+v", now, g.added)
								return
							}
							if r.IntN(20) == 0 {
								time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond) // so that rooms become idle
							}
						}
						sums[i] = map[string]occupancy.Occupancy{}
						for room, g := range clients {
							sums[i][room] = g.added
						}
					})
				}
				wg.Wait()
				stop()
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
				require.Equal(t, total, statsTotal(e))
				require.Zero(t, stats.Subscriptions)
				require.Zero(t, stats.Watchers)
			})
		}
	}
}

// comeAndGo lets subscribers, watchers and remote parts come and go until stop is called.
func comeAndGo(t *testing.T, e *occupancy.Engine, rooms []string) (stop func()) {
	link, quit := linked(t, e), make(chan struct{})
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
	again(func(*rand.Rand) {
		w, err := e.Watch()
		if err != nil {
			t.Errorf("Watch: %v", err)
			return
		}
		_ = w.Close()
	})
	again(func(r *rand.Rand) {
		node := link.Remote("node")
		if err := node.Set(part(rooms[r.IntN(len(rooms))], occ(3, 2))); err != nil {
			t.Errorf("Set: %v", err)
		}
		_ = node.Close()
	})
	return func() { close(quit); wg.Wait() }
}

// Remotes set, remove and close their parts of the same few rooms concurrently, with hooks
// and subscribers. At the end every room must be the sum of the parts that remain.
func TestRemote_PartsAddUpUnderConcurrentCalls(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond} {
		bubble(t, "interval "+d.String(), func(t *testing.T) {
			e := newEngine(t, occupancy.WithInterval(d))
			rooms := []string{"a", "b", "c"}
			stop := comeAndGo(t, e, rooms)
			link, parts := linked(t, e), make([]byRoom, 6)
			var wg sync.WaitGroup
			for i := range parts {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 15))
					node, added := link.Remote(strconv.Itoa(i%3)), byRoom{}
					for range 3000 {
						room := rooms[r.IntN(len(rooms))]
						switch k := r.IntN(20); {
						case k == 0:
							_ = node.Close()
							node, added = link.Remote("again"), byRoom{}
						case k < 10:
							if err := e.Join(room); err != nil {
								t.Errorf("Join: %v", err)
							}
							if now := e.Current(room); now.Connections <= added[room].Connections {
								t.Errorf("reads %+v, has added %+v", now, added[room])
							}
							if err := e.Leave(room); err != nil {
								t.Errorf("Leave: %v", err)
							}
						default:
							added[room] = occ(r.IntN(3), r.IntN(3))
							if err := node.Set(part(room, added[room])); err != nil {
								t.Errorf("Set: %v", err)
							}
						}
						if r.IntN(30) == 0 {
							time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
						}
					}
					parts[i] = added
				})
			}
			wg.Wait()
			stop()
			time.Sleep(2 * d)
			synctest.Wait()
			var total occupancy.Occupancy
			for _, room := range rooms {
				var want occupancy.Occupancy
				for _, added := range parts {
					want = occ(want.Connections+added[room].Connections, want.PresenceMembers+added[room].PresenceMembers)
				}
				require.Equal(t, want, e.Current(room))
				require.Equal(t, want, receive(t, subscribe(t, e, room)).Occupancy)
				total = occ(total.Connections+want.Connections, total.PresenceMembers+want.PresenceMembers)
			}
			require.Equal(t, total, statsTotal(e))
		})
	}
}
