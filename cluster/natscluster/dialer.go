package natscluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dialer creates the connections of a Bus and can close them at any time. The NATS client
// holds its locks while it waits for the network. If the dialer closes the connection, the
// client stops waiting and releases its locks.
type dialer struct {
	ctx           context.Context
	close         context.CancelFunc // closes the connection and makes all later dials fail
	dialContext   func(ctx context.Context, address string) (net.Conn, error)
	awaitDelivery func()       // waits until the subscribers have received all data that was read
	interrupted   atomic.Int32 // the number of interrupts without resume; if it is positive, dials fail

	// If sendBuffered is set, the kernel sends its buffered data after a connection is closed.
	sendBuffered atomic.Bool

	mu         sync.Mutex // protects the following
	cancelDial context.CancelFunc
	current    *socket
	dialErr    error // the error of the last dial
}

const dialTimeout = 2 * time.Second

func newDialer() *dialer {
	d := &dialer{awaitDelivery: func() {}}
	d.ctx, d.close = context.WithCancel(context.Background())
	d.dialContext = func(ctx context.Context, address string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
	}
	return d
}

// interrupt closes the connection, cancels a dial, and makes dials fail until resume is
// called. After the call of resume, the NATS client reconnects.
func (d *dialer) interrupt() {
	d.interrupted.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancelDial != nil {
		d.cancelDial()
	}
	if d.current != nil {
		_ = d.current.Close()
	}
}

func (d *dialer) resume() { d.interrupted.Add(-1) }

// interruptAfter calls interrupt when ctx ends. The caller must call resume at the end of
// its operation.
func (d *dialer) interruptAfter(ctx context.Context) (resume func()) {
	stop := context.AfterFunc(ctx, d.interrupt)
	return func() {
		if !stop() {
			// interrupt has started in another goroutine. If it runs after resume, its only
			// effect is that it closes a connection that is still usable.
			d.resume()
		}
	}
}

var errInterrupted = errors.New("dial interrupted by a Publish or Subscribe whose context ended, or by the end of a subscription; the Bus will dial again")

// Dial creates a connection for the NATS client. It also closes the previous connection:
// the client uses only one connection at a time, and does not close it if the login fails.
func (d *dialer) Dial(_, address string) (conn net.Conn, err error) {
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.dialErr = err
	}()
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	d.mu.Lock()
	d.cancelDial = cancel
	d.mu.Unlock()
	if d.interrupted.Load() > 0 {
		return nil, errInterrupted
	}
	if conn, err = d.dialContext(ctx, address); err != nil {
		return nil, err
	}
	return d.setCurrent(conn)
}

// InProcessConn creates a connection to an embedded server for the NATS client.
func (d *dialer) InProcessConn() (net.Conn, error) { return d.Dial("", "") }

// setCurrent makes conn the current connection and closes the previous connection.
func (d *dialer) setCurrent(conn net.Conn) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.interrupted.Load() > 0 {
		_ = conn.Close()
		return nil, errInterrupted
	}
	if d.current != nil {
		_ = d.current.Close()
	}
	d.current = &socket{Conn: conn, dialer: d}
	d.current.stopAfterFunc = context.AfterFunc(d.ctx, d.current.disconnect)
	return d.current, nil
}

// withCause adds the error of the last dial, which the NATS client drops if the connection
// was refused.
func (d *dialer) withCause(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dialErr == nil { // the dial succeeded, but the server did not answer
		return err
	}
	return fmt.Errorf("%w: %w", err, d.dialErr)
}

// socket is a connection of the NATS client.
type socket struct {
	net.Conn
	dialer        *dialer
	stopAfterFunc func() bool // called by Close, so that dialer.ctx does not refer to a closed socket
	undelivered   int         // the number of bytes read since the last call of awaitDelivery
}

// readAhead is the number of bytes after which Read calls awaitDelivery. It is the size of
// the NATS client's read buffer. With this size, the calls have no measurable cost.
const readAhead = 32 << 10

// Read reads from the connection. It limits the undelivered data: at most 2 × readAhead
// bytes and one message have been read but not delivered to the subscribers' channels. The
// NATS client itself limits only the number of messages, and drops messages above its limit.
//
// The call of awaitDelivery cannot deadlock: when the client calls Read, it has processed
// all data of the previous Read, and it holds no lock that the delivery needs.
func (s *socket) Read(p []byte) (int, error) {
	if s.undelivered >= readAhead {
		s.dialer.awaitDelivery()
		s.undelivered = 0
	}
	n, err := s.Conn.Read(p[:min(len(p), readAhead)])
	s.undelivered += n
	return n, err
}

// Write writes to the connection. It closes the connection after an error, because a part
// of a message may have been sent: the server would read the next message as the rest of
// this message.
func (s *socket) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if err != nil {
		_ = s.Close()
	}
	return n, err
}

// Close closes the connection and releases the socket from dialer.ctx.
func (s *socket) Close() error {
	s.stopAfterFunc()
	s.disconnect()
	return nil
}

// disconnect only closes the connection. Unless sendBuffered is set, the kernel discards
// unsent data, because the data could arrive after messages of the next connection.
func (s *socket) disconnect() {
	if tcp, ok := s.Conn.(*net.TCPConn); ok && !s.dialer.sendBuffered.Load() {
		_ = tcp.SetLinger(0)
	}
	_ = s.Conn.Close()
}
