package occupancy_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

const most = 1<<31 - 1 // of each kind in a room

// over is one more. Where an int has 32 bits that is below zero, and refused as well.
var over = func() int { n := most; n++; return n }()

func TestRemote_SetIsAbsolute(t *testing.T) {
	bubble(t, "so that a repeat is harmless", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		waiting(t, s)
		node := e.Remote("node")
		require.Equal(t, "node", node.Node())
		must(t, node.Set("r", occ(3, 2)))
		ev := waiting(t, s)
		require.Equal(t, occ(3, 2), ev.Occupancy)
		for range 10 {
			must(t, node.Set("r", occ(3, 2)))
			time.Sleep(interval)
		}
		silent(t, s)
		require.Equal(t, occ(3, 2), e.Current("r"))
		must(t, node.Set("r", occ(1, 2)))
		next := waiting(t, s)
		require.Equal(t, occ(1, 2), next.Occupancy)
		require.Equal(t, ev.Version+1, next.Version)
		require.Equal(t, occ(0, 0), e.Local("r"))
		require.Equal(t, occ(0, 0), e.Room("r").Local())
		require.Equal(t, occ(1, 2), e.Room("r").Current())
		require.Equal(t, byRoom{"r": occ(1, 2)}, maps.Collect(e.All()))
		time.Sleep(interval)
		require.Equal(t, occ(1, 2), totals(e))
	})
	bubble(t, "and zero is nothing", func(t *testing.T) {
		e := start(t, occupancy.WithMaxRooms(1))
		must(t, e.Join("full"))
		node := e.Remote("node")
		for range 3 {
			must(t, node.Set("r", occ(0, 0))) // makes no room
		}
		require.Equal(t, 1, e.Stats().Rooms)
		must(t, node.Set("full", occ(1, 1)), node.Set("full", occ(0, 0)), node.Set("full", occ(0, 0)), e.Leave("full"))
		require.Zero(t, e.Stats().Rooms)
	})
}

func TestRemote_PartsAddUp(t *testing.T) {
	bubble(t, "of several nodes and this one", func(t *testing.T) {
		e := start(t)
		a, b, same := e.Remote("a"), e.Remote("b"), e.Remote("a")
		must(t, e.Join("r"), a.Set("r", occ(10, 1)), b.Set("r", occ(20, 0)), same.Set("r", occ(40, 7)), e.Enter("r"))
		require.Equal(t, occ(71, 9), e.Current("r"))
		require.Equal(t, occ(1, 1), e.Local("r"))
		same.Close() // its own part only, though the label is a's
		require.Equal(t, occ(31, 2), e.Current("r"))
		must(t, a.Set("r", occ(0, 5)))
		require.Equal(t, occ(21, 6), e.Current("r"))
		b.Close()
		b.Close()
		require.Equal(t, occ(1, 6), e.Current("r"))
		require.ErrorIs(t, b.Set("r", occ(1, 1)), occupancy.ErrClosed)
		require.ErrorIs(t, b.Set("", occ(-1, 1)), occupancy.ErrClosed)
		must(t, e.Leave("r"), e.Exit("r"))
		require.Equal(t, occ(0, 5), e.Current("r"))
		require.Equal(t, 1, e.Stats().Rooms) // a holds it
		a.Close()
		require.Equal(t, occ(0, 0), e.Current("r"))
		require.Zero(t, e.Stats().Rooms)
	})
	bubble(t, "and a part keeps the room while this process's connections come and go", func(t *testing.T) {
		e := start(t)
		node := e.Remote("node")
		must(t, node.Set("r", occ(2, 2)))
		for range 5 {
			time.Sleep(2 * interval)
			must(t, e.Join("r"))
			time.Sleep(2 * interval)
			must(t, e.Leave("r"))
			require.Equal(t, occ(2, 2), e.Current("r"))
			require.Equal(t, 1, e.Stats().Rooms)
		}
		node.Close()
		time.Sleep(2 * interval)
		require.Zero(t, e.Stats().Rooms)
		must(t, e.Join("r"))
		require.Equal(t, occ(1, 0), e.Current("r"))
	})
	bubble(t, "and Close drops all that there were, and tells it", func(t *testing.T) {
		e := start(t)
		const rooms = 3000
		node, other := e.Remote("node"), e.Remote("other")
		w := watch(t, e)
		for i := range rooms {
			must(t, node.Set(room(i), occ(1, i)))
			if i%2 == 0 {
				must(t, other.Set(room(i), occ(5, 5)))
			}
		}
		heard, _ := news(t, w)
		require.Equal(t, rooms, len(heard))
		time.Sleep(2 * interval)
		news(t, w)
		node.Close()
		heard, events := news(t, w)
		require.Equal(t, rooms, events)
		for i := range rooms {
			want := occ(0, 0)
			if i%2 == 0 {
				want = occ(5, 5)
			}
			if heard[room(i)] != want || e.Current(room(i)) != want {
				require.Equal(t, want, heard[room(i)])
				require.Equal(t, want, e.Current(room(i)))
			}
		}
		require.Equal(t, rooms/2, e.Stats().Rooms)
	})
}

