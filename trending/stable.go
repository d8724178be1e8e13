package trending

import "slices"

// stable returns the first n entries for a subscribed list. It differs from the exact
// order where that avoids moving an entry without need.
//
// previous is the list before, and top the first n entries in the exact order. stable
// fills the list from the first place on. For each place, the candidates are the entries
// that no remaining entry is ahead of by more than the margin. stable takes the candidate
// that was highest in the previous list. Entries that were not in it rank below all that
// were, in the exact order.
//
// "Ahead by more than the margin" is not transitive. Take entries with 100, 103 and 107
// connections, listed in this order, and a margin of five percent. 107 must pass 100, but
// must not pass 103. So stable puts 103 first, then 107, then 100. Called again
// with this list, it returns the same list.
func (o Order) stable(previous, top []*entry, n int, margin float64) []*entry {
	if margin == 0 {
		return top
	}
	// The entries that may be on the list, sorted exactly, and their previous places.
	places := make(map[*entry]int, len(top)+len(previous))
	var sorted []*entry
	for i, e := range previous {
		if e.index[o] != removed {
			places[e] = i
			sorted = append(sorted, e)
		}
	}
	for i, e := range top {
		if _, ok := places[e]; !ok {
			places[e] = len(previous) + i
			sorted = append(sorted, e)
		}
	}
	slices.SortFunc(sorted, func(a, b *entry) int {
		if (item{a.key(o), a}).before(item{b.key(o), b}) {
			return -1
		}
		return 1
	})

	list := make([]*entry, 0, min(n, len(sorted)))
	listed := make(map[*entry]bool, cap(list))
	var candidates queue // the highest previous place first
	best := 0            // the first of sorted that is not listed
	next := 0            // the first of sorted that was not a candidate yet
	for len(list) < cap(list) {
		for listed[sorted[best]] {
			best++
		}
		for next < len(sorted) && !o.ahead(sorted[best], sorted[next], margin) {
			candidates.push(queued{-float64(places[sorted[next]]), int32(next)})
			next++
		}
		e := sorted[candidates.pop().index]
		listed[e] = true
		list = append(list, e)
	}
	return list
}

// ahead reports whether a is ahead of b by more than the margin.
func (o Order) ahead(a, b *entry, margin float64) bool {
	if o == Popular {
		return float64(a.connections) > float64(b.connections)*(1+margin)
	}
	return a.score > b.score.times(1+margin)
}
