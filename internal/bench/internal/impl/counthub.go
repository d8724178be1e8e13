package impl

import "sync"

// countHub is the simplest hub: a mutex and a map of counts.
type countHub struct {
	mu    sync.RWMutex
	rooms map[string]*int // pointers, so that a change needs one look-up
}

func newCountHub() Counter { return &countHub{rooms: map[string]*int{}} }

func (h *countHub) Join(room string, _ *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.rooms[room]
	if n == nil {
		n = new(int)
		h.rooms[room] = n
	}
	*n++
}

func (h *countHub) Leave(room string, _ *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.rooms[room]
	if *n--; *n == 0 {
		delete(h.rooms, room)
	}
}

func (h *countHub) Count(room string) int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if n := h.rooms[room]; n != nil {
		return *n
	}
	return 0
}

func (h *countHub) Close() {}
