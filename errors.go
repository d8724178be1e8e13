package occupancy

import "unicode/utf8"

// Error is the type of every error that this package defines. Its values are
// constants, which [errors.Is] matches, also when another package of this module
// wraps them.
type Error string

func (e Error) Error() string { return string(e) }

// The errors of this package. A hook that returns one of them has changed nothing.
const (
	// ErrClosed means that the engine is closed, or the Lease, Session, Watcher, Link or Remote
	// on which the method was called.
	ErrClosed Error = "occupancy: closed"
	// ErrInvalidRoom means that a room's name is empty, longer than 1024 bytes or not UTF-8.
	ErrInvalidRoom Error = "occupancy: invalid room name: must be 1 to 1024 bytes of UTF-8"
	// ErrInvalidClientID means that a client ID is empty, longer than 1024 bytes or not UTF-8.
	ErrInvalidClientID Error = "occupancy: invalid client ID: must be 1 to 1024 bytes of UTF-8"
	// ErrTooManyRooms means that the call would add a room and the limit of
	// [WithMaxRooms] is reached.
	ErrTooManyRooms Error = "occupancy: room limit reached"
	// ErrRoomFull means that the room has as many connections as [Max] allows.
	ErrRoomFull Error = "occupancy: room is full"
	// ErrNotJoined means that the room has no connection left to leave.
	ErrNotJoined Error = "occupancy: not joined: the room has no connection"
	// ErrNotEntered means that the room has no presence member left to exit, or that
	// the client has not entered, as far as the engine or the Lease knows its clients.
	ErrNotEntered Error = "occupancy: not entered: no such presence member in the room"
	// ErrCount means that a count is negative or greater than the maximum of a room:
	// 2³¹−1, and in one process 2²⁰−1.
	ErrCount Error = "occupancy: count is negative or greater than the maximum of a room"
	// ErrLinked means that the engine already has a Link.
	ErrLinked Error = "occupancy: engine is already linked"
)

const maxNameLen = 1024 // bytes, of a room's name and of a client ID

// ValidRoom returns ErrInvalidRoom if name cannot be the name of a room: if it is
// empty, longer than 1024 bytes or not UTF-8. Every method that takes the name of a
// room and can return an error makes the same check.
func ValidRoom(name string) error {
	if !validName(name) {
		return ErrInvalidRoom
	}
	return nil
}

// ValidClientID returns ErrInvalidClientID if id cannot be a client ID: if it is
// empty, longer than 1024 bytes or not UTF-8.
func ValidClientID(id string) error {
	if !validName(id) {
		return ErrInvalidClientID
	}
	return nil
}

func validName(s string) bool {
	return 0 < len(s) && len(s) <= maxNameLen && utf8.ValidString(s)
}
