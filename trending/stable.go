package trending

import "slices"

// stableList returns the first n entries of a subscribed list. previous is the list that was
// published last, and top contains the first n entries in the exact order. stableList keeps
// entries in their previous order if their keys differ by less than the margin.
//
// stableList fills the list from the first place to the last. An entry is a candidate for the
// next place, unless another unlisted entry is ahead of it by more than the margin. stableList
// lists the candidate that has the highest place in previous. If no candidate is in
// previous, stableList lists the first candidate in the exact order.
//
// For example, previous contains entries with 100, 103 and 107 connections, in this order,
// and the margin is five percent. The entry with 107 must pass the entry with 100, but must
// not pass the entry with 103. So stableList returns 103, 107, 100. If previous is this result,
// stableList returns the same list again.
func (o Order) stableList(previous, top []*entry, n int, margin float64) []*entry {
	if margin == 0 {
		return top
	}
	var sorted []*entry // the entries of previous and top, in the exact order
	// The place of each entry in previous. The other entries have the places after previous.
	places := make(map[*entry]int, len(top)+len(previous))
	for i, e := range previous {
		if e.index[o] != noIndex {
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
	best := 0            // index in sorted of the first entry that is not listed
	next := 0            // index in sorted of the first entry that was not a candidate yet
	for len(list) < cap(list) {
		for listed[sorted[best]] {
			best++
		}
		for next < len(sorted) && !o.ahead(sorted[best], sorted[next], margin) {
			candidates.push(element{-float64(places[sorted[next]]), int32(next)})
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
	return a.score > b.score.scaled(1+margin)
}
