package occupancyhttp

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/occupancy/occupancy"
)

// ErrUnauthorized means that a request carries no valid credentials. Return it, wrapped or
// not, from the function of [WithAuthorize] or [WithAuthorizeRooms]: the handler then
// answers with status 401.
const ErrUnauthorized occupancy.Error = "occupancyhttp: unauthorized"

// ErrUnavailable means that access cannot be checked now, for example because a database
// does not respond. Return it, wrapped or not, from the function of [WithAuthorize] or
// [WithAuthorizeRooms]: the handler then answers the whole request with status 503 and a
// Retry-After header, and clients retry.
const ErrUnavailable occupancy.Error = "occupancyhttp: access cannot be checked now"

// httpError is the JSON body of a response that refuses a request.
type httpError struct {
	status  int
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *httpError) Error() string { return e.Message }

const retryAfter = 5 // seconds

var (
	errNotFound         = &httpError{http.StatusNotFound, "not_found", "no such path; the handler needs http.StripPrefix if it is mounted below a prefix"}
	errMethodNotAllowed = &httpError{http.StatusMethodNotAllowed, "method_not_allowed", "method not allowed: use GET or HEAD"}
	errBadQuery         = &httpError{http.StatusBadRequest, "bad_query", "malformed query"}
	errNoRoom           = &httpError{http.StatusBadRequest, "no_room", "no room given: add ?room=name or ?by=popular"}
	errBadOrder         = &httpError{http.StatusBadRequest, "bad_order", "unknown order: use by=popular or by=trending"}
	errBadLimit         = &httpError{http.StatusBadRequest, "bad_limit", "invalid limit: must be 1 to 100"}
	errNoLists          = &httpError{http.StatusNotFound, "no_lists", "this server has no lists of rooms"}
	errTooManyLists     = &httpError{http.StatusBadRequest, "too_many_lists", "too many lists: a stream can have at most 8"}
	errTooManyRooms     = &httpError{http.StatusBadRequest, "too_many_rooms", "too many rooms: a request can have at most 256"}
	errBadRoomName      = &httpError{http.StatusBadRequest, "bad_room_name", "invalid room name: must be 1 to 1024 bytes of UTF-8"}
	errUnauthorized     = &httpError{http.StatusUnauthorized, "unauthorized", "authentication required"}
	errForbidden        = &httpError{http.StatusForbidden, "forbidden", "access to this room is denied"}
	errStreamLimit      = &httpError{http.StatusServiceUnavailable, "stream_limit", "stream limit reached"}
	errClientLimit      = &httpError{http.StatusServiceUnavailable, "client_limit", "stream limit of this client reached"}
	errClosed           = &httpError{http.StatusServiceUnavailable, "closed", "the server is shutting down"}
	errUnavailable      = &httpError{http.StatusServiceUnavailable, "unavailable", "access cannot be checked now"}
	errTimeout          = &httpError{http.StatusServiceUnavailable, "timeout", "the request timed out"}
	errNoStreaming      = &httpError{http.StatusInternalServerError, "no_streaming", "the server does not support streaming: streams need an http.Server, and middleware whose ResponseWriter has an Unwrap method"}
	errInternal         = &httpError{http.StatusInternalServerError, "internal", "internal server error"}
)

// toHTTPError converts an error of the engine or of this package.
func toHTTPError(err error) *httpError {
	var e *httpError
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, occupancy.ErrClosed):
		return errClosed
	}
	return errInternal
}

// write writes e as the response.
func (e *httpError) write(w http.ResponseWriter) {
	switch e.status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
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

// mustMarshal encodes v as JSON. It panics on an error: v must consist of strings, numbers
// and booleans, which always have an encoding.
func mustMarshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
