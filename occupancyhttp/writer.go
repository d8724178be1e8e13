package occupancyhttp

import (
	"errors"
	"net/http"
	"time"
)

// writeTimeout is the maximum duration of one write. If a write takes longer, the handler
// closes the stream.
const writeTimeout = 10 * time.Second

// writer writes to the client of a stream. It sets a new deadline for each write. These
// deadlines replace the WriteTimeout of the server.
type writer struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	dirty    bool // whether data was written since the last flush
	deadline time.Time
	err      error // of the first write that failed
	tooSlow  bool  // whether this write reached the deadline
}

// newWriter returns errNoStreaming if w does not support flushing, or if the server is not
// an [http.Server] and has no write deadlines. Without them, a stream whose client has
// stopped reading would never end. An example is the adaptor of fasthttp and fiber.
func newWriter(w http.ResponseWriter, r *http.Request) (*writer, error) {
	o := &writer{w: w, rc: http.NewResponseController(w)}
	if !canFlush(w) {
		return nil, errNoStreaming
	}
	if r.Context().Value(http.ServerContextKey) == nil && errors.Is(o.setDeadline(), http.ErrNotSupported) {
		return nil, errNoStreaming
	}
	return o, nil
}

// canFlush reports whether [http.ResponseController.Flush] can succeed.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case interface{ FlushError() error }, http.Flusher:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// write writes frames. They may remain in a buffer until the next flush. After an error,
// write does nothing.
func (o *writer) write(frames ...frame) {
	for _, f := range frames {
		if o.err != nil {
			return
		}
		_ = o.setDeadline()
		o.dirty = true
		_, err := o.w.Write(f)
		o.check(err)
	}
}

// flush sends the buffered frames to the client. It returns the first error of the writer.
func (o *writer) flush() error {
	if o.err != nil || !o.dirty {
		return o.err
	}
	o.dirty = false
	o.check(o.rc.Flush())
	// HTTP/2 resets a stream when its deadline passes, even if no write is in progress.
	_ = o.rc.SetWriteDeadline(time.Time{})
	return o.err
}

// check records the error of a write, and whether the write failed because it reached the
// deadline. HTTP/2 has no error of its own for this case.
func (o *writer) check(err error) {
	o.err = err
	o.tooSlow = err != nil && !time.Now().Before(o.deadline)
}

// setDeadline sets the deadline of the next write. net/http clears the deadline before the
// next request of the connection.
func (o *writer) setDeadline() error {
	o.deadline = time.Now().Add(writeTimeout)
	return o.rc.SetWriteDeadline(o.deadline)
}
