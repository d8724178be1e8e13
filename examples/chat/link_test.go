package main

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// link is the network between two seeds: a TCP proxy that can let nothing through.
type link struct {
	listener net.Listener
	to       string
	wg       sync.WaitGroup

	mu    sync.Mutex    // protects the following
	holds chan struct{} // closed while bytes pass
	ends  []net.Conn
	over  bool
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &link{listener: ln, to: to, holds: make(chan struct{})}
	close(l.holds)
	l.wg.Go(l.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		l.mu.Lock()
		l.over = true
		for _, end := range l.ends {
			_ = end.Close()
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
		l.wg.Go(func() { l.connect(from) })
	}
}

// connect carries a connection. What is dialled while the link is cut gets no answer, and
// is lost.
func (l *link) connect(from net.Conn) {
	defer from.Close()
	if holds := l.state(); !isClosed(holds) {
		<-holds
		return
	}
	to, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer to.Close()
	l.mu.Lock()
	l.ends = append(l.ends, from, to)
	over := l.over
	l.mu.Unlock()
	if over {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.carry(to, from) })
	both.Go(func() { l.carry(from, to) })
	both.Wait()
}

// carry passes on what comes, an end too, once the link lets it: so does a network that
// was cut, and what was under way is late.
func (l *link) carry(to, from net.Conn) {
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
	return l.holds
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// cut lets nothing through, and nobody know.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds = make(chan struct{})
}

func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !isClosed(l.holds) {
		close(l.holds)
	}
}
