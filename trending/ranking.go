package trending

// ranking is a heap of the listed rooms of one order: each item comes before its children.
// The children of the item at i are at 4i+1 to 4i+4, in one cache line. An item contains
// the key, so that only a comparison of equal keys reads the entries.
type ranking struct {
	order Order
	items []item
}

type item struct {
	key   float64
	entry *entry
}

const arity = 4 // children of an item

// These indexes of an entry are those of no item.
const (
	unranked = -1
	queued   = -2 // not in the ranking; the entry is in Board.reviews
)

// minCapacity is the capacity below which slices and maps are not shrunk.
const minCapacity = 1 << 10

func (a item) before(b item) bool {
	if a.key != b.key {
		return a.key > b.key
	}
	return a.entry.name < b.entry.name
}

// set adds the entry or moves it to its place. If listed is false, it removes the entry.
func (r *ranking) set(e *entry, key float64, listed bool) {
	i, last := int(e.index[r.order]), len(r.items)-1
	switch {
	case listed && i < 0:
		r.items = append(r.items, item{})
		r.place(last+1, item{key, e})
	case listed && r.items[i].key != key:
		r.place(i, item{key, e})
	case !listed && i >= 0:
		moved := r.items[last]
		r.items[last] = item{}
		r.items = r.items[:last]
		if i != last {
			r.place(i, moved)
		}
		e.index[r.order] = queued
		if c := cap(r.items); c > minCapacity && last < c/4 {
			r.items = append(make([]item, 0, c/2), r.items...)
		}
	}
}

// place replaces the item at i with x, and moves x up or down to the right index.
func (r *ranking) place(i int, x item) {
	for p := (i - 1) / arity; i > 0 && x.before(r.items[p]); p = (i - 1) / arity {
		r.put(i, r.items[p])
		i = p
	}
	for {
		best, end := r.children(i)
		for c := best + 1; c < end; c++ {
			if r.items[c].before(r.items[best]) {
				best = c
			}
		}
		if best >= end || !r.items[best].before(x) {
			break
		}
		r.put(i, r.items[best])
		i = best
	}
	r.put(i, x)
}

func (r *ranking) put(i int, x item) {
	r.items[i] = x
	x.entry.index[r.order] = int32(i)
}

// children returns the indexes of an item's children: first to end-1.
func (r *ranking) children(i int) (first, end int) {
	n := len(r.items)
	return min(i*arity+1, n), min(i*arity+arity+1, n)
}

// top returns the first n entries by their present keys. present returns the present key of
// an entry, which is at most the key of its item, and false if the entry is not listed now.
// If present is nil, the keys of the items are present.
//
// top keeps the entries that it has reached in a queue, sorted by their keys. An entry is
// reached after its parent. If an entry is first in the queue with its present key, no other
// entry can come before it. So top reads only the entries that it returns, their children,
// and those whose keys decreased by more than the keys of others.
func (r *ranking) top(n int, present func(*entry) (key float64, listed bool)) []*entry {
	n = min(n, len(r.items))
	if n <= 0 {
		return nil
	}
	top := make([]*entry, 0, n)
	next := queues.Get().(*queue)
	defer next.release()
	next.items = r.items
	next.push(element{r.items[0].key, 0, false})
	for len(top) < n && len(next.elements) > 0 {
		x := next.pop()
		e := r.items[x.index].entry
		if x.present {
			top = append(top, e)
			continue
		}
		for c, end := r.children(int(x.index)); c < end; c++ { // reached now
			next.push(element{r.items[c].key, int32(c), false})
		}
		listed := true
		if present != nil {
			x.key, listed = present(e)
		}
		x.present = true
		switch {
		case !listed:
		case len(next.elements) == 0 || next.before(x, next.elements[0]):
			top = append(top, e)
		default:
			next.push(x)
		}
	}
	return top
}
