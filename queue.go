package occupancy

import "sync"

// inbox is where hooks leave the rooms that changed, for the publisher. A cell is
// pushed when its idle flag is cleared, so a room that changes all the time is pushed
// once and is then revisited by the publisher of its own accord.
//
// A mutex and a queue: an intrusive lock-free list would cost each cell a pointer
// more, and a push is rare.
type inbox struct {
	wake chan struct{} // holds one token while there is something to take

	mu    sync.Mutex
	cells fifo[*cell]
}

func (q *inbox) push(c *cell) {
	q.mu.Lock()
	first := q.cells.empty()
	q.cells.push(c)
	q.mu.Unlock()
	if first {
		select {
		case q.wake <- struct{}{}:
		default: // a token of a former push is there still
		}
	}
}

// take returns all that was pushed and leaves spare, which is empty, to be filled.
func (q *inbox) take(spare fifo[*cell]) fifo[*cell] {
	q.mu.Lock()
	defer q.mu.Unlock()
	cells := q.cells
	q.cells = spare
	return cells
}

// fifo is a queue in blocks. One slice would be copied as it grows, which at a
// million rooms took longer than to tell them, and could not give memory back
// before it is empty.
type fifo[T any] struct {
	blocks [][]T // none is empty but the one that an empty queue keeps for reuse
	head   int   // how many of the first block are gone
}

const blockLen = 512

func (q *fifo[T]) empty() bool { return len(q.front()) == 0 }

// front is the oldest that are queued: some, if there are any.
func (q *fifo[T]) front() []T {
	if len(q.blocks) == 0 {
		return nil
	}
	return q.blocks[0][q.head:]
}

func (q *fifo[T]) push(v T) {
	last := len(q.blocks) - 1
	if last < 0 || len(q.blocks[last]) == blockLen {
		q.blocks = append(q.blocks, nil)
		last++
		if last > 0 {
			q.blocks[last] = make([]T, 0, blockLen)
		}
	}
	q.blocks[last] = append(q.blocks[last], v)
}

// drop removes the n oldest, which are in front.
func (q *fifo[T]) drop(n int) {
	clear(q.blocks[0][q.head : q.head+n])
	q.head += n
	if q.head < len(q.blocks[0]) {
		return
	}
	q.head = 0
	if len(q.blocks) == 1 {
		q.blocks[0] = q.blocks[0][:0]
		return
	}
	q.blocks[0] = nil
	q.blocks = q.blocks[1:]
	if len(q.blocks) == 1 {
		q.blocks = [][]T{q.blocks[0]} // the list of a crowd's blocks has its size too
	}
}
