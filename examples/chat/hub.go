package main

import "sync"

// hub delivers chat messages to the sessions of a room. It does not count the sessions; the
// engine counts connections.
type hub struct {
	mu    sync.Mutex       // locked before room.mu
	rooms map[string]*room // rooms with at least one session, by name
}

// room contains the sessions of a room. A session may keep the pointer until the session
// leaves, because the hub deletes only empty rooms.
type room struct {
	mu       sync.Mutex
	sessions map[*session]struct{}
}

func (h *hub) join(name string, s *session) *room {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[name]
	if r == nil {
		if h.rooms == nil {
			h.rooms = map[string]*room{}
		}
		r = &room{sessions: map[*session]struct{}{}}
		h.rooms[name] = r
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sessions[s] = struct{}{}
	return r
}

// leave removes the session from the room. A second call has no effect.
func (h *hub) leave(name string, r *room, s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, in := r.sessions[s]; !in {
		return // left already; the hub may have a new room with this name
	}
	delete(r.sessions, s)
	if len(r.sessions) == 0 {
		delete(h.rooms, name)
	}
}

// broadcast adds a message to the outbox of each session in the room. All sessions receive
// the messages in the same order. broadcast does not block.
func (r *room) broadcast(message []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.sessions {
		s.send(message)
	}
}

// broadcast adds a message to the outbox of each session in the room with this name.
func (h *hub) broadcast(name string, message []byte) {
	h.mu.Lock()
	r := h.rooms[name]
	h.mu.Unlock()
	if r != nil {
		r.broadcast(message)
	}
}

// roomCount returns the number of rooms with at least one session.
func (h *hub) roomCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.rooms)
}
