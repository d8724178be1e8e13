package trending

// ranking is all rooms in one order, as a heap: each is before its children, and the
// children of the one at i are at 4i+1 to 4i+4, which fit in a cache line. What
// is compared stands beside the pointer, so that only a tie looks at the rooms.
type ranking struct {
	order Order
	items []item
}

type item struct {
	key float64
	s   *standing
}

const children = 4

func (a item) before(b item) bool {
	if a.key != b.key {
		return a.key > b.key
	}
	return a.s.name < b.s.name
}

// add ranks a room.
func (r *ranking) add(s *standing) {
	r.items = append(r.items, item{})
	r.up(len(r.items)-1, item{s.key(r.order), s})
}

// move ranks a room anew, after its key changed.
func (r *ranking) move(s *standing) { r.place(int(s.at[r.order]), item{s.key(r.order), s}) }

// remove takes a room out; the last one of the heap fills the place.
func (r *ranking) remove(s *standing) {
	i, last := int(s.at[r.order]), len(r.items)-1
	moved := r.items[last]
	r.items[last] = item{}
	r.items = r.items[:last]
	if i != last {
		r.place(i, moved)
	}
	s.at[r.order] = gone
	if c := cap(r.items); c > spare && last < c/4 {
		r.items = append(make([]item, 0, c/2), r.items...)
	}
}

const spare = 1 << 10 // what stays allocated however few rooms there are

// place puts x where the item at i was or, from there, where it belongs.
func (r *ranking) place(i int, x item) {
	if i > 0 && x.before(r.items[(i-1)/children]) {
		r.up(i, x)
	} else {
		r.down(i, x)
	}
}

func (r *ranking) up(i int, x item) {
	for i > 0 {
		p := (i - 1) / children
		if !x.before(r.items[p]) {
			break
		}
		r.set(i, r.items[p])
		i = p
	}
	r.set(i, x)
}

func (r *ranking) down(i int, x item) {
	for {
		first, end := r.below(i)
		if first == end {
			break
		}
		best := first
		for c := first + 1; c < end; c++ {
			if r.items[c].before(r.items[best]) {
				best = c
			}
		}
		if !r.items[best].before(x) {
			break
		}
		r.set(i, r.items[best])
		i = best
	}
	r.set(i, x)
}

func (r *ranking) set(i int, x item) {
	r.items[i] = x
	x.s.at[r.order] = int32(i)
}

// below is where the children of the item at i are, end excluded.
func (r *ranking) below(i int) (first, end int) {
	n := len(r.items)
	return min(i*children+1, n), min(i*children+children+1, n)
}

// top returns the first n. Whoever comes next is a child of one of those before, so
// it looks at no more than these.
func (r *ranking) top(n int) []*standing {
	n = min(n, len(r.items))
	if n <= 0 {
		return nil
	}
	top := make([]*standing, 0, n)
	next := queues.Get().(*queue)
	defer next.release()
	next.tie = func(a, b int32) bool { return r.items[a].s.name < r.items[b].s.name }
	next.push(candidate{r.items[0].key, 0})
	for {
		at := next.pop().at
		top = append(top, r.items[at].s)
		if len(top) == n {
			return top
		}
		for i, end := r.below(int(at)); i < end; i++ {
			next.push(candidate{r.items[i].key, int32(i)})
		}
	}
}

// rank counts the rooms before s, by looking at them and their children alone: what is
// not before s has nobody below it who is. After every few it calls pause, during which
// the ranking may change. It reports false if s is not in the ranking.
func (r *ranking) rank(s *standing, pause func()) (rank int, ok bool) {
	if s.at[r.order] == gone {
		return 0, false
	}
	x := r.items[s.at[r.order]]
	for i, seen := 0, 1; ; seen++ {
		if seen%step == 0 {
			pause()
		}
		if i < len(r.items) && r.items[i].before(x) {
			rank++
			if first, end := r.below(i); first < end {
				i = first
				continue
			}
		}
		for i%children == 0 || i+1 >= len(r.items) { // the last child of its parent
			if i == 0 {
				return rank, true
			}
			i = (i - 1) / children
		}
		i++
	}
}

const step = 512 // how many rooms rank looks at before it pauses
