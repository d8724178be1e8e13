package occupancyhttp_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

// The handler closes a stream whose client stops reading. The other stream of the same
// connection continues.
func TestHTTP2_OnlyBlockedStreamIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		h := occupancyhttp.NewHandler(e)
		s := newTestServer(t, h, http2)
		s.client.Transport.(*http.Transport).HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 16 << 10}
		reader := s.openStream("/events?room=quiet")
		reader.readUntil(0)
		blocked := s.openStream("/events?room=busy")
		blocked.readUntil(0)
		for range 1000 { // more than the receive buffer of the client
			must(t, e.Join("busy"))
			synctest.Wait()
		}
		if got := h.Stats().Streams; got != 2 {
			t.Errorf("%d streams before the timeout", got)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := h.Stats(); got.Streams != 1 || got.TooSlow != 1 {
			t.Errorf("%+v, want only the stream that is read", got)
		}
		must(t, e.Join("quiet"))
		reader.readUntil(1)
		if got := s.pipes.dialed.Load(); got != 1 {
			t.Errorf("%d connections", got)
		}
		reader.close()
		blocked.close()
	})
}

// stalledConn is a connection whose reads block after the channel stalled is closed.
type stalledConn struct {
	net.Conn
	stalled, closed chan struct{}
	close           func() // closes the channel closed, once
}

func (c *stalledConn) Read(b []byte) (int, error) {
	select {
	case <-c.stalled:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return c.Conn.Read(b)
	}
}

func (c *stalledConn) Close() error {
	c.close()
	return c.Conn.Close()
}

// The handler cannot close a connection whose client has stopped reading. The server
// closes the connection if WriteByteTimeout is set, as the package comment says.
func TestHTTP2_WriteByteTimeoutClosesBlockedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithInterval(0))
		h := occupancyhttp.NewHandler(e)
		s := newTestServer(t, h, http2, func(s *http.Server) {
			s.HTTP2 = &http.HTTP2Config{WriteByteTimeout: 10 * time.Second}
		})
		stalled := make(chan struct{})
		s.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := s.pipes.dial(ctx, network, addr)
			closed := make(chan struct{})
			return &stalledConn{c, stalled, closed, sync.OnceFunc(func() { close(closed) })}, err
		}
		stream := s.openStream("/events?room=lobby")
		stream.readUntil(0)
		close(stalled)
		for range 10 {
			must(t, e.Join("lobby"))
			synctest.Wait()
		}
		if got := h.Stats().Streams; got != 1 {
			t.Errorf("%d streams before the timeout", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		wantNoStreams(t, e, h)
		stream.close()
	})
}
