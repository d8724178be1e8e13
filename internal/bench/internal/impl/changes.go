package impl

import "sync"

// changes collects the newest counts of the changed rooms until a watcher reads them, so
// that a slow watcher misses no room.
type changes struct {
	mu     sync.Mutex
	counts map[string]int
	ready  chan struct{} // contains a value if counts is not empty
}

func newChanges() *changes {
	return &changes{counts: map[string]int{}, ready: make(chan struct{}, 1)}
}

func (c *changes) add(room string, count int) {
	c.mu.Lock()
	c.counts[room] = count
	c.mu.Unlock()
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// read calls f for each changed room until ready is closed.
func (c *changes) read(f func(room string, count int)) {
	for range c.ready {
		c.mu.Lock()
		batch := c.counts
		c.counts = map[string]int{}
		c.mu.Unlock()
		for room, count := range batch {
			f(room, count)
		}
	}
}
