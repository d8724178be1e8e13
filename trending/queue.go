package trending

import "sync"

// queue is a priority queue, as a binary heap. It holds no pointers: with pointers, the
// garbage collector's write barrier costs more than the comparison in each step.
type queue struct {
	items []queued
	tie   func(a, b int32) bool // whether index a comes before index b; called for equal keys
}

// queued is an element of a queue. The greatest key comes first.
type queued struct {
	key   float64
	index int32 // of the element in the caller's own slice
}

// queues holds queues for reuse: reading a hundred rooms allocates half as much with it.
var queues = sync.Pool{New: func() any { return new(queue) }}

func (q *queue) release() {
	if cap(q.items) > minCapacity {
		q.items = nil
	}
	q.items, q.tie = q.items[:0], nil
	queues.Put(q)
}

func (q *queue) before(a, b queued) bool {
	return a.key > b.key || a.key == b.key && q.tie(a.index, b.index)
}

func (q *queue) push(x queued) {
	q.items = append(q.items, x)
	q.up(len(q.items)-1, x)
}

// pop removes and returns the first element. The queue must not be empty.
func (q *queue) pop() queued {
	first, last := q.items[0], len(q.items)-1
	x := q.items[last]
	q.items = q.items[:last]
	if last == 0 {
		return first
	}
	// Fill the hole at the top with the better child until it is at the bottom, and
	// move x up from there. x was at the bottom and usually stays near it, so this
	// takes half the comparisons of moving x down from the top.
	i := 0
	for c := 1; c < last; c = 2*i + 1 {
		if c+1 < last && q.before(q.items[c+1], q.items[c]) {
			c++
		}
		q.items[i] = q.items[c]
		i = c
	}
	q.up(i, x)
	return first
}

func (q *queue) up(i int, x queued) {
	for i > 0 {
		p := (i - 1) / 2
		if !q.before(x, q.items[p]) {
			break
		}
		q.items[i] = q.items[p]
		i = p
	}
	q.items[i] = x
}
