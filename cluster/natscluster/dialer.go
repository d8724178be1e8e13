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

// dialer creates the connections of a Bus and can close them at any time. The NATS
// client holds its locks while it waits for the network: closing its connection makes it
// return with an error and release them.
type dialer struct {
	ctx         context.Context
	close       context.CancelFunc // closes the connection and makes all later dials fail
	dialContext func(ctx context.Context, address string) (net.Conn, error)
	drain       func()       // waits until the subscribers have received everything that was read
	interrupted atomic.Int32 // the number of interrupts without resume; above 0, dials fail

	// Whether closing a connection still sends what the kernel has buffered.
	sendBuffered atomic.Bool

	mu         sync.Mutex // protects the following
	cancelDial context.CancelFunc
	current    *socket
	dialErr    error // of the last dial
}

const dialTimeout = 2 * time.Second

func newDialer() *dialer {
	d := &dialer{drain: func() {}}
	d.ctx, d.close = context.WithCancel(context.Background())
	d.dialContext = func(ctx context.Context, address string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
	}
	return d
}

// interrupt closes the connection, cancels a dial, and makes dials fail until resume is
// called. The NATS client reconnects after that.
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

// interruptAfter calls interrupt when ctx ends. The caller must call resume when it no
// longer needs that.
func (d *dialer) interruptAfter(ctx context.Context) (resume func()) {
	stop := context.AfterFunc(ctx, d.interrupt)
	return func() {
		if !stop() {
			d.resume() // interrupt may run after it, and then closes a connection needlessly
		}
	}
}

var errInterrupted = errors.New("dial interrupted: the context of a call ended")

// Dial creates a connection for the NATS client, which has one at a time. The client does
// not close a connection on which its login failed.
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
	return d.use(conn)
}

// InProcessConn creates a connection to an embedded server for the NATS client.
func (d *dialer) InProcessConn() (net.Conn, error) { return d.Dial("", "") }

// use makes conn the current connection and closes the previous one.
func (d *dialer) use(conn net.Conn) (net.Conn, error) {
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
	d.current.stopAfterFunc = context.AfterFunc(d.ctx, d.current.shut)
	return d.current, nil
}

// withCause adds the error of the last dial, which the NATS client drops if the connection
// was refused.
func (d *dialer) withCause(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dialErr == nil { // connected, and the server did not answer
		return err
	}
	return fmt.Errorf("%w: %w", err, d.dialErr)
}

// socket is a connection of the NATS client.
type socket struct {
	net.Conn
	dialer        *dialer
	stopAfterFunc func() bool // so that dialer.ctx does not refer to a closed socket
	undrained     int         // bytes read since the last drain
}

// readAhead is the number of bytes after which Read drains: the size of the NATS client's
// read buffer. With that many, draining costs nothing measurable.
const readAhead = 32 << 10

// Read limits the data that has been read and not been delivered to the subscribers'
// channels to 2 × readAhead and one message. The NATS client itself limits only the
// number of messages, by dropping them.
//
// Draining in Read cannot deadlock: the client has processed all that it has read before
// it calls Read again, and then holds no lock that the delivery needs.
func (s *socket) Read(p []byte) (int, error) {
	if s.undrained >= readAhead {
		s.dialer.drain()
		s.undrained = 0
	}
	n, err := s.Conn.Read(p[:min(len(p), readAhead)])
	s.undrained += n
	return n, err
}

// Write closes the connection after an error. A part of a message may have been sent, and
// the server would take the next message for the rest of it.
func (s *socket) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if err != nil {
		_ = s.Close()
	}
	return n, err
}

// Close closes the connection.
func (s *socket) Close() error {
	s.stopAfterFunc()
	s.shut()
	return nil
}

// shut closes the connection. Unless sendBuffered is set, the kernel discards unsent data:
// it could arrive after messages of the next connection.
func (s *socket) shut() {
	if tcp, ok := s.Conn.(*net.TCPConn); ok && !s.dialer.sendBuffered.Load() {
		_ = tcp.SetLinger(0)
	}
	_ = s.Conn.Close()
}
