package occupancyhttp

import (
	"errors"
	"net/http"
	"slices"

	"github.com/occupancy/occupancy"
)

// refusal is a room that a request may not read, in the form of a stream's data.
type refusal struct {
	Room   string `json:"room"`
	Status int    `json:"status"`
	*httpError
}

func newRefusal(room string, e *httpError) refusal { return refusal{room, e.status, e} }

// check moves the rooms that the request may not read from s.rooms to s.refused. It returns
// the error of a refusal if no room and no list is left.
func (h *Handler) check(r *http.Request, s *selection) error {
	var valid []string
	for _, room := range s.rooms {
		if occupancy.ValidRoom(room) == nil {
			valid = append(valid, room)
		} else {
			s.refused = append(s.refused, newRefusal(room, errBadRoomName))
		}
	}
	denials, err := h.accessErrors(r, valid)
	if err != nil {
		return err
	}
	s.rooms = nil
	for i, denial := range denials {
		if denial == nil {
			s.rooms = append(s.rooms, valid[i])
		} else {
			s.refused = append(s.refused, newRefusal(valid[i], denial))
		}
	}
	switch {
	case len(s.rooms) > 0 || len(s.lists) > 0:
		return nil
	case slices.Contains(denials, errUnauthorized): // the client has to authenticate first
		return errUnauthorized
	}
	return s.refused[len(s.refused)-1].httpError
}

// accessErrors returns an error for each of the rooms that the request may not read, and
// nil for the others. It returns errUnavailable if access cannot be checked now.
func (h *Handler) accessErrors(r *http.Request, rooms []string) ([]*httpError, error) {
	denials := make([]*httpError, len(rooms))
	if h.authorize == nil || len(rooms) == 0 {
		return denials, nil
	}
	for i, err := range h.authorize(r, rooms) {
		switch {
		case err == nil:
			continue
		case errors.Is(err, ErrUnavailable):
			h.warnings.log(r.Context(), "authorization unavailable", "room", rooms[i], "error", err)
			return nil, errUnavailable
		case errors.Is(err, ErrUnauthorized):
			denials[i] = errUnauthorized
		default:
			denials[i] = errForbidden
		}
		h.logger.DebugContext(r.Context(), "occupancyhttp: access denied", "room", rooms[i], "error", err)
	}
	return denials, nil
}

// Revoke calls f for every room of every open stream, with the request of the stream. If
// f returns true, the stream sends an event occupancy.refused with the code "forbidden"
// for the room, and no further event of this room. A stream ends when it has no room left.
//
// Change what the function of [WithAuthorize] returns before the call of Revoke, because
// clients may request the room again. A stream that opens during the call, and every stream
// of a list, calls the function again. A list then leaves out the rooms that the request
// may not read any more. Revoke does not wait for clients. f may block. It must not change
// the request, nor call a method that does, such as ParseForm.
func (h *Handler) Revoke(f func(r *http.Request, room string) bool) {
	h.hub.revocations.Add(1) // before openStreams: see serveStream
	for _, s := range h.hub.openStreams() {
		for i := range s.slots {
			if f(s.request, s.slots[i].feed.room) {
				s.revoked.set(i)
			}
		}
		s.recheck.Store(true)
		s.notify()
	}
}
