package trending

// ranking sorts all rooms in one order. It is a heap: each item comes before its children.
// The children of the item at i are at 4i+1 to 4i+4, in one cache line. An item contains a
// copy of the entry's key, so that only a comparison of equal keys reads the entries.
type ranking struct {
	order Order
	items []item
}

type item struct {
	key   float64
	entry *entry
}

const arity = 4 // children of an item

func (a item) before(b item) bool {
	if a.key != b.key {
		return a.key > b.key
	}
	return a.entry.name < b.entry.name
}

// add adds an entry.
func (r *ranking) add(e *entry) {
	r.items = append(r.items, item{})
	r.up(len(r.items)-1, item{e.key(r.order), e})
}

// update moves an entry to its place after its key changed.
func (r *ranking) update(e *entry) { r.place(int(e.index[r.order]), item{e.key(r.order), e}) }

// remove removes an entry.
func (r *ranking) remove(e *entry) {
	i, last := int(e.index[r.order]), len(r.items)-1
	moved := r.items[last]
	r.items[last] = item{}
	r.items = r.items[:last]
	if i != last {
		r.place(i, moved)
	}
	e.index[r.order] = noIndex
	if c := cap(r.items); c > minCapacity && last < c/4 {
		r.items = append(make([]item, 0, c/2), r.items...)
	}
}

// minCapacity is the capacity below which slices and maps are not shrunk.
const minCapacity = 1 << 10

// place replaces the item at i with x, and moves x up or down to the right index.
func (r *ranking) place(i int, x item) {
	if i > 0 && x.before(r.items[(i-1)/arity]) {
		r.up(i, x)
	} else {
		r.down(i, x)
	}
}

func (r *ranking) up(i int, x item) {
	for i > 0 {
		p := (i - 1) / arity
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
		first, end := r.children(i)
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
	x.entry.index[r.order] = int32(i)
}

// children returns the indexes of an item's children: first to end-1.
func (r *ranking) children(i int) (first, end int) {
	n := len(r.items)
	return min(i*arity+1, n), min(i*arity+arity+1, n)
}

// top returns the first n entries. Each entry except the first is a child of an earlier
// entry, so top compares only the children of the entries that it has found.
func (r *ranking) top(n int) []*entry {
	n = min(n, len(r.items))
	if n <= 0 {
		return nil
	}
	top := make([]*entry, 0, n)
	next := queues.Get().(*queue)
	defer next.release()
	next.tie = func(a, b int32) bool { return r.items[a].entry.name < r.items[b].entry.name }
	next.push(element{r.items[0].key, 0})
	for {
		i := next.pop().index
		top = append(top, r.items[i].entry)
		if len(top) == n {
			return top
		}
		for c, end := r.children(int(i)); c < end; c++ {
			next.push(element{r.items[c].key, int32(c)})
		}
	}
}

// rank returns the number of entries before e, or false if e is not in the ranking. It
// visits the entries before e and their children. If an entry comes after e, its children
// come after e too, so rank skips them.
//
// rank calls pause after every rankStep entries. The ranking may change during a pause.
func (r *ranking) rank(e *entry, pause func()) (rank int, ok bool) {
	if e.index[r.order] == noIndex {
		return 0, false
	}
	x := r.items[e.index[r.order]]
	for i, visited := 0, 1; ; visited++ {
		if visited%rankStep == 0 {
			pause()
		}
		if i < len(r.items) && r.items[i].before(x) {
			rank++
			if first, end := r.children(i); first < end {
				i = first
				continue
			}
		}
		for i%arity == 0 || i+1 >= len(r.items) { // i is the last child of its parent
			if i == 0 {
				return rank, true
			}
			i = (i - 1) / arity
		}
		i++
	}
}

const rankStep = 512 // entries that rank visits between two pauses
