package bustest

import (
	"net"
	"sync"
	"testing"
)

// Proxy forwards connections to a server and can disturb them.
type Proxy struct {
	listener net.Listener
	server   string
	wg       sync.WaitGroup

	mu           sync.Mutex // protects the following
	disconnected bool
	paused       bool
	resumed      sync.Cond // signals that paused is false
	accepted     int
	conns        map[net.Conn]net.Conn // from client to server
}

// NewProxy starts a proxy of the server with this address. It ends with the test.
func NewProxy(t testing.TB, server string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	p := &Proxy{listener: l, server: server, conns: make(map[net.Conn]net.Conn)}
	p.resumed.L = &p.mu
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.Disconnect()
		p.Resume()
		p.wg.Wait()
	})
	return p
}

// Addr returns the address on which the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		p.mu.Lock()
		p.accepted++
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

func (p *Proxy) forward(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		for p.paused {
			p.resumed.Wait()
		}
		p.mu.Unlock()
		if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
			return
		}
	}
}

// Disconnect closes all connections and refuses new connections until Restore is called.
func (p *Proxy) Disconnect() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disconnected = true
	for client, server := range p.conns {
		_ = client.Close()
		_ = server.Close()
	}
	clear(p.conns)
}

// Restore accepts connections again.
func (p *Proxy) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disconnected = false
}

// Pause keeps the connections open and forwards nothing until Resume is called.
func (p *Proxy) Pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = true
}

// Resume ends Pause.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = false
	p.resumed.Broadcast()
}

// Inject sends text to all clients as if the server had sent it.
func (p *Proxy) Inject(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for client := range p.conns {
		_, _ = client.Write([]byte(text))
	}
}

// Accepted returns the number of connections accepted so far.
func (p *Proxy) Accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}
