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

	mu   sync.Mutex // protects the following
	last *socket
}

const dialTimeout = 2 * time.Second

func newSockets() *sockets {
	s := new(sockets)
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
