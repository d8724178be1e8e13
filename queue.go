package occupancy

import "sync"

// inbox is where hooks leave the rooms that changed, for the publisher. A cell is
// pushed when its idle flag is cleared, so a room that changes all the time is pushed
// once and is then revisited by the publisher of its own accord.
//
// A mutex and a slice: an intrusive lock-free list would cost each cell a pointer
// more, and a push is rare.
type inbox struct {
	wake chan struct{} // holds one token while there is something to take

	mu    sync.Mutex
	cells []*cell
}

func (q *inbox) push(c *cell) {
	q.mu.Lock()
	q.cells = append(q.cells, c)
	first := len(q.cells) == 1
	q.mu.Unlock()
	if first {
		select {
		case q.wake <- struct{}{}:
		default: // a token of a former push is there still
		}
	}
}

// take returns all that was pushed, oldest first, and leaves spare to be filled.
func (q *inbox) take(spare []*cell) []*cell {
	q.mu.Lock()
	defer q.mu.Unlock()
	cells := q.cells
	q.cells = spare
	return cells
}

// fifo is a queue in one slice, for one goroutine.
type fifo[T any] struct {
	all  []T
	head int
}

const spareCap = 1 << 10 // an empty queue keeps no more room than this

func (q *fifo[T]) push(v T) { q.all = append(q.all, v) }

// items are what is queued, oldest first.
func (q *fifo[T]) items() []T { return q.all[q.head:] }

// drop removes the n oldest.
func (q *fifo[T]) drop(n int) {
	clear(q.all[q.head : q.head+n])
	q.head += n
	switch live := len(q.all) - q.head; {
	case live == 0:
		q.all, q.head = emptied(q.all), 0
	case q.head > spareCap && q.head > live:
		q.truncate(copy(q.all, q.items()))
	}
}

// filter keeps those that keep says.
func (q *fifo[T]) filter(keep func(T) bool) {
	n := 0
	for _, v := range q.items() {
		if keep(v) {
			q.all[n] = v
			n++
		}
	}
	q.truncate(n)
}

func (q *fifo[T]) truncate(n int) {
	clear(q.all[n:])
	q.all, q.head = q.all[:n], 0
}

// emptied is s with no elements, its memory kept for reuse if there is little.
func emptied[T any](s []T) []T {
	if cap(s) > spareCap {
		return nil
	}
	return s[:0]
}
