package occupancyhttp

import (
	"net/http"
	"time"
)

// writeTimeout is the maximum duration of one write. If a write takes longer, the handler
// closes the stream.
const writeTimeout = 10 * time.Second

// writer writes to the client of a stream. It sets a new deadline for each write. These
// deadlines replace the WriteTimeout of the server.
type writer struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	http2 bool
}

// writeHeader sends the headers. The error is [http.ErrNotSupported] if w does not support
// flushing.
func (o *writer) writeHeader() error {
	o.setDeadline()
	return o.flush()
}

// write writes data. The data may remain in a buffer until the next flush.
func (o *writer) write(data []byte) error {
	o.setDeadline()
	_, err := o.w.Write(data)
	return err
}

// flush sends the buffered data to the client.
func (o *writer) flush() error {
	err := o.rc.Flush()
	if o.http2 {
		// HTTP/2 resets a stream when its deadline passes, even if no write is in progress.
		_ = o.rc.SetWriteDeadline(time.Time{})
	}
	return err
}

// setDeadline sets the deadline of the next write. net/http clears the deadline before the
// next request of the connection. setDeadline ignores the error of a ResponseWriter that
// has no deadlines, such as [net/http/httptest.ResponseRecorder], whose writes never block.
func (o *writer) setDeadline() { _ = o.rc.SetWriteDeadline(time.Now().Add(writeTimeout)) }
