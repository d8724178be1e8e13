package occupancy

import (
	"maps"
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

	// mu protects the following until the lease is closed or lingers. After that, only the caller
	// that ends the place or takes it over uses them.
	mu       sync.Mutex
	cell     *cell
	client   string     // the client of the connection: one that has entered, or the session's; "" if none
	others   *clientSet // further clients that entered, or nil
	joined   bool       // the connection is counted in cell
	entered  bool       // a client has entered at some time
	isMember bool       // client has entered, and has not exited
	closed   bool       // or lingering

	// lingering.mu protects the following.
	heapIndex int32  // in lingering.heap, plus one; 0 if the lease does not linger
	next      *Lease // in the ring of the client: see lingering.clients
}

// ConnectOption is a setting of [Engine.Connect].
type ConnectOption struct { // a struct and not a function, which would be allocated
	as      bool
	client  string
	limited bool
	limit   int
}

// As makes the client enter, too, in the same step: all counts change at once, and are published
// as one event. It may be given more than once. If a lease of the client lingers in the room,
// the new lease takes over its place: see [Lease.Linger].
func As(clientID string) ConnectOption { return ConnectOption{as: true, client: clientID} }

// Max refuses the connection with ErrRoomFull if the room has n connections or more. This
// is decided in the step that counts the connection. The connections of other nodes count as
// last received, so only those of one process are limited exactly.
func Max(n int) ConnectOption { return ConnectOption{limited: true, limit: n} }

// Connect joins the room and returns the lease of the new connection. The errors are those of
// [Engine.Join], ErrInvalidClientID of [As], and ErrRoomFull of [Max]. It allocates the lease
// and, with As, a copy of the client ID.
func (e *Engine) Connect(room string, opts ...ConnectOption) (*Lease, error) {
	c, _ := e.rooms.cells.mapOf(room).Load(room)
	return e.connect(c, room, opts)
}

func (e *Engine) connect(c *cell, room string, opts []ConnectOption) (*Lease, error) {
	if len(opts) > 0 {
		return e.connectWith(c, room, "", opts)
	}
	if c == nil || !c.tryJoin() {
		var err error
		// Not published now, so that Connect and Enter become one event.
		if c, err = e.add(c, room, place{connections: 1}, noLimit, false); err != nil {
			return nil, err
		}
	}
	return &Lease{e: e, cell: c, joined: true}, nil
}

// connectWith is Connect with options. client is the ID of a session, or "". c is the room's
// cell, which may be retired, or nil.
func (e *Engine) connectWith(c *cell, room, client string, opts []ConnectOption) (*Lease, error) {
	l := &Lease{e: e, client: client}
	limit := noLimit
	for _, o := range opts {
		switch {
		case o.limited:
			limit = min(limit, o.limit)
		case o.as && !validName(o.client):
			return nil, e.refuseClient()
		case o.as && !l.has(o.client):
			l.addClient(o.client)
		}
	}
	if c != nil && e.lingering.len() > 0 && e.takeOver(l, c) {
		e.sched.publishNow(c)
		return l, nil
	}
	var one [1]string
	clients := l.clients(one[:0])
	l.joined, l.entered = true, len(clients) > 0
	var err error
	// A connection without a client is not published now, so that Connect and Enter become one event.
	if l.cell, err = e.add(c, room, place{connections: 1, clients: clients}, limit, l.entered); err != nil {
		return nil, err
	}
	return l, nil
}

// takeOver gives l the place of a lease of one of its clients that lingers in c, and enters the
// clients that the place does not have. It reports whether l has a place. If the clients cannot
// be entered, nothing changes. lingering.mu is locked throughout, so that a Close of the old
// lease is not missed. So takeOver does not publish the clients that it enters: the caller must
// call publishNow.
func (e *Engine) takeOver(l *Lease, c *cell) bool {
	s := e.lingering
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.find(c, l)
	if old == nil {
		return false
	}
	var missing []string
	for _, id := range l.clients(nil) {
		if !old.has(id) {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		if ok, err := e.addPlace(c, place{clients: missing, takenOver: true}, noLimit, false); !ok || err != nil {
			return false
		}
	}
	s.drop(old)
	for _, id := range old.clients(nil) {
		if !l.has(id) {
			l.addClient(id)
		}
	}
	l.cell, l.joined, l.entered = c, old.joined, old.entered
	old.client, old.others = "", nil
	return true
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
	switch {
	case l.closed || l.e.rooms.closed.Load():
		return l.e.refuse(ErrClosed)
	case !validName(clientID):
		return l.e.refuse(ErrInvalidClientID)
	case l.has(clientID):
		return nil
	}
	known := clientID == l.client
	clientID = l.addClient(clientID)
	if !l.cell.tryEnter() {
		cell, err := l.e.add(l.cell, l.cell.name, place{clients: []string{clientID}}, noLimit, true)
		if err != nil {
			l.removeClient(clientID, known)
			return err
		}
		if cell != l.cell {
			// Calls of Engine.Leave and Engine.Exit have emptied the room, so the old cell was
			// retired and counts nothing of this lease.
			l.cell, l.joined, l.client, l.isMember, l.others = cell, false, clientID, true, nil
		}
	}
	if !l.entered {
		l.entered = true
		l.e.sched.publishNow(l.cell) // publishes the connection, too, if it is not published yet
	}
	return nil
}

// Exit ends the client's presence through this connection. The error is ErrClosed, or
// ErrNotEntered if the client has not entered through it.
func (l *Lease) Exit(clientID string) error { return l.exit(clientID, false) }

// exit is Exit. If keepClient is true, clientID remains the client of the connection.
func (l *Lease) exit(clientID string, keepClient bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed || l.e.rooms.closed.Load():
		return l.e.refuse(ErrClosed)
	case !l.has(clientID):
		return l.e.refuse(ErrNotEntered)
	}
	l.removeClient(clientID, keepClient)
	if l.cell.tryExit() {
		return nil
	}
	if !l.subtract(place{clients: []string{clientID}}, true) {
		return l.e.refuse(ErrClosed)
	}
	return nil
}

