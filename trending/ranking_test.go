package trending

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// sorted is every room of the ranking, by sorting all of them.
func sorted(r *ranking) []*standing {
	items := slices.Clone(r.items)
	slices.SortFunc(items, func(a, b item) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	all := make([]*standing, len(items))
	for i, x := range items {
		all[i] = x.s
	}
	return all
}

func TestARankingIsASort(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	for _, order := range []Order{Popular, Trending} {
		ranked := &ranking{order: order}
		var rooms []*standing
		value := func(s *standing) {
			s.connections = int32(r.IntN(20))
			s.warmth = warmth(r.IntN(20))
			if r.IntN(5) == 0 {
				s.warmth = cold
			}
		}
		for step := range 4000 {
			switch grow := step/500%2 == 0; {
			case len(rooms) == 0 || grow && r.IntN(2) == 0:
				s := &standing{name: fmt.Sprint(r.Uint64())}
				value(s)
				ranked.add(s)
				rooms = append(rooms, s)
			case !grow && r.IntN(2) == 0:
				i := r.IntN(len(rooms))
				ranked.remove(rooms[i])
				if rooms[i].at[order] != gone {
					t.Fatal("removed, but not gone")
				}
				rooms = slices.Delete(rooms, i, i+1)
			default:
				s := rooms[r.IntN(len(rooms))]
				value(s)
				ranked.move(s)
			}
			if step%20 != 0 || len(rooms) == 0 {
				continue
			}
			want := sorted(ranked)
			if len(want) != len(rooms) {
				t.Fatalf("%d rooms, want %d", len(want), len(rooms))
			}
			if n := r.IntN(len(want) + 2); !slices.Equal(ranked.top(n), want[:min(n, len(want))]) {
				t.Fatalf("%v: the first %d of %d are not", order, n, len(want))
			}
			i := r.IntN(len(want))
			if at, ok := ranked.rank(want[i], func() {}); at != i || !ok {
				t.Fatalf("%v: rank %d, %v, want %d", order, at, ok, i)
			}
		}
	}
}

func TestARankIsCountedWhileTheRankingChanges(t *testing.T) {
	ranked := &ranking{order: Popular}
	rooms := make([]*standing, 3*step)
	for i := range rooms {
		rooms[i] = &standing{name: fmt.Sprint(i), connections: int32(len(rooms) - i)}
		ranked.add(rooms[i])
	}
	last, pauses := rooms[len(rooms)-1], 0
	rank := func(during func()) (int, bool) {
		return ranked.rank(last, func() { pauses++; during() })
	}
	if at, ok := rank(func() {}); at != 3*step-1 || !ok || pauses != 3 {
		t.Fatalf("%d, %v after %d pauses", at, ok, pauses)
	}
	left := rooms[step:]
	if at, ok := rank(func() {
		for _, s := range left {
			ranked.remove(s)
		}
		left = nil
	}); at < step || at > 2*step || !ok {
		t.Fatalf("%d, %v when most leave during the first pause", at, ok)
	}
	if at, ok := rank(func() {}); at != 0 || ok {
		t.Fatalf("%d, %v for one that left", at, ok)
	}
}

func TestASteadyListIsRightToTheMargin(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 5))
	const margin = 0.1
	for range 3000 {
		ranked := &ranking{order: Order(r.IntN(orders))}
		for i := range r.IntN(12) {
			n := r.IntN(30)
			s := &standing{name: fmt.Sprint(i), connections: int32(n), warmth: cold}
			if n > 0 {
				s.warmth = cold.arrive(n, 7)
			}
			ranked.add(s)
		}
		all, n := sorted(ranked), r.IntN(8)
		ahead := func(a, b *standing) bool { return ranked.order.ahead(a, b, margin) }

		// What was shown: anything, of rooms that are there and one that is not.
		left := &standing{name: "left"}
		left.at[ranked.order] = gone
		was := append(slices.Clone(all), left)
		r.Shuffle(len(was), func(i, j int) { was[i], was[j] = was[j], was[i] })
		was = was[:min(n, len(was))]

		list := ranked.order.steady(was, ranked.top(n), n, margin)
		if len(list) != min(n, len(all)) || slices.Contains(list, left) {
			t.Fatalf("%d rooms of %d, want %d", len(list), len(all), n)
		}
		for i, a := range list {
			if slices.Contains(list[:i], a) {
				t.Fatal("a room stands there twice")
			}
			for _, b := range all {
				if ahead(b, a) && !slices.Contains(list[:i], b) {
					t.Fatalf("%+v stands before %+v, or alone", a, b)
				}
			}
		}
		for i, b := range list {
			before := was // who was before b, if b was there
			if at := slices.Index(was, b); at >= 0 {
				before = was[:at]
			}
			for _, a := range before {
				if a == left || slices.Contains(list[:i], a) || ahead(b, a) {
					continue
				}
				// b passed a for less than the margin: in the wake of a third.
				if !slices.ContainsFunc(all, func(c *standing) bool { return ahead(c, a) && !ahead(c, b) }) {
					t.Fatalf("%+v passed %+v", b, a)
				}
			}
		}
		if again := ranked.order.steady(list, ranked.top(n), n, margin); !slices.Equal(again, list) {
			t.Fatal("a list changed though nothing did")
		}
		// Where no two rooms are ahead of each other the list stays as it was.
		if calm := !slices.ContainsFunc(all, func(s *standing) bool { return ahead(all[0], s) }); calm {
			was = slices.DeleteFunc(was, func(s *standing) bool { return s == left })
			if !slices.Equal(list[:len(was)], was) {
				t.Fatal("a list changed for less than the margin")
			}
		}
	}
}

// Who asks for the place of a room of a million must not pay with memory for each of them.
func TestARankIsCountedWithoutMemory(t *testing.T) {
	ranked := &ranking{order: Popular}
	for i := range 5000 {
		ranked.add(&standing{name: fmt.Sprint(i)})
	}
	last := ranked.top(5000)[4999]
	if n := testing.AllocsPerRun(10, func() { ranked.rank(last, func() {}) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
