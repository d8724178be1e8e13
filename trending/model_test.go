package trending_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

const halfLife, minimum = time.Minute, 2

// model computes the lists that a board must return. It remembers every change, and sorts
// all rooms of the engine.
type model struct {
	total   map[string]int
	changes map[string][]change
}

type change struct {
	at         time.Time
	fast, slow float64
}

func newModel(e *occupancy.Engine) *model {
	m := &model{map[string]int{}, map[string][]change{}}
	for room, o := range e.All() {
		m.total[room] = o.Connections
	}
	return m
}

// update must be called after each change of the room.
func (m *model) update(e *occupancy.Engine, room string) {
	n := e.Current(room).Connections
	arrivals := float64(n - m.total[room])
	m.changes[room] = append(m.changes[room], change{time.Now(), arrivals, arrivals})
	m.total[room] = n
}

func (m *model) room(name string, o occupancy.Occupancy) trending.Room {
	var fast, slow float64
	for _, c := range m.changes[name] {
		age := float64(time.Since(c.at)) / float64(halfLife)
		fast += c.fast * math.Exp2(-age)
		slow += c.slow * math.Exp2(-age/24)
	}
	r := trending.Room{Name: name, Occupancy: o, Arrivals: max(0, fast), Usual: max(0, float64(o.Connections)-slow)}
	r.Ratio = r.Arrivals / (r.Usual + minimum)
	return r
}

// lists returns all rooms in both orders.
func (m *model) lists(e *occupancy.Engine) (popular, trends []trending.Room) {
	for room, o := range e.All() {
		r := m.room(room, o)
		popular = append(popular, r)
		if r.Arrivals >= minimum && r.Ratio >= 0.25 {
			trends = append(trends, r)
		}
	}
	slices.SortFunc(popular, func(a, b trending.Room) int {
		return cmp.Or(cmp.Compare(b.Occupancy.Connections, a.Occupancy.Connections), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(trends, func(a, b trending.Room) int {
		return cmp.Or(cmp.Compare(b.Ratio, a.Ratio), cmp.Compare(a.Name, b.Name))
	})
	return popular, trends
}

// wantEqual fails unless the lists are equal and the numbers agree to nine digits. The
// changes happen at random times, so that no two ratios are almost equal.
func wantEqual(t testing.TB, what string, got, want []trending.Room) {
	t.Helper()
	equal := slices.EqualFunc(got, want, func(g, w trending.Room) bool {
		about := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*(1+math.Abs(b)) }
		return g.Name == w.Name && g.Occupancy == w.Occupancy && about(g.Arrivals, w.Arrivals) && about(g.Usual, w.Usual) && about(g.Ratio, w.Ratio)
	})
	if !equal {
		t.Fatalf("%s:\n%+v, want\n%+v", what, got, want)
	}
}

// With the interval 0 the engine publishes an event for each change, so the model knows
// the time of every change. No room becomes empty, because the model forgets no history.
func TestLists_EqualFullSortAtAnyTime(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			e := newEngine(t, occupancy.WithInterval(0))
			other := newRemote(t, e)
			room := func() string { return fmt.Sprint(r.IntN(25)) }
			for i := range 25 {
				must(t, other.Set(part(fmt.Sprint(i), 1)))
				_ = e.Join(room())
			}
			synctest.Wait()
			m := newModel(e)
			b := newBoard(t, e, trending.WithHalfLife(halfLife), trending.WithMinimum(minimum))

			longest := 0
			hooks := []func(string) error{e.Join, e.Join, e.Join, e.Leave, e.Leave, enter(e), exit(e)}
			for step := range 1000 {
				name := room()
				switch n := r.IntN(len(hooks) + 5); {
				case n < len(hooks):
					_ = hooks[n](name)
				case n == len(hooks): // a group
					repeat(t, r.IntN(20), e.Join, name)
				case n == len(hooks)+1:
					repeat(t, e.Local(name).Connections, e.Leave, name)
				case n == len(hooks)+2:
					fast, slow := 10*(r.Float64()-0.3), 10*(r.Float64()-0.3)
					b.Import(map[string][3]float64{name: {fast, slow, 0}}, false)
					m.changes[name] = []change{{time.Now(), fast, slow}}
				case n == len(hooks)+3: // another node is linked
					p := other.Get(name)
					b.Expect([]occupancy.Part{part(name, 3)}, 0)
					m.total[name] += 3
					must(t, other.Set(part(name, p.Occupancy.Connections+3)))
				default:
					must(t, other.Set(part(name, 1+r.IntN(5))))
				}
				synctest.Wait()
				m.update(e, name)
				for range 3 {
					time.Sleep(time.Duration(r.ExpFloat64() * float64([]time.Duration{time.Second, 20 * time.Second}[step/500%2])))
					popular, trends := m.lists(e)
					longest = max(longest, len(trends))
					wantEqual(t, "popular", b.Popular(1000), popular)
					wantEqual(t, "trending", b.Trending(1000), trends)
					k := r.IntN(len(trends) + 1)
					wantEqual(t, "first trending", b.Trending(k), trends[:k])
					if b.Len() != len(popular) {
						t.Fatalf("%d rooms, want %d", b.Len(), len(popular))
					}
				}
			}
			if longest < 5 {
				t.Fatalf("at most %d rooms were trending: the test shows little", longest)
			}
		})
	}
}