// Close exits every client and leaves the room, in one step, and only once: later
// calls do nothing, as does Close on a nil lease or after the engine's Close. If the lease
// lingers, Close ends that at once. The error is always nil.
func (l *Lease) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.stopLingering(true)
		return nil
	}
	l.closed = true
	l.end(true)
	return nil
}

// stopLingering ends l if it lingers. The caller holds mu.
func (l *Lease) stopLingering(inline bool) {
	if l.e.lingering.remove(l) {
		l.end(inline)
	}
}

// end removes the place of l, which is closed and does not linger any more.
func (l *Lease) end(inline bool) {
	if l.e.rooms.closed.Load() {
		return
	}
	var one [1]string
	what := place{clients: l.clients(one[:0])}
	if l.joined {
		what.connections = 1
	}
	l.client, l.others = "", nil
	if len(what.clients) == 0 && l.joined && l.cell.tryLeave() {
		return
	}
	l.subtract(what, inline)
}

// subtract removes a place of this lease from the counts of its cell: see removePlace. If the
// cell is retired, its counts are zero already, and subtract does nothing. It reports false if
// the engine's Close retired the cell.
func (l *Lease) subtract(what place, inline bool) bool {
	_, isRetired := l.e.removePlace(l.cell, what, inline)
	return !isRetired || !l.e.rooms.closed.Load()
}

// clients appends the clients that have entered to ids.
func (l *Lease) clients(ids []string) []string {
	if l.isMember {
		ids = append(ids, l.client)
	}
	if l.others != nil {
		ids = l.others.appendTo(ids)
	}
	return ids
}

func (l *Lease) has(clientID string) bool {
	return l.isMember && clientID == l.client || l.others.has(clientID)
}

// addClient adds a client that has not entered, and returns the lease's copy of its ID.
func (l *Lease) addClient(clientID string) string {
	if clientID == l.client {
		l.isMember = true
		return l.client
	}
	// Clone the ID, because it may be a slice of a large message that it would keep in memory.
	clientID = strings.Clone(clientID)
	switch {
	case l.client == "":
		l.client, l.isMember = clientID, true
	case l.others == nil:
		l.others = &clientSet{few: []string{clientID}}
	default:
		l.others.add(clientID)
	}
	return clientID
}

// removeClient removes a client that has entered. If keepClient is true, it remains the client of
// the connection.
func (l *Lease) removeClient(clientID string, keepClient bool) {
	if clientID != l.client {
		l.others.remove(clientID)
		return
	}
	l.isMember = false
	if !keepClient {
		l.client = l.others.any()
		l.isMember = l.client != ""
		l.others.remove(l.client)
	}
}

// clientSet is a set of client IDs: a slice while they are few, because a map of two
// takes 256 bytes.
type clientSet struct {
	few  []string
	many map[string]struct{} // nil while they are few
}

const fewClients = 8

// appendTo appends the clients to ids.
func (s *clientSet) appendTo(ids []string) []string {
	return slices.AppendSeq(append(ids, s.few...), maps.Keys(s.many))
}

func (s *clientSet) has(id string) bool {
	if s == nil {
		return false
	}
	_, ok := s.many[id]
	return ok || slices.Contains(s.few, id)
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

// any returns one of the clients, or "".
func (s *clientSet) any() string {
	if s == nil {
		return ""
	}
	if len(s.few) > 0 {
		return s.few[0]
	}
	for id := range s.many {
		return id
	}
	return ""
}

func (s *clientSet) remove(id string) {
	if s == nil {
		return
	}
	if i := slices.Index(s.few, id); i >= 0 {
		s.few = slices.Delete(s.few, i, i+1)
	}
	delete(s.many, id)
}
