package occupancyhttp

import (
	"errors"
	"net/http"

	"github.com/occupancy/occupancy"
)

// refusal is a room that a request may not read, in the form of a stream's data.
type refusal struct {
	Room   string `json:"room"`
	Status int    `json:"status"`
	*httpError
}

func newRefusal(room string, e *httpError) refusal { return refusal{room, e.status, e} }

// check divides the rooms of a request into those that it may read and the others. The
// error is that of a refusal if the request may read none of them.
func (h *Handler) check(r *http.Request, names []string) (rooms []string, refused []refusal, err error) {
	var valid []string
	var invalid []refusal
	for _, name := range names {
		if occupancy.ValidRoom(name) == nil {
			valid = append(valid, name)
		} else {
			invalid = append(invalid, newRefusal(name, errBadRoomName))
		}
	}
	for i, err := range h.accessErrors(r, valid) {
		if err == nil {
			rooms = append(rooms, valid[i])
		} else {
			refused = append(refused, newRefusal(valid[i], err))
		}
	}
	refused = append(refused, invalid...)
	if len(rooms) > 0 {
		return rooms, refused, nil
	}
	for _, refusal := range refused {
		if refusal.httpError == errUnauthorized { // the client has to authenticate first
			return nil, nil, errUnauthorized
		}
	}
	return nil, nil, refused[0].httpError
}

// accessErrors returns an error for each of the rooms that the request may not read, and
// nil for the others.
func (h *Handler) accessErrors(r *http.Request, rooms []string) []*httpError {
	denials := make([]*httpError, len(rooms))
	if h.authorize == nil || len(rooms) == 0 {
		return denials
	}
	for i, err := range h.authorize(r, rooms) {
		switch {
		case err == nil:
			continue
		case errors.Is(err, ErrUnauthorized):
			denials[i] = errUnauthorized
		default:
			denials[i] = errForbidden
		}
		h.logger.DebugContext(r.Context(), "occupancyhttp: access denied", "room", rooms[i], "error", err)
	}
	return denials
}

// Revoke calls f for every room of every open stream, with the request of the stream. If
// f returns true, the stream sends an event occupancy.refused with the code "forbidden"
// for the room, and no further event of this room. A stream ends when it has no room left.
//
// Change what the function of [WithAuthorize] returns before the call of Revoke, because
// clients may request the room again. The function is called again for a stream that
// opens during the call. Revoke does not wait for clients. f may block. It must not change
// the request, nor call a method that does, such as ParseForm.
func (h *Handler) Revoke(f func(r *http.Request, room string) bool) {
	h.hub.revocations.Add(1) // before openRooms: see serveStream
	for s, rooms := range h.hub.openRooms() {
		for i, room := range rooms {
			if room != "" && f(s.request, room) {
				s.revoke(i)
			}
		}
	}
}
