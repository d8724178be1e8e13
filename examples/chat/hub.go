package main

import "sync"

// hub hands chat messages round. It knows the sessions in each room, and nothing of
// a room that nobody is in. The numbers are not its business: the engine has them.
type hub struct {
	mu    sync.Mutex // taken before a room's
	rooms map[string]*room
}

// room is the sessions that hear each other. One that is in it may keep the pointer:
// the room stays in the hub for as long.
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

// leave takes the session out; a session that is out already changes nothing.
func (h *hub) leave(name string, r *room, s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, in := r.sessions[s]; !in {
		return // and the name may be another room's by now
	}
	delete(r.sessions, s)
	if len(r.sessions) == 0 {
		delete(h.rooms, name)
	}
}

// say puts a message in the outbox of everybody in the room, in the same order for
// all. It waits for nobody: a session whose outbox is full is ended instead.
func (r *room) say(message []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.sessions {
		s.send(message)
	}
}

// size is how many rooms anybody is in.
func (h *hub) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.rooms)
}
