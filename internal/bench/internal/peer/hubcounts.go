package peer

import "sync"

// hubCounts is the least that a hub can be: a mutex and a map of counts.
type hubCounts struct {
	mu    sync.RWMutex
	rooms map[string]*int // pointers, so that a change takes one look-up
}

func newHubCounts() Peer { return &hubCounts{rooms: map[string]*int{}} }

func (h *hubCounts) Join(room string, _ *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.rooms[room]
	if n == nil {
		n = new(int)
		h.rooms[room] = n
	}
	*n++
}

func (h *hubCounts) Leave(room string, _ *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.rooms[room]
	if *n--; *n == 0 {
		delete(h.rooms, room)
	}
}

func (h *hubCounts) Count(room string) int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if n := h.rooms[room]; n != nil {
		return *n
	}
	return 0
}

func (h *hubCounts) Close() {}
