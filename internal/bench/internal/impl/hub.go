package impl

import (
	"sync"
	"sync/atomic"
)

// hub is code that many chat servers contain: a mutex, and a map from each room to the set
// of its connections. It sends each new count to the subscribers of the room while it
// holds the mutex.
type hub struct {
	mu          sync.RWMutex
	rooms       map[string]map[*Conn]struct{}
	subscribers map[string]map[chan int]struct{}
	delivered   atomic.Uint64
	changes     *changes // nil without a watcher
}

func newHub() *hub {
	return &hub{rooms: map[string]map[*Conn]struct{}{}, subscribers: map[string]map[chan int]struct{}{}}
}

func (h *hub) Join(room string, c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.join(room, c)
}

func (h *hub) Leave(room string, c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leave(room, c)
}

func (h *hub) Count(room string) int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return len(h.rooms[room])
}

func (h *hub) Subscribe(room string) Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.subscribe(room)
}

func (h *hub) Watch(f func(room string, count int)) {
	h.changes = newChanges()
	go h.changes.read(f)
}

func (h *hub) Delivered() uint64 { return h.delivered.Load() }

func (h *hub) Close() {
	if h.changes != nil {
		close(h.changes.ready)
	}
}

func (h *hub) join(room string, c *Conn) {
	members := h.rooms[room]
	if members == nil {
		members = map[*Conn]struct{}{}
		h.rooms[room] = members
	}
	members[c] = struct{}{}
	h.notify(room, len(members))
}

func (h *hub) leave(room string, c *Conn) {
	members := h.rooms[room]
	delete(members, c)
	if len(members) == 0 {
		delete(h.rooms, room)
	}
	h.notify(room, len(members))
}

func (h *hub) subscribe(room string) Subscription {
	events := make(chan int, 1)
	if h.subscribers[room] == nil {
		h.subscribers[room] = map[chan int]struct{}{}
	}
	h.subscribers[room][events] = struct{}{}
	return subscribeTo(events)
}

func (h *hub) notify(room string, n int) {
	if h.changes != nil {
		h.changes.add(room, n)
	}
	if len(h.subscribers) == 0 {
		return
	}
	sent := uint64(0)
	for events := range h.subscribers[room] {
		if trySend(events, n) {
			sent++
		}
	}
	if sent > 0 {
		h.delivered.Add(sent)
	}
}
