package trending

// queue is a priority queue: pop returns what is less than all others.
type queue[T any] struct {
	less  func(a, b T) bool
	items []T
}

func (q *queue[T]) push(x T) {
	q.items = append(q.items, x)
	i := len(q.items) - 1
	for i > 0 {
		p := (i - 1) / 2
		if !q.less(x, q.items[p]) {
			break
		}
		q.items[i] = q.items[p]
		i = p
	}
	q.items[i] = x
}

func (q *queue[T]) pop() T {
	first, last := q.items[0], len(q.items)-1
	x := q.items[last]
	q.items = q.items[:last]
	if last == 0 {
		return first
	}
	i := 0
	for {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && q.less(q.items[c+1], q.items[c]) {
			c++
		}
		if !q.less(q.items[c], x) {
			break
		}
		q.items[i] = q.items[c]
		i = c
	}
	q.items[i] = x
	return first
}
