package occupancyhttp

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/occupancy/occupancy"
)

// ErrUnauthorized means that a request carries no valid credentials. Return it, wrapped or
// not, from the function of [WithAuthorize]: the handler then answers with status 401.
const ErrUnauthorized occupancy.Error = "occupancyhttp: unauthorized"

// httpError is the JSON body of a response that refuses a request.
type httpError struct {
	status  int
	Code    string `json:"code"`
	Message string `json:"message"`
	// Room is set if the request was for several rooms and this room was refused. The
	// client can open a stream of the other rooms.
	Room string `json:"room,omitempty"`
}

func (e *httpError) Error() string { return e.Message }

const retryAfter = "5" // seconds

var (
	errNotFound             = &httpError{status: http.StatusNotFound, Code: "not_found", Message: "not found"}
	errMethodNotAllowed     = &httpError{status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Message: "method not allowed: use GET or HEAD"}
	errBadQuery             = &httpError{status: http.StatusBadRequest, Code: "bad_query", Message: "malformed query"}
	errNoRoom               = &httpError{status: http.StatusBadRequest, Code: "no_room", Message: "no room given: add ?room=name"}
	errTooManyRoomsInStream = &httpError{status: http.StatusBadRequest, Code: "too_many_rooms_in_stream", Message: "too many rooms: a stream can have at most 256"}
	errBadRoomName          = &httpError{status: http.StatusBadRequest, Code: "bad_room_name", Message: "invalid room name: must be 1 to 1024 bytes of UTF-8"}
	errUnauthorized         = &httpError{status: http.StatusUnauthorized, Code: "unauthorized", Message: "authentication required"}
	errForbidden            = &httpError{status: http.StatusForbidden, Code: "forbidden", Message: "access to this room is denied"}
	errStreamLimit          = &httpError{status: http.StatusServiceUnavailable, Code: "stream_limit", Message: "stream limit reached"}
	errRoomLimit            = &httpError{status: http.StatusServiceUnavailable, Code: "room_limit", Message: "room limit reached"}
	errClosed               = &httpError{status: http.StatusServiceUnavailable, Code: "closed", Message: "the server is shutting down"}
	errTimeout              = &httpError{status: http.StatusServiceUnavailable, Code: "timeout", Message: "the request timed out"}
	errNoStreaming          = &httpError{status: http.StatusInternalServerError, Code: "no_streaming", Message: "the server does not support streaming"}
	errInternal             = &httpError{status: http.StatusInternalServerError, Code: "internal", Message: "internal server error"}
)

// withRoom returns a copy of e that names the room.
func (e httpError) withRoom(room string) *httpError {
	e.Room = room
	return &e
}

// toHTTPError converts an error of the engine or of this package.
func toHTTPError(err error) *httpError {
	var e *httpError
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, occupancy.ErrClosed):
		return errClosed
	case errors.Is(err, occupancy.ErrInvalidRoom):
		return errBadRoomName
	case errors.Is(err, occupancy.ErrTooManyRooms):
		return errRoomLimit
	}
	return errInternal
}

// write writes e as the response.
func (e *httpError) write(w http.ResponseWriter) {
	switch e.status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", "GET, HEAD")
	}
	writeJSON(w, e.status, struct {
		Error *httpError `json:"error"`
	}{e})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(mustMarshal(v)) // an error means that the client has disconnected
}

// mustMarshal encodes v as JSON. It panics on an error: v must consist of strings and
// numbers, which always have an encoding.
func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
