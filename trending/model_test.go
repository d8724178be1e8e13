package trending_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/trending"
)

// With the interval 0 the engine publishes an event for each change, so the model knows
// the time of every arrival.
func TestLists_EqualFullSortAfterEachChange(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			e := occupancy.New(occupancy.WithInterval(0))
			defer e.Close()
			other := newRemote(t, e)
			room := func() string { return fmt.Sprintf("%c:%d", 'a'+r.IntN(2), r.IntN(12)) }
			for range 20 {
				_ = e.Join(room())
			}
			synctest.Wait()
			prefix := []string{"", "a:"}[seed%2]
			m := newModel(e, prefix, time.Minute)
			b := trending.New(e, trending.WithHalfLife(time.Minute), trending.WithPrefix(prefix))
			defer b.Close()

			hooks := []func(string) error{e.Join, e.Join, e.Leave, e.Leave, enter(e), exit(e)}
			for range 600 {
				name := room()
				switch n := r.IntN(len(hooks) + 2); {
				case n < len(hooks):
					_ = hooks[n](name)
				case n == len(hooks):
					must(t, other.Set(occupancy.Part{Room: name, Occupancy: occupancy.Occupancy{Connections: r.IntN(5), PresenceMembers: r.IntN(3)}}))
				default:
					must(t, other.Set(occupancy.Part{Room: name}))
				}
				synctest.Wait()
				m.update(name, e.Current(name))

				popular, hot := m.lists(e)
				wantEqual(t, "popular", b.Popular(1000), popular)
				wantEqual(t, "trending", b.Trending(1000), hot)
				k := r.IntN(len(popular) + 1)
				wantEqual(t, "first popular", b.Popular(k), popular[:k])
				wantEqual(t, "first trending", b.Trending(k), hot[:k])
				for i, p := range popular {
					want := trending.Places{Popular: i + 1}
					want.Trending = 1 + slices.IndexFunc(hot, func(h trending.Room) bool { return h.Name == p.Name })
					if got, ok := b.Rank(p.Name); !ok || got != want {
						t.Fatalf("rank of %s is %+v, %v, want %+v", p.Name, got, ok, want)
					}
				}
				if b.Len() != len(popular) {
					t.Fatalf("%d rooms, want %d", b.Len(), len(popular))
				}
				time.Sleep(time.Duration(r.Int64N(int64(20 * time.Second))))
			}
		})
	}
}

// With an interval, one event contains many changes. The heats depend on which changes an
// event contains, so the test compares only the rooms and their order.
func TestLists_EqualFullSortAfterBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := occupancy.New(occupancy.WithInterval(interval))
		defer e.Close()
		b := trending.New(e)
		defer b.Close()
		m := newModel(e, "", time.Minute)
		for round := range uint64(30) {
			var wg sync.WaitGroup
			for g := range uint64(4) {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(round, g))
					for range 300 {
						hook := []func(string) error{e.Join, e.Leave, enter(e), exit(e)}[r.IntN(4)]
						_ = hook(fmt.Sprint(r.IntN(100)))
						if r.IntN(50) == 0 {
							time.Sleep(interval / 3)
						}
					}
				})
			}
			wg.Wait()
			time.Sleep(2 * interval)
			synctest.Wait()
			popular, _ := m.lists(e)
			got := b.Popular(1000)
			for i := range got {
				got[i].Heat = 0
			}
			wantEqual(t, "popular", got, popular)
			hot := b.Trending(1000)
			if len(hot) != len(popular) {
				t.Fatalf("the trending list has %d rooms, want %d", len(hot), len(popular))
			}
			for i := range hot[1:] {
				if x, y := hot[i], hot[i+1]; x.Heat < y.Heat || x.Heat == y.Heat && x.Name > y.Name {
					t.Fatalf("%+v is listed before %+v", x, y)
				}
			}
		}
	})
}

func TestNew_UnderLoad(t *testing.T) {
	e := newEngine(t, occupancy.WithInterval(time.Millisecond))
	for i := range 5000 {
		must(t, e.Join(fmt.Sprint("quiet ", i)))
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				name := fmt.Sprint("busy ", g, i%50)
				_ = e.Join(name)
				_ = e.Leave(name)
			}
		})
	}
	boards := make([]*trending.Board, 10)
	for i := range boards {
		boards[i] = newBoard(t, e)
		if n := boards[i].Len(); n < 5000 {
			t.Errorf("%d rooms when New returns, want 5000", n)
		}
		if _, ok := boards[i].Rank("quiet 999"); !ok {
			t.Error("a room that existed before New has no rank")
		}
	}
	close(done)
	wg.Wait()
	for _, b := range boards {
		eventually(t, func() bool {
			at, _ := b.Rank("quiet 999") // the last by name
			return at == trending.Places{Popular: 5000, Trending: 5000} && b.Len() == 5000 && b.Trending(1)[0].Heat == 0
		})
	}
}

// The test creates boards while rooms change. When the changes stop, the lists of the
// boards must be exact.
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
	byName := func(a, b trending.Room) int { return cmp.Compare(a.Name, b.Name) }
	byHeat := func(a, b trending.Room) int { return cmp.Or(cmp.Compare(b.Heat, a.Heat), byName(a, b)) }
	withoutHeat := func(rooms []trending.Room) []trending.Room { // the model does not know the arrivals
		for i := range rooms {
			rooms[i].Heat = 0
		}
		return rooms
	}
	popular, _ := newModel(e, "", time.Minute).lists(e)
	all := slices.SortedFunc(slices.Values(popular), byName)
	for _, b := range boards {
		eventually(t, func() bool {
			hot := b.Trending(1000)
			sorted := slices.IsSortedFunc(hot, byHeat)
			slices.SortFunc(hot, byName)
			return sorted && slices.Equal(withoutHeat(hot), all) && slices.Equal(withoutHeat(b.Popular(1000)), popular)
		})
	}
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("condition still false after 30s")
		}
	}
}
