package trending

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// sorted returns all entries of the ranking, sorted by their keys.
func sorted(r *ranking) []*entry {
	items := slices.Clone(r.items)
	slices.SortFunc(items, func(a, b item) int {
		if a.before(b) {
			return -1
		}
		return 1
	})
	all := make([]*entry, len(items))
	for i, x := range items {
		all[i] = x.entry
	}
	return all
}

func TestRanking_EqualsFullSort(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 5))
	for _, order := range []Order{Popular, Trending} {
		ranked := &ranking{order: order}
		var rooms []*entry
		setRandomKeys := func(s *entry) {
			s.connections = int32(r.IntN(20))
			s.score = score(r.IntN(20))
			if r.IntN(5) == 0 {
				s.score = noArrivals
			}
		}
		for step := range 4000 {
			switch grow := step/500%2 == 0; {
			case len(rooms) == 0 || grow && r.IntN(2) == 0:
				s := &entry{name: fmt.Sprint(r.Uint64())}
				setRandomKeys(s)
				ranked.add(s)
				rooms = append(rooms, s)
			case !grow && r.IntN(2) == 0:
				i := r.IntN(len(rooms))
				ranked.remove(rooms[i])
				if rooms[i].index[order] != noIndex {
					t.Fatal("the entry is not marked as removed")
				}
				rooms = slices.Delete(rooms, i, i+1)
			default:
				s := rooms[r.IntN(len(rooms))]
				setRandomKeys(s)
				ranked.update(s)
			}
			if step%20 != 0 || len(rooms) == 0 {
				continue
			}
			want := sorted(ranked)
			if len(want) != len(rooms) {
				t.Fatalf("%d rooms, want %d", len(want), len(rooms))
			}
			if n := r.IntN(len(want) + 2); !slices.Equal(ranked.top(n), want[:min(n, len(want))]) {
				t.Fatalf("%v: wrong list of %d rooms out of %d", order, n, len(want))
			}
			i := r.IntN(len(want))
			if got, ok := ranked.rank(want[i], func() {}); got != i || !ok {
				t.Fatalf("%v: rank %d, %v, want %d", order, got, ok, i)
			}
		}
	}
}

func TestRank_RankingChangesDuringPauses(t *testing.T) {
	ranked := &ranking{order: Popular}
	rooms := make([]*entry, 3*rankStep)
	for i := range rooms {
		rooms[i] = &entry{name: fmt.Sprint(i), connections: int32(len(rooms) - i)}
		ranked.add(rooms[i])
	}
	last, pauses := rooms[len(rooms)-1], 0
	rank := func(change func()) (int, bool) {
		return ranked.rank(last, func() { pauses++; change() })
	}
	if got, ok := rank(func() {}); got != 3*rankStep-1 || !ok || pauses != 3 {
		t.Fatalf("rank %d, %v after %d pauses", got, ok, pauses)
	}
	others := rooms[rankStep:]
	if got, ok := rank(func() {
		for _, s := range others {
			ranked.remove(s)
		}
		others = nil
	}); got < rankStep || got > 2*rankStep || !ok {
		t.Fatalf("rank %d, %v; most entries were removed in the first pause", got, ok)
	}
	if got, ok := rank(func() {}); got != 0 || ok {
		t.Fatalf("rank %d, %v for a removed entry", got, ok)
	}
}

func TestStable_KeepsPlacesWithinMargin(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 5))
	const margin = 0.1
	for range 3000 {
		ranked := &ranking{order: Order(r.IntN(numOrders))}
		for i := range r.IntN(12) {
			n := r.IntN(30)
			s := &entry{name: fmt.Sprint(i), connections: int32(n), score: noArrivals}
			if n > 0 {
				s.score = noArrivals.withArrivals(n, 7)
			}
			ranked.add(s)
		}
		all, n := sorted(ranked), r.IntN(8)
		ahead := func(a, b *entry) bool { return ranked.order.ahead(a, b, margin) }

		// The previous list contains random entries, and an entry that was removed.
		removedEntry := &entry{name: "removed"}
		removedEntry.index[ranked.order] = noIndex
		previous := append(slices.Clone(all), removedEntry)
		r.Shuffle(len(previous), func(i, j int) { previous[i], previous[j] = previous[j], previous[i] })
		previous = previous[:min(n, len(previous))]

		list := ranked.order.stableList(previous, ranked.top(n), n, margin)
		if len(list) != min(n, len(all)) || slices.Contains(list, removedEntry) {
			t.Fatalf("%d rooms of %d, want %d", len(list), len(all), n)
		}
		for i, a := range list {
			if slices.Contains(list[:i], a) {
				t.Fatal("a room is listed twice")
			}
			for _, b := range all {
				if ahead(b, a) && !slices.Contains(list[:i], b) {
					t.Fatalf("%+v is listed, and %+v is not listed before it", a, b)
				}
			}
		}
		for i, b := range list {
			before := previous // the entries that were listed before b
			if at := slices.Index(previous, b); at >= 0 {
				before = previous[:at]
			}
			for _, a := range before {
				if a == removedEntry || slices.Contains(list[:i], a) || ahead(b, a) {
					continue
				}
				// b may pass a only if a third entry c is ahead of a but not of b.
				if !slices.ContainsFunc(all, func(c *entry) bool { return ahead(c, a) && !ahead(c, b) }) {
					t.Fatalf("%+v passed %+v", b, a)
				}
			}
		}
		if again := ranked.order.stableList(list, ranked.top(n), n, margin); !slices.Equal(again, list) {
			t.Fatal("the list changed without a change of the rooms")
		}
		// If all rooms are within the margin of each other, the list must not change.
		if withinMargin := !slices.ContainsFunc(all, func(s *entry) bool { return ahead(all[0], s) }); withinMargin {
			previous = slices.DeleteFunc(previous, func(s *entry) bool { return s == removedEntry })
			if !slices.Equal(list[:len(previous)], previous) {
				t.Fatal("the list changed for less than the margin")
			}
		}
	}
}

func TestRank_DoesNotAllocate(t *testing.T) {
	ranked := &ranking{order: Popular}
	for i := range 5000 {
		ranked.add(&entry{name: fmt.Sprint(i)})
	}
	last := ranked.top(5000)[4999]
	if n := testing.AllocsPerRun(10, func() { ranked.rank(last, func() {}) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
