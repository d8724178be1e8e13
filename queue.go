package occupancy

import (
	"sync"
	"sync/atomic"
)

// inbox holds the rooms that hooks have pushed for the scheduler. A hook pushes a cell
// when it sets the cell's queued flag, so a room that changes all the time is pushed once
// and then waits in a queue of the publisher.
//
// It is a mutex and a queue: an intrusive lock-free list would cost one more pointer in
// each cell, and a push is rare.
type inbox struct {
	wake chan struct{} // holds one token if the goroutine must run another round

	mu        sync.Mutex
	cells     fifo[*cell]
	urgent    fifo[*cell] // rooms that may have subscribers, to be published first
	hasUrgent atomic.Bool // urgent is not empty
}

func (q *inbox) push(c *cell, urgent bool) {
	q.mu.Lock()
	queue := &q.cells
	if urgent {
		queue = &q.urgent
		q.hasUrgent.Store(true)
	}
	// The scheduler empties the two queues at different times, so the first push to either
	// queue wakes it.
	first := queue.empty()
	queue.push(c)
	q.mu.Unlock()
	if first {
		q.signal()
	}
}

// signal wakes the scheduler.
func (q *inbox) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // wake already holds a token
	}
}

// take returns all pushed cells that are not urgent. The inbox puts later cells into spare,
// an empty queue.
func (q *inbox) take(spare fifo[*cell]) (cells fifo[*cell]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	cells, q.cells = q.cells, spare
	return cells
}

// takeUrgent is take for the urgent cells.
func (q *inbox) takeUrgent(spare fifo[*cell]) (cells fifo[*cell]) {
	if !q.hasUrgent.Load() {
		return spare
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	cells, q.urgent = q.urgent, spare
	q.hasUrgent.Store(false)
	return cells
}

// fifo is a queue in blocks. A single slice would be copied as it grows, which takes
// longer than publishing a million rooms, and could not release memory before it is
// empty.
type fifo[T any] struct {
	blocks [][]T // none is empty, except the one that an empty queue keeps for reuse
	head   int   // how many values of the first block are removed
	spare  []T   // an empty block for reuse, or nil
}

const blockLen = 512

func (q *fifo[T]) empty() bool { return len(q.front()) == 0 }

// front returns the oldest values: at least one if the queue is not empty.
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
			if q.spare == nil {
				q.spare = make([]T, 0, blockLen)
			}
			q.blocks[last], q.spare = q.spare, nil
		}
	}
	q.blocks[last] = append(q.blocks[last], v)
}

// drop removes the n oldest values, all of which front returned.
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
	q.spare = q.blocks[0][:0]
	q.blocks[0] = nil
	q.blocks = q.blocks[1:]
	if len(q.blocks) == 1 {
		q.blocks = [][]T{q.blocks[0]} // release the list of blocks, too
	}
}
