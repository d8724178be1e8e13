package occupancy

import (
	"errors"
	"sync/atomic"
)

// Refused counts the hooks that were refused, by the error they returned: Join, Leave,
// Enter and Exit of an Engine or a Room, Connect, and Enter and Exit of a Conn. Closing
// a Conn of a closed engine is no mistake and does not count.
type Refused struct {
	Closed       uint64 // ErrClosed
	RoomName     uint64 // ErrRoomName
	ClientID     uint64 // ErrClientID
	TooManyRooms uint64 // ErrTooManyRooms
	NotJoined    uint64 // ErrNotJoined
	NotEntered   uint64 // ErrNotEntered
	Count        uint64 // ErrCount
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
	case errors.Is(err, ErrRoomName):
		r.roomName.Add(1)
	case errors.Is(err, ErrClientID):
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
		Closed:       r.closed.Load(),
		RoomName:     r.roomName.Load(),
		ClientID:     r.clientID.Load(),
		TooManyRooms: r.tooManyRooms.Load(),
		NotJoined:    r.notJoined.Load(),
		NotEntered:   r.notEntered.Load(),
		Count:        r.count.Load(),
	}
}
