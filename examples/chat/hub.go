package main

import "sync"

// hub delivers chat messages to the sessions of a room. It has an entry for each room
// that has sessions. It does not count them: the engine does.
type hub struct {
	mu    sync.Mutex // locked before room.mu
	rooms map[string]*room
}

// room contains the sessions of a room. A session may keep the pointer while it is in
// the room: the hub removes only empty rooms.
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

// leave removes the session from the room. Calling it again changes nothing.
func (h *hub) leave(name string, r *room, s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, in := r.sessions[s]; !in {
		return // the hub may have a new room of this name
	}
	delete(r.sessions, s)
	if len(r.sessions) == 0 {
		delete(h.rooms, name)
	}
}

// broadcast puts a message in the outbox of each session of the room, in the same order
// for all. It does not block: it ends a session whose outbox is full.
func (r *room) broadcast(message []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.sessions {
		s.send(message)
	}
}

// roomCount returns the number of rooms that have sessions.
func (h *hub) roomCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.rooms)
}
