package occupancyhttp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/occupancy/occupancy/occupancyhttp"
)

// openTCP opens a stream over TCP. The client has a small receive buffer.
func openTCP(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	c, err := dialer.DialContext(t.Context(), "tcp", address)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = fmt.Fprint(c, "GET /events?room=lobby HTTP/1.1\r\nHost: server\r\n\r\n")
	must(t, err)
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		must(t, err)
		if strings.HasPrefix(line, "data: ") {
			return c, r
		}
	}
}

// The kernel closes a connection whose client does not acknowledge a write for ten seconds.
func wantUserTimeout(t *testing.T, c net.Conn) {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) {
		const tcpUserTimeout = 18
		if got, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout); err != nil || got != 10_000 {
			t.Errorf("TCP_USER_TIMEOUT: %d ms, %v", got, err)
		}
	}))
}

func TestConnContext_SetsUserTimeout(t *testing.T) {
	address, conns := serveTCP(t, occupancyhttp.NewHandler(newEngine(t)))
	openTCP(t, address)
	wantUserTimeout(t, <-conns)
}

func TestConnContext_HTTP2OverTLS(t *testing.T) {
	conns := make(chan net.Conn, 1)
	s := httptest.NewUnstartedServer(occupancyhttp.NewHandler(newEngine(t)))
	s.EnableHTTP2 = true
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		conns <- c
		return occupancyhttp.ConnContext(ctx, c)
	}
	s.StartTLS()
	defer s.Close()
	resp, err := s.Client().Get(s.URL + "/events?room=lobby")
	must(t, err)
	defer resp.Body.Close()
	stream := &streamReader{t: t, resp: resp, lines: bufio.NewReader(resp.Body), cancel: func() {}}
	stream.readUntil(0)
	wantUserTimeout(t, (<-conns).(*tls.Conn).NetConn())
}

// The kernel buffers little for a client that is suspended. So the client does not read
// outdated events first, when it resumes.
func TestConnContext_KernelBuffersLittle(t *testing.T) {
	address, conns := serveTCP(t, occupancyhttp.NewHandler(newEngine(t)))
	openTCP(t, address)
	server := <-conns
	buffered := 0
	for frame := make([]byte, 128); ; {
		must(t, server.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
		n, err := server.Write(frame)
		buffered += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		must(t, err)
	}
	if buffered > 32<<10 {
		t.Errorf("%d bytes are buffered", buffered)
	}
	t.Logf("%d bytes are buffered", buffered)
}
