package trending

import "sync"

// queue is a priority queue, implemented as a binary heap. The elements contain no
// pointers, because the write barrier of the garbage collector would make them slow.
type queue struct {
	elements []element
	items    []item // of the ranking; their names decide between equal keys
}

// element is an element of a queue. The greatest key comes first.
type element struct {
	key     float64
	index   int32 // in the heap of a ranking
	present bool  // whether the key is the entry's present key, see ranking.top
}

// queues is a pool of unused queues. Without it, reading a hundred rooms takes 1.5 times as long.
var queues = sync.Pool{New: func() any { return new(queue) }}

func (q *queue) release() {
	if cap(q.elements) > minCapacity {
		q.elements = nil
	}
	q.elements, q.items = q.elements[:0], nil
	queues.Put(q)
}

func (q *queue) before(a, b element) bool {
	return a.key > b.key || a.key == b.key && q.tied(a, b)
}

// tied is before for equal keys. An element that is not present comes first, because it may
// lead to entries that come before the present one.
//
//go:noinline so that before is small enough to be inlined
func (q *queue) tied(a, b element) bool {
	if a.present != b.present {
		return b.present
	}
	return q.items[a.index].entry.name < q.items[b.index].entry.name
}

func (q *queue) push(x element) {
	q.elements = append(q.elements, x)
	q.up(len(q.elements)-1, x)
}

// pop removes and returns the first element. The queue must not be empty.
func (q *queue) pop() element {
	first, last := q.elements[0], len(q.elements)-1
	x := q.elements[last]
	q.elements = q.elements[:last]
	if last == 0 {
		return first
	}
	// Move the hole at the top down to the bottom, and then x up from there. x usually stays
	// near the bottom, so this takes half as many comparisons as moving x down from the top.
	i := 0
	for c := 1; c < last; c = 2*i + 1 {
		if c+1 < last && q.before(q.elements[c+1], q.elements[c]) {
			c++
		}
		q.elements[i] = q.elements[c]
		i = c
	}
	q.up(i, x)
	return first
}

func (q *queue) up(i int, x element) {
	for ; i > 0 && q.before(x, q.elements[(i-1)/2]); i = (i - 1) / 2 {
		q.elements[i] = q.elements[(i-1)/2]
	}
	q.elements[i] = x
}
