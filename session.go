package occupancy

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Session manages the leases of one client's connection to the server, which may be in any
// number of rooms: one lease for each. Create it with [Engine.Session], and Close it when the
// connection ends, for whatever reason. All its methods may be called from any goroutine.
type Session struct {
	e      *Engine
	client string

	mu     sync.Mutex // protects the following
	leases map[string]*Lease
	closed bool // or lingers
}

// Session returns a session of the client with this ID. The ID may be empty: then the session
// can join rooms but not enter them. If leases of the client linger, the session takes them
// over, room by room, when it joins or enters: see [Lease.Linger]. Session copies the ID.
func (e *Engine) Session(clientID string) *Session {
	return &Session{e: e, client: strings.Clone(clientID), leases: map[string]*Lease{}}
}

// Join joins the room. If the session has joined it already, Join changes nothing and returns
// nil. The errors are ErrClosed and those of [Engine.Connect].
func (s *Session) Join(room string, opts ...ConnectOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.join(room, opts)
}

func (s *Session) join(room string, opts []ConnectOption) error {
	switch {
	case s.closed:
		return s.e.refuse(ErrClosed)
	case s.leases[room] != nil && !s.e.rooms.closed.Load():
		return nil
	}
	c, _ := s.e.rooms.cells.Load(room)
	l, err := s.e.connectWith(c, room, s.client, opts)
	if err == nil {
		s.leases[l.cell.name] = l
	}
	return err
}

// Leave leaves the room, and exits it if the session has entered. The error is ErrClosed,
// ErrInvalidRoom or ErrNotJoined.
func (s *Session) Leave(room string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.lease(room, ErrNotJoined)
	if err != nil {
		return err
	}
	delete(s.leases, room)
	return l.Close()
}

// Enter makes the client a presence member of the room. If the session has not joined the
// room, Enter joins it, in the same step. If the session has entered already, Enter changes
// nothing and returns nil. The errors are ErrClosed, ErrInvalidClientID if the session's
// client ID is empty or invalid, and those of [Engine.Connect].
func (s *Session) Enter(room string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.leases[room]; l != nil {
		return l.Enter(s.client)
	}
	return s.join(room, []ConnectOption{As(s.client)})
}

// Exit ends the client's presence in the room. The session stays joined. The error is
// ErrClosed, ErrInvalidRoom, or ErrNotEntered.
func (s *Session) Exit(room string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.lease(room, ErrNotEntered)
	if err != nil {
		return err
	}
	return l.exit(s.client, true)
}

// Rooms yields the names of the rooms that the session has joined when the loop begins, in no
// particular order. The loop may call any method of the session.
func (s *Session) Rooms() iter.Seq[string] {
	return func(yield func(string) bool) {
		s.mu.Lock()
		var rooms []string
		if !s.closed {
			rooms = slices.Collect(maps.Keys(s.leases))
		}
		s.mu.Unlock()
		for _, room := range rooms {
			if !yield(room) {
				return
			}
		}
	}
}

// Linger closes the session, but its leases linger for d: see [Lease.Linger]. Close ends that
// at once. If d is zero or negative, Linger is Close. On a nil or closed session it does nothing.
func (s *Session) Linger(d time.Duration) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, l := range s.leases {
		l.Linger(d)
	}
}

// Close leaves every room. From then on Join, Leave, Enter and Exit return ErrClosed. Close
// may be called more than once, and on a nil session; the error is always nil.
func (s *Session) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, l := range s.leases {
		_ = l.Close()
	}
	s.leases = nil
	return nil
}

// lease returns the lease of a room. If there is none, the error is ErrClosed, ErrInvalidRoom or
// errNone.
func (s *Session) lease(room string, errNone error) (*Lease, error) {
	if s.closed {
		return nil, s.e.refuse(ErrClosed)
	}
	if err := s.e.rooms.check(room); err != nil {
		return nil, s.e.refuse(err)
	}
	if l := s.leases[room]; l != nil {
		return l, nil
	}
	return nil, s.e.refuse(errNone)
}