// The engine publishes a change of a room at most once in its interval. It must not matter how
// long that is, nor when its events fall.
func TestTrending_IndependentOfInterval(t *testing.T) {
	var first []trending.Room
	for _, interval := range []time.Duration{0, 100 * time.Millisecond, time.Second, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 6))
			e := newEngine(t, occupancy.WithInterval(interval))
			for room, n := range map[string]int{"shrinking": 600, "steady": 500, "slower": 100, "growing": 50} {
				repeat(t, n, e.Join, room) // so that no room becomes empty: the board may forget empty rooms
			}
			b := newBoard(t, e)
			for range 20 * 60 * 5 { // for 20 minutes, 5 clients a second come or go
				for i, room := range []string{"shrinking", "steady", "slower", "growing"} {
					hook := e.Leave
					if arrives := r.Float64() < []float64{0.47, 0.5, 0.53, 0.6}[i]; arrives {
						hook = e.Join
					}
					must(t, hook(room))
				}
				time.Sleep(200 * time.Millisecond)
			}
			time.Sleep(2 * interval)
			synctest.Wait()
			rooms := b.Popular(10)
			if interval == 0 {
				first = rooms
			}
			for i, got := range rooms {
				want := first[i]
				if got.Name != want.Name || math.Abs(got.Arrivals-want.Arrivals) > 0.05*max(want.Arrivals, 20) || math.Abs(got.Ratio-want.Ratio) > 0.05*max(want.Ratio, 0.25) {
					t.Errorf("interval %v: %+v, want about %+v", interval, got, want)
				}
			}
		})
	}
}

func TestNew_UnderLoad_ListsEqualFullSort(t *testing.T) {
	e := newEngine(t, occupancy.WithInterval(time.Millisecond))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for g := range uint64(3) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(g, 7))
			for {
				select {
				case <-done:
					return
				default:
				}
				_ = []func(string) error{e.Join, e.Leave, enter(e), exit(e)}[r.IntN(4)](fmt.Sprint(r.IntN(300)))
			}
		})
	}
	boards := make([]*trending.Board, 20)
	for i := range boards {
		boards[i] = newBoard(t, e)
	}
	close(done)
	wg.Wait()
	popular, _ := newModel(e).lists(e)
	for _, b := range boards {
		require.Eventually(t, func() bool {
			return slices.EqualFunc(b.Popular(1000), popular, func(a, b trending.Room) bool { return a.Name == b.Name && a.Occupancy == b.Occupancy }) &&
				slices.IsSortedFunc(b.Trending(1000), func(a, b trending.Room) int { return cmp.Compare(b.Ratio, a.Ratio) })
		}, time.Minute, time.Millisecond)
	}
}
