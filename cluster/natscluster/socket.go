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

// sockets makes a Bus's connections, and cuts them all when ctx ends: whatever waits on
// one, with whichever lock of the NATS client, fails then and goes on.
type sockets struct {
	ctx     context.Context
	cut     context.CancelFunc
	gentle  atomic.Bool                                                 // what is in the kernel is still to be sent
	connect func(ctx context.Context, address string) (net.Conn, error) // by default TCP
	passOn  func()                                                      // waits until all that was read is with the subscribers
	barred  atomic.Int32                                                // while above 0, none can be made

	mu      sync.Mutex // protects the following
	dial    context.CancelFunc
	last    *socket
	failure error // of the last dial
}

const dialTimeout = 2 * time.Second

func newSockets() *sockets {
	s := &sockets{passOn: func() {}}
	s.ctx, s.cut = context.WithCancel(context.Background())
	s.connect = func(ctx context.Context, address string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", address)
	}
	return s
}

// bar ends what waits on a connection, or for one, and fails what dials until unbar: so
// whoever waits for a lock of the NATS client gets it. Then that connects again.
func (s *sockets) bar() {
	s.barred.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dial != nil {
		s.dial()
	}
	if s.last != nil {
		_ = s.last.Close()
	}
}

func (s *sockets) unbar() { s.barred.Add(-1) }

// barAfter bars when ctx ends, until what it returns is called.
func (s *sockets) barAfter(ctx context.Context) (unbar func()) {
	stop := context.AfterFunc(ctx, s.bar)
	return func() {
		if !stop() {
			s.unbar() // it may not have begun yet, and then cuts a connection for nothing
		}
	}
}

var errBarred = errors.New("somebody can't wait for it")

// Dial is how the NATS client gets a connection. It has one at a time, and does not close
// one on which it failed to log in.
func (s *sockets) Dial(_, address string) (conn net.Conn, err error) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failure = err
	}()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	s.mu.Lock()
	s.dial = cancel
	s.mu.Unlock()
	if s.barred.Load() > 0 {
		return nil, errBarred
	}
	if conn, err = s.connect(ctx, address); err != nil {
		return nil, err
	}
	return s.adopt(conn)
}

func (s *sockets) adopt(conn net.Conn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.barred.Load() > 0 {
		_ = conn.Close()
		return nil, errBarred
	}
	if s.last != nil {
		_ = s.last.Close()
	}
	s.last = &socket{Conn: conn, of: s}
	s.last.forget = context.AfterFunc(s.ctx, s.last.drop)
	return s.last, nil
}

// why is err with the last dial's failure, which the NATS client keeps to itself where the
// connection was refused.
func (s *sockets) why(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		return err
	}
	return fmt.Errorf("%w: %w", err, s.failure)
}

// InProcessConn is how the NATS client gets one to an embedded server.
func (s *sockets) InProcessConn() (net.Conn, error) { return s.Dial("", "") }

type socket struct {
	net.Conn
	of     *sockets
	forget func() bool // the end of ctx
	ahead  int         // bytes read since passOn
}

// readAhead is how many bytes are read before what was in them must be passed on. It is
// as many as the NATS client reads at once, and so many that this costs nothing.
const readAhead = 32 << 10

// Read bounds what waits for a goroutine that passes it on, which the NATS client does not
// by bytes, and by number only by losing it: 32 KiB are read beyond readAhead at most,
// and the rest of the last message. The server waits no longer than for a goroutine to run.
//
// The NATS client has handled all of what it read before it reads again, and does both
// without a lock that others need.
func (s *socket) Read(p []byte) (int, error) {
	if s.ahead >= readAhead {
		s.of.passOn()
		s.ahead = 0
	}
	n, err := s.Conn.Read(p[:min(len(p), readAhead)])
	s.ahead += n
	return n, err
}

// Write closes a connection on which it failed: part of a message may be out, and
// what came after it would be taken for its rest.
func (s *socket) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if err != nil {
		_ = s.Close()
	}
	return n, err
}

// Close closes the connection.
func (s *socket) Close() error {
	s.forget()
	s.drop()
	return nil
}

// drop has the kernel forget what it could not send yet, if it isn't the Bus's end: it
// would come after what the next connection carries.
func (s *socket) drop() {
	if tcp, is := s.Conn.(*net.TCPConn); is && !s.of.gentle.Load() {
		_ = tcp.SetLinger(0)
	}
	_ = s.Conn.Close()
}
