package main

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// link is the network between two seeds: a TCP proxy that can hold back all data.
type link struct {
	listener net.Listener
	target   string
	wg       sync.WaitGroup

	mu     sync.Mutex    // protects the following
	open   chan struct{} // closed while the link forwards data
	conns  []net.Conn
	closed bool
}

func newLink(t *testing.T, target string) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &link{listener: ln, target: target, open: make(chan struct{})}
	close(l.open)
	l.wg.Go(l.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		l.mu.Lock()
		l.closed = true
		for _, conn := range l.conns {
			_ = conn.Close()
		}
		l.mu.Unlock()
		l.mend()
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

// forward forwards a connection. A connection that is made while the link is cut receives
// no data and is closed when the link is mended.
func (l *link) forward(from net.Conn) {
	defer from.Close()
	if open := l.state(); !isClosed(open) {
		<-open
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
	both.Go(func() { l.copy(to, from) })
	both.Go(func() { l.copy(from, to) })
	both.Wait()
}

// copy copies data, and the end of the connection. While the link is cut it holds them back,
// like a network that loses packets until they are sent again.
func (l *link) copy(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		<-l.state()
		if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
			_, _ = to.Close(), from.Close()
			return
		}
	}
}

func (l *link) state() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// cut holds back all data. Neither side notices a closed connection.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = make(chan struct{})
}

// mend forwards data again, also what was held back.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !isClosed(l.open) {
		close(l.open)
	}
}
