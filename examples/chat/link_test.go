package main

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// link is a TCP proxy that simulates a network. It can delay all data in one or both
// directions.
type link struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu        sync.Mutex       // protects the following
	connected [2]chan struct{} // closed while the link forwards data to, and from, the target
	conns     []net.Conn
	closed    bool
}

func newLink(t *testing.T, target string) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &link{listener: ln, target: target, connected: [2]chan struct{}{make(chan struct{}), make(chan struct{})}}
	l.restore()
	l.wg.Go(l.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		l.mu.Lock()
		l.closed = true
		for _, conn := range l.conns {
			_ = conn.Close()
		}
		l.mu.Unlock()
		l.restore()
		l.wg.Wait()
	})
	return l
}

func (l *link) address() string { return l.listener.Addr().String() }

func (l *link) accept() {
	for {
		from, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() { l.forward(from) })
	}
}

// forward forwards the data of a connection. If the link is cut when the connection begins,
// forward closes the connection when the link is restored.
func (l *link) forward(from net.Conn) {
	defer from.Close()
	if connected := l.state(0); !isClosed(connected) {
		<-connected
		return
	}
	to, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer to.Close()
	l.mu.Lock()
	l.conns = append(l.conns, from, to)
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.copy(to, from, 0) })
	both.Go(func() { l.copy(from, to, 1) })
	both.Wait()
}

// copy copies data until the connection is closed. While the link is cut, copy waits: the
// data and the end of the connection arrive when the link is restored.
func (l *link) copy(to, from net.Conn, direction int) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		<-l.state(direction)
		if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

func (l *link) state(direction int) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connected[direction]
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// cut delays all data until restore is called. The connections stay open.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connected = [2]chan struct{}{make(chan struct{}), make(chan struct{})}
}

// mute delays the data to the target until restore is called.
func (l *link) mute() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.connected[0] = make(chan struct{})
}

// restore forwards data again, including the delayed data.
func (l *link) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.connected {
		if !isClosed(c) {
			close(c)
		}
	}
}
