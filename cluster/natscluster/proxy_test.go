package natscluster_test

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy stands between a bus and a server.
type proxy struct {
	listener net.Listener
	server   string
	wg       sync.WaitGroup

	mu       sync.Mutex // protects the following
	cut      bool
	hold     chan struct{} // closed when bytes may pass
	accepted int
	conns    map[net.Conn]net.Conn
}

func newProxy(t testing.TB, serverURL string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{
		listener: l,
		server:   strings.TrimPrefix(serverURL, "nats://"),
		hold:     make(chan struct{}),
		conns:    make(map[net.Conn]net.Conn),
	}
	close(p.hold)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Cut()
		p.Release()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) URL() string  { return "nats://" + p.Addr() }
func (p *proxy) Addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		p.mu.Lock()
		p.accepted++
		if err != nil || p.cut {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
		} else {
			p.conns[client] = server
			p.wg.Go(func() { p.carry(server, client) })
			p.wg.Go(func() { p.carry(client, server) })
		}
		p.mu.Unlock()
	}
}

func (p *proxy) carry(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		hold := p.hold
		p.mu.Unlock()
		<-hold
		if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}

// Cut drops all connections, and refuses others until Mend.
func (p *proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for client, server := range p.conns {
		_ = client.Close()
		_ = server.Close()
	}
	clear(p.conns)
}

func (p *proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// Hold lets no byte pass, and drops no connection, until Release.
func (p *proxy) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold = make(chan struct{})
}

func (p *proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.hold:
	default:
		close(p.hold)
	}
}

// Say has the bus hear this from the server.
func (p *proxy) Say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for client := range p.conns {
		_, _ = client.Write([]byte(text))
	}
}

// Accepted is how often the bus has dialled.
func (p *proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}
