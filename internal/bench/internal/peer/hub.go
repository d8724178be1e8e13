package peer

import (
	"sync"
	"sync/atomic"
)

// hub is the hub that chat servers have: a mutex and, for each room, the set of its
// connections, which it tells the new count at each change.
type hub struct {
	mu    sync.RWMutex
	rooms map[string]map[*Conn]struct{}
	subs  map[string]map[chan int]struct{}
	told  atomic.Uint64
}

func newHub() Peer {
	return &hub{rooms: map[string]map[*Conn]struct{}{}, subs: map[string]map[chan int]struct{}{}}
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

func (h *hub) Told() uint64 { return h.told.Load() }
func (h *hub) Close()       {}

func (h *hub) join(room string, c *Conn) {
	members := h.rooms[room]
	if members == nil {
		members = map[*Conn]struct{}{}
		h.rooms[room] = members
	}
	members[c] = struct{}{}
	h.tell(room, len(members))
}

func (h *hub) leave(room string, c *Conn) {
	members := h.rooms[room]
	delete(members, c)
	if len(members) == 0 {
		delete(h.rooms, room)
	}
	h.tell(room, len(members))
}

func (h *hub) subscribe(room string) Subscription {
	events := make(chan int, 1)
	if h.subs[room] == nil {
		h.subs[room] = map[chan int]struct{}{}
	}
	h.subs[room][events] = struct{}{}
	return feed[int]{events, itself}
}

func (h *hub) tell(room string, n int) {
	if len(h.subs) == 0 {
		return
	}
	told := uint64(0)
	for events := range h.subs[room] {
		if offer(events, n) {
			told++
		}
	}
	if told > 0 {
		h.told.Add(told)
	}
}
