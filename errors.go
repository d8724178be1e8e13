package occupancy

import "unicode/utf8"

// Error is the type of every error that this package itself returns. Its
// values are constants: compare them with [errors.Is].
type Error string

func (e Error) Error() string { return string(e) }

// The errors of this package. A call that returns one has changed nothing.
const (
	// ErrClosed: the engine is closed, or the Conn, Watcher or Remote that was called is.
	ErrClosed Error = "occupancy: closed"
	// ErrRoomName: a room's name is empty, over 1024 bytes or not valid UTF-8.
	ErrRoomName Error = "occupancy: room name is empty, over 1024 bytes or not UTF-8"
	// ErrClientID: a client's id is empty, over 1024 bytes or not valid UTF-8.
	ErrClientID Error = "occupancy: client id is empty, over 1024 bytes or not UTF-8"
	// ErrTooManyRooms: the room does not exist and as many as [WithMaxRooms] allows do.
	ErrTooManyRooms Error = "occupancy: too many rooms"
	// ErrNotJoined: the room has no connection left to leave.
	ErrNotJoined Error = "occupancy: no connection to leave"
	// ErrNotEntered: the room has no presence member left to exit, or the client
	// has not entered by that Conn.
	ErrNotEntered Error = "occupancy: no presence member to exit"
	// ErrCount: a count is below zero, or beyond the 2³¹−1 that a room holds.
	ErrCount Error = "occupancy: count is below zero or beyond 2³¹−1"
)

const maxName = 1024 // bytes, of a room's name and of a client's id

func validName(s string) bool {
	return 0 < len(s) && len(s) <= maxName && utf8.ValidString(s)
}
