package trending

import "slices"

// steady is the first n rooms, as a list shows them that showed was before: at each
// place stands the room that stood highest before among those that none of the rest
// is ahead of by more than the margin. Rooms that are new to the list stood below
// all others, the better the higher. top is the first n in the order itself.
//
// "Ahead by the margin" is no order: of 100, 103 and 107 with five percent only the last
// is ahead of the first. If they stood so, 107 must pass 100 and may not pass 103; so 103
// goes before it, past 100, and the list is right to the margin and calm again.
func (o Order) steady(was, top []*standing, n int, margin float64) []*standing {
	if margin == 0 {
		return top
	}
	// The rooms that may be on the list, each with its seat before.
	seats := make(map[*standing]int, len(top)+len(was))
	var byKey []*standing
	for i, s := range was {
		if s.at[o] != gone {
			seats[s] = i
			byKey = append(byKey, s)
		}
	}
	for i, s := range top {
		if _, ok := seats[s]; !ok {
			seats[s] = len(was) + i
			byKey = append(byKey, s)
		}
	}
	slices.SortFunc(byKey, func(a, b *standing) int {
		if (item{a.key(o), a}).before(item{b.key(o), b}) {
			return -1
		}
		return 1
	})

	list := make([]*standing, 0, min(n, len(byKey)))
	shown := make(map[*standing]bool, cap(list))
	var waiting queue  // the lowest seat first
	best, next := 0, 0 // in byKey: the best that is not shown, and the first that does not wait
	for len(list) < cap(list) {
		for shown[byKey[best]] {
			best++
		}
		for next < len(byKey) && !o.ahead(byKey[best], byKey[next], margin) {
			waiting.push(candidate{-float64(seats[byKey[next]]), int32(next)})
			next++
		}
		s := byKey[waiting.pop().at]
		shown[s] = true
		list = append(list, s)
	}
	return list
}

// ahead reports whether a has more than b by more than the margin.
func (o Order) ahead(a, b *standing, margin float64) bool {
	if o == Popular {
		return float64(a.connections) > float64(b.connections)*(1+margin)
	}
	return a.warmth > b.warmth.times(1+margin)
}
