package occupancy

import (
	"errors"
	"sync/atomic"
)

// Refused counts the refused hooks by the error they returned: Join, Leave, Enter and
// Exit of an Engine or a Room, Connect, and Enter and Exit of a Lease.
type Refused struct {
	Closed          uint64 // ErrClosed
	InvalidRoom     uint64 // ErrInvalidRoom
	InvalidClientID uint64 // ErrInvalidClientID
	TooManyRooms    uint64 // ErrTooManyRooms
	NotJoined       uint64 // ErrNotJoined
	NotEntered      uint64 // ErrNotEntered
	Count           uint64 // ErrCount
}

// refused is what Refused is read from. Only a hook that fails touches it.
type refused struct {
	closed, roomName, clientID, tooManyRooms, notJoined, notEntered, count atomic.Uint64
}

// note counts a hook's error, if it is one, and returns it.
func (r *refused) note(err error) error {
	switch {
	case err == nil:
	case errors.Is(err, ErrClosed):
		r.closed.Add(1)
	case errors.Is(err, ErrInvalidRoom):
		r.roomName.Add(1)
	case errors.Is(err, ErrInvalidClientID):
		r.clientID.Add(1)
	case errors.Is(err, ErrTooManyRooms):
		r.tooManyRooms.Add(1)
	case errors.Is(err, ErrNotJoined):
		r.notJoined.Add(1)
	case errors.Is(err, ErrNotEntered):
		r.notEntered.Add(1)
	case errors.Is(err, ErrCount):
		r.count.Add(1)
	}
	return err
}

func (r *refused) read() Refused {
	return Refused{
		Closed:          r.closed.Load(),
		InvalidRoom:     r.roomName.Load(),
		InvalidClientID: r.clientID.Load(),
		TooManyRooms:    r.tooManyRooms.Load(),
		NotJoined:       r.notJoined.Load(),
		NotEntered:      r.notEntered.Load(),
		Count:           r.count.Load(),
	}
}
