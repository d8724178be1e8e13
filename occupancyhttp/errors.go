package occupancyhttp

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/occupancy/occupancy"
)

// ErrUnauthorized is for the function of [WithAuthorize] to return, wrapped or not,
// where the request does not say who asks: the answer is 401. Every other error is 403.
const ErrUnauthorized occupancy.Error = "occupancyhttp: unauthorized"

// failure is an answer that is not 200.
type failure struct {
	status  int
	Code    string `json:"code"`
	Message string `json:"message"`
	// Room is the one room of many that the failure is about, so that a client can do
	// without it.
	Room string `json:"room,omitempty"`
}

func (f *failure) Error() string { return f.Message }

// retryAfter is what a client that finds no place is told to wait, in seconds.
const retryAfter = "5"

var (
	errNotFound     = &failure{status: http.StatusNotFound, Code: "not_found", Message: "no such page"}
	errMethod       = &failure{status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Message: "only GET and HEAD are allowed"}
	errQuery        = &failure{status: http.StatusBadRequest, Code: "bad_query", Message: "the query is malformed"}
	errNoRoom       = &failure{status: http.StatusBadRequest, Code: "no_room", Message: "name at least one room: ?room=…"}
	errManyRooms    = &failure{status: http.StatusBadRequest, Code: "too_many_rooms", Message: "a stream carries 256 rooms at most"}
	errRoomName     = &failure{status: http.StatusBadRequest, Code: "bad_room_name", Message: "a room's name has 1 to 1024 bytes of UTF-8"}
	errUnauthorized = &failure{status: http.StatusUnauthorized, Code: "unauthorized", Message: "say who you are"}
	errForbidden    = &failure{status: http.StatusForbidden, Code: "forbidden", Message: "this room is not for you"}
	errManyStreams  = &failure{status: http.StatusServiceUnavailable, Code: "too_many_streams", Message: "too many streams are open"}
	errRoomLimit    = &failure{status: http.StatusServiceUnavailable, Code: "room_limit", Message: "the server has as many rooms as it takes"}
	errClosed       = &failure{status: http.StatusServiceUnavailable, Code: "closed", Message: "the server is closing"}
	errTimeout      = &failure{status: http.StatusServiceUnavailable, Code: "timeout", Message: "the request's time is over"}
	errNoStreaming  = &failure{status: http.StatusInternalServerError, Code: "no_streaming", Message: "the server cannot stream"}
	errInternal     = &failure{status: http.StatusInternalServerError, Code: "internal", Message: "something went wrong"}
)

// of is the failure with the room that it is about.
func (f failure) of(room string) *failure {
	f.Room = room
	return &f
}

// failureOf says what an error of the engine or of this package is in HTTP.
func failureOf(err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, occupancy.ErrClosed):
		return errClosed
	case errors.Is(err, occupancy.ErrInvalidRoom):
		return errRoomName
	case errors.Is(err, occupancy.ErrTooManyRooms):
		return errRoomLimit
	}
	return errInternal
}

// write answers with the failure.
func (f *failure) write(w http.ResponseWriter) {
	switch f.status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfter)
	case http.StatusMethodNotAllowed:
		w.Header().Set("Allow", "GET, HEAD")
	}
	writeJSON(w, f.status, struct {
		Error *failure `json:"error"`
	}{f})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // of strings and numbers, this cannot be
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went is no failure of ours
}
