package rediscluster_test

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy forwards connections to a server and can disturb them.
type proxy struct {
	listener net.Listener
	server   string
	wg       sync.WaitGroup

	mu           sync.Mutex // protects the following
	disconnected bool
	resumed      chan struct{}         // closed unless paused
	conns        map[net.Conn]net.Conn // from client to server
}

func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{
		listener: l,
		server:   server,
		resumed:  make(chan struct{}),
		conns:    make(map[net.Conn]net.Conn),
	}
	close(p.resumed)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Disconnect()
		p.Resume()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) Addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		p.mu.Lock()
		if err != nil || p.disconnected {
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
		} else {
			p.conns[client] = server
			p.wg.Go(func() { p.forward(server, client) })
			p.wg.Go(func() { p.forward(client, server) })
		}
		p.mu.Unlock()
	}
}

func (p *proxy) forward(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		resumed := p.resumed
		p.mu.Unlock()
		<-resumed
		if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}

// Disconnect closes all connections and refuses new connections until Restore is called.
func (p *proxy) Disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disconnected = true
	for client, server := range p.conns {
		_ = client.Close()
		_ = server.Close()
	}
	clear(p.conns)
}

func (p *proxy) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disconnected = false
}

// Pause keeps the connections open and forwards nothing until Resume is called.
func (p *proxy) Pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resumed = make(chan struct{})
}

func (p *proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.resumed:
	default:
		close(p.resumed)
	}
}
