package natscluster

import (
	"context"
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
	gentle  atomic.Bool                            // what is in the kernel is still to be sent
	connect func(address string) (net.Conn, error) // by default TCP
	passOn  func()                                 // waits until all that was read is with the subscribers

	mu   sync.Mutex // protects the following
	last *socket
}

const dialTimeout = 2 * time.Second

func newSockets() *sockets {
	s := &sockets{passOn: func() {}}
	s.ctx, s.cut = context.WithCancel(context.Background())
	s.connect = func(address string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(s.ctx, "tcp", address)
	}
	return s
}

// Dial is how the NATS client gets a connection. It has one at a time, and does not close
// one on which it failed to log in.
func (s *sockets) Dial(_, address string) (net.Conn, error) {
	conn, err := s.connect(address)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil {
		_ = s.last.Close()
	}
	s.last = &socket{Conn: conn, of: s}
	s.last.forget = context.AfterFunc(s.ctx, s.last.drop)
	return s.last, nil
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
