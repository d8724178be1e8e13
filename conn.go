package occupancy

import "sync"

// Conn is a lease: one connection in one room, and the clients that entered by it.
// Make it with [Engine.Connect] and Close it when the connection ends, however that
// happens: with leases alone the counts are right, whatever is called and however
// often. All its methods may be called from any goroutine.
//
// Raw hooks in the same room share its counts: a raw Leave takes the place of some
// lease. If none is left when that lease is closed, Close changes nothing; if others
// have come since, it takes the place of one of them, as the Leave did.
type Conn struct {
	e    *Engine
	room string

	mu      sync.Mutex // protects the following
	cell    *cell
	joined  bool // the connection is counted in cell
	closed  bool
	first   string              // a client that entered, or "": most connections have one
	clients map[string]struct{} // the others
}

// Connect joins the room and returns the lease that leaves it. The errors are those
// of [Engine.Join].
func (e *Engine) Connect(room string) (*Conn, error) {
	c, _ := e.rooms.find(room)
	return e.connect(c, room)
}

func (e *Engine) connect(c *cell, room string) (*Conn, error) {
	if c == nil || !c.tryJoin() {
		var err error
		if c, err = e.add(c, room, connection); err != nil {
			return nil, err
		}
	}
	return &Conn{e: e, room: c.name, cell: c, joined: true}, nil
}

// Enter makes the client a presence member of the room, by this connection. A client
// that has entered already changes nothing. The error is ErrClosed, ErrClientID or
// ErrCount, and ErrTooManyRooms only where a raw Leave has ended the room under the
// lease.
func (c *Conn) Enter(clientID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	refused := &c.e.pub.refused
	switch {
	case c.closed || c.e.rooms.closed.Load():
		return refused.note(ErrClosed)
	case !validName(clientID):
		return refused.note(ErrClientID)
	case c.has(clientID):
		return nil
	}
	if !c.cell.tryEnter() {
		cell, err := c.e.add(c.cell, c.room, member)
		if err != nil {
			return err
		}
		if cell != c.cell {
			// Raw hooks took all that was counted here, and the room ended.
			c.cell, c.joined, c.first, c.clients = cell, false, "", nil
		}
	}
	c.keep(clientID)
	return nil
}

// Exit ends the client's presence by this connection. The error is ErrClosed, or
// ErrNotEntered where the client had not entered.
func (c *Conn) Exit(clientID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	refused := &c.e.pub.refused
	switch {
	case c.closed || c.e.rooms.closed.Load():
		return refused.note(ErrClosed)
	case !c.has(clientID):
		return refused.note(ErrNotEntered)
	}
	c.forget(clientID)
	if c.cell.tryExit() {
		return nil
	}
	return refused.note(c.take(0, 1))
}

// Close exits every client and leaves the room, in one step, once: another Close does
// nothing and returns nil. Once the engine is closed nothing is counted any more, and
// Close returns ErrClosed.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.closed
	c.closed = true
	switch {
	case c.e.rooms.closed.Load():
		return ErrClosed
	case was:
		return nil
	}
	entered := len(c.clients)
	if c.first != "" {
		entered++
	}
	conns := 0
	if c.joined {
		conns = 1
	}
	c.clients = nil
	if entered == 0 && conns == 1 && c.cell.tryLeave() {
		return nil
	}
	return c.take(conns, entered)
}

// take counts so many less, or all that is left where raw hooks took some. A cell
// that was retired has none, and a room that began after that is another's.
// The error is ErrClosed, where it was Close that retired the cell.
func (c *Conn) take(conns, entered int) error {
	ok, _ := c.e.pub.change(c.cell, func(w uint64) (uint64, error) {
		return minus(minus(w, connection, uint64(conns)), member, uint64(entered)), nil
	})
	if !ok && c.e.rooms.closed.Load() {
		return ErrClosed
	}
	return nil
}

func (c *Conn) has(clientID string) bool {
	if clientID == "" || clientID == c.first {
		return clientID != ""
	}
	_, ok := c.clients[clientID]
	return ok
}

func (c *Conn) keep(clientID string) {
	if c.first == "" {
		c.first = clientID
		return
	}
	if c.clients == nil {
		c.clients = map[string]struct{}{}
	}
	c.clients[clientID] = struct{}{}
}

func (c *Conn) forget(clientID string) {
	if clientID == c.first {
		c.first = ""
		return
	}
	delete(c.clients, clientID)
}
