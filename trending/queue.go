package trending

import "sync"

// queue is a priority queue, implemented as a binary heap. The elements contain no
// pointers, because the write barrier of the garbage collector would make them slow.
type queue struct {
	elements []element
	tie      func(a, b int32) bool // for equal keys: reports whether index a comes before index b
}

// element is an element of a queue. The greatest key comes first.
type element struct {
	key     float64
	index   int32 // in the heap of a ranking
	present bool  // the key is the present one of the entry, see ranking.top
}

// queues is a pool of unused queues. It halves the allocations of reading a hundred rooms.
var queues = sync.Pool{New: func() any { return new(queue) }}

func (q *queue) release() {
	if cap(q.elements) > minCapacity {
		q.elements = nil
	}
	q.elements, q.tie = q.elements[:0], nil
	queues.Put(q)
}

func (q *queue) before(a, b element) bool {
	switch {
	case a.key != b.key:
		return a.key > b.key
	case a.present != b.present: // b may have to come after the entries that a leads to
		return b.present
	}
	return q.tie(a.index, b.index)
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
	// The first element leaves a hole at the top. Move this hole down to the bottom, and
	// then move x up from there. x usually stays near the bottom, so this takes half as
	// many comparisons as moving x down from the top.
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
	for i > 0 {
		p := (i - 1) / 2
		if !q.before(x, q.elements[p]) {
			break
		}
		q.elements[i] = q.elements[p]
		i = p
	}
	q.elements[i] = x
}
