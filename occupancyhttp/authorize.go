package occupancyhttp

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/occupancy/occupancy"
)

// authorizedRoom unescapes the name of a room. It returns an error if the name is invalid
// or the request may not read the room.
func (h *handler) authorizedRoom(r *http.Request, escapedRoom string) (string, error) {
	room, err := url.PathUnescape(escapedRoom)
	if err != nil {
		return "", errBadRoomName
	}
	if err := occupancy.ValidRoom(room); err != nil {
		return "", err
	}
	return room, h.checkAccess(r, room)
}

// checkAccess returns an error if the request may not read the room.
func (h *handler) checkAccess(r *http.Request, room string) error {
	if h.authorize == nil {
		return nil
	}
	err := h.authorize(r, room)
	if err == nil {
		return nil
	}
	h.logger.DebugContext(r.Context(), "occupancyhttp: access denied", "room", room, "error", err)
	if errors.Is(err, ErrUnauthorized) {
		return errUnauthorized
	}
	return errForbidden
}

// checkAccessToAll returns an error if the request may not read one of the rooms. The
// error names the first denied room, so that the client can retry without this room. If
// no room is allowed and the first error is errUnauthorized, the error names no room,
// because the client has to authenticate first.
func (h *handler) checkAccessToAll(r *http.Request, rooms []string) error {
	var firstErr error
	var deniedRoom string
	allowed := 0
	for _, room := range rooms {
		if err := h.checkAccess(r, room); err == nil {
			allowed++
		} else if firstErr == nil {
			firstErr, deniedRoom = err, room
		}
	}
	if firstErr == nil || allowed == 0 && errors.Is(firstErr, errUnauthorized) {
		return firstErr
	}
	return toHTTPError(firstErr).withRoom(deniedRoom)
}
