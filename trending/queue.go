package trending

import "sync"

// queue gives back what is before all others in it. It is a binary heap, without
// pointers, which at every step would cost more than the comparison while the garbage
// collector runs.
type queue struct {
	items []candidate
	tie   func(a, b int32) bool // whether the one at a is before the one at b, where keys are equal
}

// queues are for reuse: at a hundred rooms the queue is half of what reading them allocates.
var queues = sync.Pool{New: func() any { return new(queue) }}

func (q *queue) release() {
	if cap(q.items) > spare {
		q.items = nil
	}
	q.items, q.tie = q.items[:0], nil
	queues.Put(q)
}

// candidate is something with a key, the greater first, and where its owner has it.
type candidate struct {
	key float64
	at  int32
}

func (q *queue) before(a, b candidate) bool {
	return a.key > b.key || a.key == b.key && q.tie(a.at, b.at)
}

func (q *queue) push(x candidate) {
	q.items = append(q.items, x)
	q.up(len(q.items)-1, x)
}

func (q *queue) pop() candidate {
	first, last := q.items[0], len(q.items)-1
	x := q.items[last]
	q.items = q.items[:last]
	if last == 0 {
		return first
	}
	// The better child moves up all the way, and then x from the bottom, whence it came
	// and where it mostly belongs: half the comparisons of asking x at each step.
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

func (q *queue) up(i int, x candidate) {
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
