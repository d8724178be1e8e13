package occupancyhttp

import (
	"net/http"
	"time"
)

// writeTimeout is how long a client may take to take a write before its stream is cut.
const writeTimeout = 10 * time.Second

// writer writes to a client that may have stopped reading: every write has a deadline of
// its own, whatever the server's timeouts are.
type writer struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	lingers bool // HTTP/2 resets a stream whose deadline passes, even if nothing is being written
}

// open sends the header. The error is [http.ErrNotSupported] if w cannot stream.
func (o *writer) open() error {
	o.extend()
	return o.flush()
}

// write writes a frame, which goes out by the next flush at the latest.
func (o *writer) write(frame []byte) error {
	o.extend()
	_, err := o.w.Write(frame)
	return err
}

func (o *writer) flush() error {
	err := o.rc.Flush()
	if o.lingers {
		_ = o.rc.SetWriteDeadline(time.Time{})
	}
	return err
}

// leave gives what net/http writes after the handler a deadline too. It does away with
// it before another request.
func (o *writer) leave() { o.extend() }

// extend gives the next write its time. Where there are no deadlines, as in a test's
// recorder, there is no client to wait for either.
func (o *writer) extend() { _ = o.rc.SetWriteDeadline(time.Now().Add(writeTimeout)) }