func TestRemote_CountsThatCannotBeAreRefused(t *testing.T) {
	bubble(t, "and leave what was", func(t *testing.T) {
		e := start(t)
		node, other := e.Remote("node"), e.Remote("other")
		must(t, node.Set("r", occ(5, 6)))
		for _, o := range []occupancy.Occupancy{
			occ(-1, 0), occ(0, -1), occ(math.MinInt, math.MinInt), occ(over, 0), occ(0, over), occ(over, 1), occ(1, over),
		} {
			require.ErrorIs(t, node.Set("r", o), occupancy.ErrCount)
			require.ErrorIs(t, node.Set("new", o), occupancy.ErrCount)
		}
		require.Equal(t, occ(5, 6), e.Current("r"))
		require.Equal(t, 1, e.Stats().Rooms)

		// All nodes' parts together are bounded as well.
		require.ErrorIs(t, other.Set("r", occ(most-4, 0)), occupancy.ErrCount)
		require.ErrorIs(t, other.Set("r", occ(0, most-5)), occupancy.ErrCount)
		require.Equal(t, occ(5, 6), e.Current("r"))
		must(t, other.Set("r", occ(most-5, most-6)))
		require.Equal(t, occ(most, most), e.Current("r"))
		require.ErrorIs(t, node.Set("r", occ(6, 6)), occupancy.ErrCount)
		must(t, node.Set("r", occ(4, 6)), other.Set("r", occ(most-4, 0)))
		require.Equal(t, occ(most, 6), e.Current("r"))
		must(t, other.Set("r", occ(0, 0)))
		require.Equal(t, occ(4, 6), e.Current("r"))
	})
	bubble(t, "but with this process's the sum stops at the limit, and comes back", func(t *testing.T) {
		e := start(t)
		s := subscribe(t, e, "r")
		waiting(t, s)
		node := e.Remote("node")
		must(t, e.Join("r"), e.Enter("r"), node.Set("r", occ(most, most)))
		time.Sleep(2 * interval)
		require.Equal(t, occ(most, most), waiting(t, s).Occupancy)
		require.Equal(t, occ(1, 1), e.Local("r"))
		for range 3 {
			must(t, e.Join("r")) // this process's own count is far from full
		}
		time.Sleep(2 * interval)
		require.Equal(t, occ(most, most), e.Current("r"))
		silent(t, s) // as far as anyone can tell, nothing changed
		must(t, node.Set("r", occ(most-2, 0)))
		require.Equal(t, occ(most, 1), waiting(t, s).Occupancy)
		node.Close()
		time.Sleep(interval)
		require.Equal(t, occ(4, 1), waiting(t, s).Occupancy)
		require.Equal(t, occ(4, 1), totals(e))
	})
}

func TestRemote_AfterTheEnginesClose(t *testing.T) {
	bubble(t, "nothing is counted or dropped", func(t *testing.T) {
		e := start(t)
		node, other := e.Remote("node"), e.Remote("other")
		must(t, node.Set("r", occ(1, 1)), other.Set("r", occ(2, 2)), e.Close())
		require.ErrorIs(t, node.Set("r", occ(5, 5)), occupancy.ErrClosed)
		node.Close()
		node.Close()
		require.ErrorIs(t, node.Set("r", occ(5, 5)), occupancy.ErrClosed)
		require.Equal(t, occ(3, 3), e.Current("r"))
	})
}

// Nodes set, drop and close their parts of the same few rooms at once, with hooks
// and subscribers: in the end every room is the sum of what stands.
func TestRemote_PartsAddUpInAStorm(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond} {
		bubble(t, "interval "+d.String(), func(t *testing.T) {
			e := start(t, occupancy.WithInterval(d))
			rooms := []string{"a", "b", "c"}
			stopNoise := noise(t, e, rooms)
			parts := make([]byRoom, 6)
			var wg sync.WaitGroup
			for i := range parts {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), 15))
					node, mine := e.Remote(strconv.Itoa(i%3)), byRoom{}
					for range 3000 {
						room := rooms[r.IntN(len(rooms))]
						switch k := r.IntN(20); {
						case k == 0:
							node.Close()
							node, mine = e.Remote("again"), byRoom{}
						case k < 10:
							if err := e.Join(room); err != nil {
								t.Errorf("Join: %v", err)
							}
							if now := e.Current(room); now.Connections <= mine[room].Connections {
								t.Errorf("reads %+v having put %+v", now, mine[room])
							}
							if err := e.Leave(room); err != nil {
								t.Errorf("Leave: %v", err)
							}
						default:
							mine[room] = occ(r.IntN(3), r.IntN(3))
							if err := node.Set(room, mine[room]); err != nil {
								t.Errorf("Set: %v", err)
							}
						}
						if r.IntN(30) == 0 {
							time.Sleep(time.Duration(r.IntN(1000)) * time.Microsecond)
						}
					}
					parts[i] = mine
				})
			}
			wg.Wait()
			stopNoise()
			time.Sleep(2 * d)
			synctest.Wait()
			var total occupancy.Occupancy
			for _, room := range rooms {
				var want occupancy.Occupancy
				for _, mine := range parts {
					want = occ(want.Connections+mine[room].Connections, want.PresenceMembers+mine[room].PresenceMembers)
				}
				require.Equal(t, want, e.Current(room))
				require.Equal(t, want, waiting(t, subscribe(t, e, room)).Occupancy)
				total = occ(total.Connections+want.Connections, total.PresenceMembers+want.PresenceMembers)
			}
			require.Equal(t, total, totals(e))
		})
	}
}
