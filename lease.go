package occupancy

import (
	"slices"
	"strings"
	"sync"
)

// Lease counts one connection in one room, and the clients that entered through it.
// Create it with [Engine.Connect] and Close it when the connection ends, for whatever
// reason. A server that uses only leases cannot make the counts wrong: every method may be
// called at any time and any number of times. All its methods may be called from any goroutine.
//
// Engine.Leave(room) does not know leases, so it removes a connection that some lease has
// counted. If the room has no connection left when that lease is closed, Close changes
// nothing. If others have joined since, Close removes one of their connections.
type Lease struct {
	e *Engine

	mu      sync.Mutex // protects the following
	cell    *cell
	joined  bool // the connection is counted in cell
	entered bool // Enter has been called
	closed  bool
	first   string     // a client that entered, or "". Most connections have only one client
	others  *clientSet // the other clients that entered, or nil
}

// Connect joins the room and returns the lease of the new connection. The errors are those of
// [Engine.Join]. It allocates the lease, and no more.
func (e *Engine) Connect(room string) (*Lease, error) {
	c, _ := e.rooms.cells.mapOf(room).Load(room)
	return e.connect(c, room)
}

func (e *Engine) connect(c *cell, room string) (*Lease, error) {
	if c == nil || !c.tryJoin() {
		var err error
		// Not published now, so that Connect and Enter become one event.
		if c, err = e.add(c, room, connection, false); err != nil {
			return nil, err
		}
	}
	return &Lease{e: e, cell: c, joined: true}, nil
}

// Room returns the name of the lease's room.
func (l *Lease) Room() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cell.name
}

// Enter makes the client a presence member of the room, through this connection. If it
// has entered already, Enter changes nothing and returns nil. The error is ErrClosed,
// ErrInvalidClientID or ErrCount; it can be ErrTooManyRooms only if Engine.Leave has
// emptied the room. Enter copies the ID.
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
		cell, err := l.e.add(l.cell, l.cell.name, member, true)
		if err != nil {
			return err
		}
		if cell != l.cell {
			// Calls of Engine.Leave and Engine.Exit have emptied the room, so the old cell was
			// retired and counts nothing of this lease.
			l.cell, l.joined, l.first, l.others = cell, false, "", nil
		}
	}
	l.keep(clientID)
	if !l.entered {
		l.entered = true
		l.e.pub.publishNow(l.cell) // publishes the connection, too, if it is not published yet
	}
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
	return refused.note(l.subtract(0, 1))
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
	entered := l.others.len()
	if l.first != "" {
		entered++
	}
	conns := 0
	if l.joined {
		conns = 1
	}
	l.first, l.others = "", nil
	if entered == 0 && conns == 1 && l.cell.tryLeave() {
		return nil
	}
	_ = l.subtract(conns, entered) // fails only if the engine was closed meanwhile
	return nil
}

// subtract subtracts the connections and members of this lease from the counts of its cell,
// which may have fewer if Engine.Leave or Engine.Exit was called. If the cell is retired,
// its counts are zero already, and subtract does nothing. The error is ErrClosed if the engine's Close retired the cell.
func (l *Lease) subtract(conns, entered int) error {
	ok, _ := l.e.pub.change(l.cell, true, func(w uint64) (uint64, error) {
		return minus(minus(w, connection, uint64(conns)), member, uint64(entered)), nil
	})
	if !ok && l.e.rooms.closed.Load() {
		return ErrClosed
	}
	return nil
}

func (l *Lease) has(clientID string) bool {
	return clientID != "" && (clientID == l.first || l.others.has(clientID))
}

// keep adds a client that has not entered before.
func (l *Lease) keep(clientID string) {
	// Clone the ID, because it may be a slice of a large message that it would keep in memory.
	clientID = strings.Clone(clientID)
	switch {
	case l.first == "":
		l.first = clientID
	case l.others == nil:
		l.others = &clientSet{few: []string{clientID}}
	default:
		l.others.add(clientID)
	}
}

func (l *Lease) forget(clientID string) {
	if clientID == l.first {
		l.first = ""
		return
	}
	l.others.remove(clientID)
}

// clientSet is a set of client IDs: a slice while they are few, because a map of two
// takes 256 bytes.
type clientSet struct {
	few  []string
	many map[string]struct{} // nil while they are few
}

const fewClients = 8

func (s *clientSet) len() int {
	if s == nil {
		return 0
	}
	return len(s.few) + len(s.many)
}

func (s *clientSet) has(id string) bool {
	if s == nil {
		return false
	}
	if s.many == nil {
		return slices.Contains(s.few, id)
	}
	_, ok := s.many[id]
	return ok
}

func (s *clientSet) add(id string) {
	if s.many == nil && len(s.few) < fewClients {
		s.few = append(s.few, id)
		return
	}
	if s.many == nil {
		s.many = make(map[string]struct{}, 2*fewClients)
		for _, id := range s.few {
			s.many[id] = struct{}{}
		}
		s.few = nil
	}
	s.many[id] = struct{}{}
}

func (s *clientSet) remove(id string) {
	if i := slices.Index(s.few, id); i >= 0 {
		s.few = slices.Delete(s.few, i, i+1)
	}
	delete(s.many, id)
}
