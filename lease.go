package occupancy

import "sync"

// Lease counts one connection in one room, and the clients that entered through it.
// Create it with [Engine.Connect] and Close it when the connection ends, for whatever
// reason. With leases alone the counts are right, whichever methods are called and
// however often. All its methods may be called from any goroutine.
//
// Hooks called by name in the same room share its counts: a Leave by name takes away
// the count of some lease. If no connection is left when that lease is closed, its
// Close changes nothing; if others have joined since, its Close takes away one of them.
type Lease struct {
	e    *Engine
	room string

	mu      sync.Mutex // protects the following
	cell    *cell
	joined  bool // the connection is counted in cell
	closed  bool
	first   string              // a client that entered, or "": most connections have one
	clients map[string]struct{} // the others
}

// Connect joins the room and returns the lease that leaves it. The errors are those of
// [Engine.Join]. It allocates the lease.
func (e *Engine) Connect(room string) (*Lease, error) {
	c, _ := e.rooms.find(room)
	return e.connect(c, room)
}

func (e *Engine) connect(c *cell, room string) (*Lease, error) {
	if c == nil || !c.tryJoin() {
		var err error
		if c, err = e.add(c, room, connection); err != nil {
			return nil, err
		}
	}
	return &Lease{e: e, room: c.name, cell: c, joined: true}, nil
}

// Room returns the name of the lease's room.
func (l *Lease) Room() string { return l.room }

// Enter makes the client a presence member of the room, through this connection. If it
// has entered already, Enter changes nothing and returns nil. The error is ErrClosed,
// ErrInvalidClientID or ErrCount; it can be ErrTooManyRooms only if a Leave by name has
// emptied the room.
func (l *Lease) Enter(clientID string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	refused := &l.e.pub.refused
	switch {
	case l.closed || l.e.rooms.closed.Load():
		return refused.note(ErrClosed)
	case !validName(clientID):
		return refused.note(ErrInvalidClientID)
	case l.has(clientID):
		return nil
	}
	if !l.cell.tryEnter() {
		cell, err := l.e.add(l.cell, l.room, member)
		if err != nil {
			return err
		}
		if cell != l.cell {
			// Hooks by name took away all that was counted in the old cell, and its room ended.
			l.cell, l.joined, l.first, l.clients = cell, false, "", nil
		}
	}
	l.keep(clientID)
	return nil
}

// Exit ends the client's presence through this connection. The error is ErrClosed, or
// ErrNotEntered if the client has not entered through it.
func (l *Lease) Exit(clientID string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	refused := &l.e.pub.refused
	switch {
	case l.closed || l.e.rooms.closed.Load():
		return refused.note(ErrClosed)
	case !l.has(clientID):
		return refused.note(ErrNotEntered)
	}
	l.forget(clientID)
	if l.cell.tryExit() {
		return nil
	}
	return refused.note(l.take(0, 1))
}

// Close exits every client and leaves the room, in one step, and only once: later
// calls do nothing, as does Close on a nil lease or after the engine's Close. The
// error is always nil.
func (l *Lease) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.e.rooms.closed.Load() {
		l.closed = true
		return nil
	}
	l.closed = true
	entered := len(l.clients)
	if l.first != "" {
		entered++
	}
	conns := 0
	if l.joined {
		conns = 1
	}
	l.clients = nil
	if entered == 0 && conns == 1 && l.cell.tryLeave() {
		return nil
	}
	_ = l.take(conns, entered) // fails only if the engine was closed meanwhile
	return nil
}

// take counts that many less, or all that is left if hooks by name took some away. A
// retired cell has none left, and a room of the same name that began later is not this
// lease's. The error is ErrClosed if the engine's Close retired the cell.
func (l *Lease) take(conns, entered int) error {
	ok, _ := l.e.pub.change(l.cell, func(w uint64) (uint64, error) {
		return minus(minus(w, connection, uint64(conns)), member, uint64(entered)), nil
	})
	if !ok && l.e.rooms.closed.Load() {
		return ErrClosed
	}
	return nil
}

func (l *Lease) has(clientID string) bool {
	if clientID == "" || clientID == l.first {
		return clientID != ""
	}
	_, ok := l.clients[clientID]
	return ok
}

func (l *Lease) keep(clientID string) {
	if l.first == "" {
		l.first = clientID
		return
	}
	if l.clients == nil {
		l.clients = map[string]struct{}{}
	}
	l.clients[clientID] = struct{}{}
}

func (l *Lease) forget(clientID string) {
	if clientID == l.first {
		l.first = ""
		return
	}
	delete(l.clients, clientID)
}
